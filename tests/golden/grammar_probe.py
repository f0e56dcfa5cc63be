"""The grammar probe as a Python object: one process, one request a line."""
import json
import subprocess


class GrammarProbe:
    def __init__(self, path, tokenizer="-"):
        self.process = subprocess.Popen(
            [str(path), str(tokenizer)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, kind, source, **more):
        request = {"kind": kind, "source": source, **more}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the probe ended on {source!r}"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0

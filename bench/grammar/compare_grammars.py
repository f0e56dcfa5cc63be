#!/usr/bin/env python3
"""Mask and compile times beside xgrammar and llguidance: the same schemas, vocabulary, token sequences, machine, run.

    python bench/grammar/compare_grammars.py BUILD TOKENIZER SCHEMAS [N]

SCHEMAS is `maskbench/data` of guidance-ai/jsonschemabench: files of {"schema", "tests": [{"valid", "data"}]}. TOKENIZER is
a folder with Meta's tokenizer.model. From each of N files picked by a fixed seed the valid instances are written in the
schema's order and encoded; each engine computes a mask before every token and then accepts the token. All of an
engine's times are processor time of its one thread, taken in turn on each schema. Needs xgrammar, llguidance, tiktoken.
"""
import collections
import glob
import json
import pathlib
import random
import sys
import time

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/golden"))
from grammar_probe import GrammarProbe  # noqa: E402
from llama3_tokenizer import N_RANKS, tiktoken_encoding  # noqa: E402


def in_order(value, schema):
    """The instance with properties as the schema lists them; what is not a plain property comes last."""
    if isinstance(value, list):
        items = schema.get("items") if isinstance(schema, dict) else None
        return [in_order(v, items if isinstance(items, dict) else {}) for v in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") if isinstance(schema, dict) else None
    properties = properties if isinstance(properties, dict) else {}
    keys = [k for k in properties if k in value] + [k for k in value if k not in properties]
    return {k: in_order(value[k], properties.get(k, {})) for k in keys}


class Xgrammar:
    def __init__(self, words, stop):
        import xgrammar as xg

        self.xg = xg
        info = xg.TokenizerInfo(
            words, vocab_type=xg.VocabType.RAW, vocab_size=len(words), stop_token_ids=[stop]
        )
        self.compiler = xg.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.bits = xg.allocate_token_bitmask(1, len(words))

    def compile(self, schema):
        return self.compiler.compile_json_schema(schema, any_whitespace=True)

    def run(self, compiled, ids, times):
        matcher = self.xg.GrammarMatcher(compiled)
        for token in ids:
            start = time.thread_time_ns()
            matcher.fill_next_token_bitmask(self.bits)
            times.append(time.thread_time_ns() - start)
            if not matcher.accept_token(token):
                return False
        return matcher.is_terminated() or True


class Llguidance:
    def __init__(self, encoding, stop):
        import llguidance
        import llguidance.numpy
        import llguidance.tiktoken

        self.ll = llguidance
        self.tokenizer = llguidance.tiktoken.lltokenizer_from_encoding(encoding, eos_token=stop)
        self.bits = llguidance.numpy.allocate_token_bitmask(1, self.tokenizer.vocab_size)

    def compile(self, schema):
        matcher = self.ll.LLMatcher(self.tokenizer, self.ll.LLMatcher.grammar_from_json_schema(schema))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def run(self, matcher, ids, times):
        matcher.reset()
        for token in ids:
            start = time.thread_time_ns()
            self.ll.numpy.fill_next_token_bitmask(matcher, self.bits, 0)
            times.append(time.thread_time_ns() - start)
            if not matcher.consume_token(token):
                return False
        return True


def main():
    build, tokenizer, folder = sys.argv[1:4]
    n = int(sys.argv[4]) if len(sys.argv) > 4 else 200
    shared = pathlib.Path(tokenizer).resolve().parents[1]
    encoding = tiktoken_encoding(shared)
    stop = N_RANKS + 9
    words = [encoding.decode_single_token_bytes(i) for i in range(N_RANKS + 256)]
    engines = {"xgrammar": Xgrammar(words, stop), "llguidance": Llguidance(encoding, stop)}
    probe = GrammarProbe(pathlib.Path(build) / "probe_grammar", tokenizer)
    files = sorted(glob.glob(folder + "/*.json"))
    random.Random(7).shuffle(files)
    compile_times, mask_times = collections.defaultdict(list), collections.defaultdict(list)
    counts = collections.Counter()
    for path in files[:n]:
        with open(path, encoding="utf-8") as file:
            test = json.load(file)
        schema = json.dumps(test["schema"])
        texts = [json.dumps(in_order(t["data"], test["schema"]), ensure_ascii=False) for t in test["tests"] if t["valid"]]
        answer = probe.ask("schema", schema, encoded=texts, times=True)
        if answer["status"] == "OK":
            compile_times["twllm"].append(answer["compile_ns"])
            mask_times["twllm"] += answer["times"]
            counts["twllm", "compiled"] += 1
            counts["twllm", "accepted"] += answer["encoded"].count("yes")
        for name, engine in engines.items():
            start = time.thread_time_ns()
            try:
                compiled = engine.compile(schema)
            except Exception:  # noqa: BLE001  whatever it raises, it does not take the schema
                continue
            compile_times[name].append(time.thread_time_ns() - start)
            counts[name, "compiled"] += 1
            for text in texts:
                counts[name, "accepted"] += engine.run(compiled, encoding.encode(text, disallowed_special=()), mask_times[name])
        counts["texts"] += len(texts)
    probe.close()
    print(f"{n} schemas, {counts['texts']} valid instances")
    print("| engine | compiled | accepted | compile us p50 | p99 | mask us mean | p50 | p95 | p99 | max |")
    for name in ("twllm", *engines):
        c, m = (numpy.array(t[name]) / 1e3 for t in (compile_times, mask_times))
        print(
            f"| {name} | {counts[name, 'compiled']} | {counts[name, 'accepted']} | {numpy.percentile(c, 50):.0f} "
            f"| {numpy.percentile(c, 99):.0f} | {m.mean():.1f} | {numpy.percentile(m, 50):.1f} "
            f"| {numpy.percentile(m, 95):.1f} | {numpy.percentile(m, 99):.1f} | {m.max():.0f} |"
        )


main()

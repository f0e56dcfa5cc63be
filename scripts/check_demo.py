#!/usr/bin/env python3
"""Runs the demo as `make demo` does, off a terminal, and checks what a newcomer sees.

It answers in Chinese, reports prompt and generation speed, exits with 0, and, built once, shows its first token in
under a second (the best of three: the machine may be busy with other things).
"""
import os
import re
import subprocess
import sys
import time

LIMIT_S = 1.0


def demo():
    start = time.monotonic()
    process = subprocess.Popen(
        ["make", "--no-print-directory", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    first, shown = None, b""
    while chunk := os.read(process.stdout.fileno(), 4096):
        shown += chunk
        if first is None and re.search("[\u4e00-\u9fff]", shown.decode("utf-8", "ignore")):
            first = time.monotonic() - start
    return process.wait(), first, shown.decode("utf-8")


def main():
    if not os.path.isfile("src/engine/engine.c"):
        print("skipped: there is no program yet")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    code, first, shown = demo()
    print(shown)
    checks = {
        f"exit code is 0 (it is {code})": code == 0,
        "answers in Chinese": len(re.findall("[\u4e00-\u9fff]", shown)) >= 8,
        "reports two speeds in tokens/s": len(re.findall(r"[0-9.]+ *(?:tokens?/s|tok/s|個?詞元/秒)", shown)) >= 2,
    }
    times = [demo()[1] or float("inf") for _ in range(3)]
    checks[f"first token of a later run in under {LIMIT_S} s (best of {', '.join(f'{t:.2f}' for t in times)})"] = min(times) < LIMIT_S
    for name, good in checks.items():
        print("PASS" if good else "FAIL", name)
    n_good = sum(checks.values())
    print(f"{n_good} passed, {len(checks) - n_good} failed, 0 skipped")
    return 0 if n_good == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())

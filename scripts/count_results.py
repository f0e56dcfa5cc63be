#!/usr/bin/env python3
"""Counts a JUnit report: prints `PASSED FAILED SKIPPED`.

In a report of pytest each case counts once. In one of ctest, a program built on tests/unit/check.h ends with a line
`N passed, N failed, N skipped`, which counts instead of the program; a program that failed without such a line (it
crashed) counts as one failure more.
"""
import re
import sys
import xml.etree.ElementTree as xml

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)


def count(path):
    passed = failed = skipped = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        bad = bad or case.get("status") == "fail"
        idle = case.find("skipped") is not None
        output = case.findtext("system-out") or ""
        closing = CLOSING.findall(output)
        if closing:
            of_case = [int(n) for n in closing[-1]]
            passed, failed, skipped = passed + of_case[0], failed + of_case[1], skipped + of_case[2]
            if bad and of_case[1] == 0:
                failed += 1  # it ended badly after its last test: a sanitizer's report at exit, a crash
        elif bad:
            failed += 1
        elif idle:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*count(sys.argv[1]))

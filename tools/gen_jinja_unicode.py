#!/usr/bin/env python3
"""Writes src/text/jinja_unicode_tables.h: what str methods of this Python know about characters.

    python3 tools/gen_jinja_unicode.py > src/text/jinja_unicode_tables.h

The tables stand in the repository; run this only to move to another Unicode version."""
import sys
import unicodedata

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


HEAD = """#ifndef TEXT_JINJA_UNICODE_TABLES_H
#define TEXT_JINJA_UNICODE_TABLES_H

#include <stdint.h>

struct code_range {
    uint32_t first, last;
};
struct case_run {
    uint32_t first, last;
    uint32_t stride;
    int32_t delta;
};
struct case_long {
    uint32_t code, to[3]; /* unused places are 0 */
};
"""


def cased(c):
    s = chr(c)
    return s.islower() or s.isupper() or unicodedata.category(s) == "Lt"


def ignorable(c):
    """Case_Ignorable, seen through what str.lower does to a final sigma."""
    s = chr(c)
    return ("A" + s + "\u03a3").lower()[-1] == "\u03c2" and (s + "\u03a3").lower()[-1] != "\u03c2"


CLASSES = [
    ("alpha", lambda c: chr(c).isalpha()),
    ("decimal", lambda c: chr(c).isdecimal()),
    ("digit", lambda c: chr(c).isdigit()),
    ("numeric", lambda c: chr(c).isnumeric()),
    ("printable", lambda c: chr(c).isprintable()),
    ("lower", lambda c: chr(c).islower()),
    ("upper", lambda c: chr(c).isupper()),
    ("title", lambda c: unicodedata.category(chr(c)) == "Lt"),
    ("ignorable", ignorable),
]
CASES = [("upper", str.upper), ("lower", str.lower), ("title", str.title), ("fold", str.casefold)]


def ranges(holds):
    out = []
    for c in CODES:
        if not holds(c):
            continue
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def runs(function):
    """[first, last, stride, delta] of single mappings, and (code, [codes]) of longer ones."""
    single, longer = [], []
    for c in CODES:
        to = [ord(x) for x in function(chr(c))]
        if to == [c]:
            continue
        if len(to) > 1:
            longer.append((c, to))
            continue
        delta = to[0] - c
        if single and single[-1][3] == delta:
            first, last, stride, _ = single[-1]
            if (first == last and c - last <= 2) or c - last == stride:
                single[-1][2] = c - last
                single[-1][1] = c
                continue
        single.append([c, c, 1, delta])
    return single, longer


def rows(items, per_line):
    for i in range(0, len(items), per_line):
        print("    " + " ".join(items[i : i + per_line]))


def main():
    print("/* Made by tools/gen_jinja_unicode.py from Unicode %s. */" % unicodedata.unidata_version)
    print("/* clang-format off */")
    print(HEAD)
    for name, holds in CLASSES:
        print("static const struct code_range class_%s[] = {" % name)
        rows(["{0x%X, 0x%X}," % tuple(r) for r in ranges(holds)], 6)
        print("};")
    for name, function in CASES:
        single, longer = runs(function)
        print("static const struct case_run case_%s[] = {" % name)
        rows(["{0x%X, 0x%X, %d, %d}," % tuple(r) for r in single], 4)
        print("};")
        print("static const struct case_long long_%s[] = {" % name)
        rows(["{0x%X, {%s}}," % (c, ", ".join("0x%X" % x for x in to)) for c, to in longer], 4)
        print("};")
    print("/* clang-format on */")
    print("\n#endif")


if __name__ == "__main__":
    sys.exit(main())

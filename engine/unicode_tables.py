#!/usr/bin/env python3
"""unicode_tables.py -- writes unicode_tables.h: which code points are letters (by case), marks, numbers and white space.

The data are those of Python's own unicodedata module. Run it in this folder when a tokenizer needs a newer Unicode:

    python3 engine/unicode_tables.py > engine/unicode_tables.h
"""
import sys
import unicodedata


def kind(code):
    category = unicodedata.category(chr(code))
    if category in ("Lu", "Lt"):
        return "UPPER"
    if category == "Ll":
        return "LOWER"
    if category[0] == "L":
        return "CASELESS"
    if category[0] == "M":
        return "MARK"
    if category[0] == "N":
        return "NUMBER"
    if category[0] == "Z" or code in (9, 10, 11, 12, 13, 0x85):  # the property White_Space
        return "SPACE"
    return None


def ranges():
    first, current = 0, None
    for code in range(0x110001):
        k = kind(code) if code < 0x110000 else None
        if k != current:
            if current:
                yield first, code - 1, current
            first, current = code, k


def main():
    cells = ["{0x%X, 0x%X, %s}," % r for r in ranges()]
    print("/* unicode_tables.h -- made by unicode_tables.py from Unicode %s; do not edit. */"
          % unicodedata.unidata_version)
    print("/* clang-format off */")
    line = ""
    for cell in cells:
        if len(line) + len(cell) > 108:
            print(line)
            line = ""
        line += cell
    print(line)
    return 0


sys.exit(main())

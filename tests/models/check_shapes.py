#!/usr/bin/env python3
"""Compares an engine's replies with those in cases.json: python3 check_shapes.py CASES.json REPLIES.jsonl [--least 1.0]

REPLIES holds one line a reply, {"case": "0017", "turn": 0, "reply": "It is blue."}; turns count from 0. Prints every
difference and the share that is equal; fails when a reply is missing or the share is below --least. Needs plain Python.
"""
import argparse
import json
import sys


def read_replies(path):
    replies = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    found = json.loads(line)
                    replies[found["case"], found["turn"]] = found["reply"]
                except (ValueError, KeyError, TypeError) as why:
                    sys.exit(f"{path}:{number}: not a line of the form {{\"case\", \"turn\", \"reply\"}}: {why}")
    return replies


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("cases")
    options.add_argument("replies")
    options.add_argument("--least", type=float, default=1.0, help="share of replies that must be equal")
    o = options.parse_args()
    with open(o.cases, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    replies = read_replies(o.replies)
    asked = equal = missing = 0
    for case in cases:
        for turn, line in enumerate(case["turns"]):
            asked += 1
            got = replies.get((case["case"], turn))
            missing += got is None
            equal += got == line["reply"]
            if got != line["reply"]:
                print(f"{case['case']} turn {turn}: {line['question']!r}: expected {line['reply']!r}, got {got!r}")
    print(f"{equal} of {asked} replies equal, {missing} missing")
    sys.exit(missing > 0 or equal < o.least * asked)


if __name__ == "__main__":
    main()

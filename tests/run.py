#!/usr/bin/env python3
"""Runs the built tests and counts their claims; called by tests/run.sh.

  build/asan     everything but the scripts marked `release`, under ASan and UBSan
  build/release  what needs speed or the whole program: labels `release` and `e2e`
  build/tsan     label `threads`
  build/fuzz     (long) each fuzzer for a minute, starting from its corpus in the tree

A claim is one line of cmocka's form: "[       OK ] name", "[  FAILED  ] name", "[  SKIPPED ] name". A program that
ends badly without naming a claim counts as one failure. The last line is "N passed, N failed, N skipped".
"""
import json
import os
import re
import subprocess
import sys
import time

CLAIM = re.compile(r"\[\s+(OK|FAILED|SKIPPED)\s+\]\s+(.*)")
SUMMARY = re.compile(r"^\d+ test\(s\)")


def tests_of(preset):
    """(name, command, folder, environment, labels, timeout) of every test of a build, from ctest's own list."""
    out = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"],
                         check=True, capture_output=True, text=True).stdout
    for test in json.loads(out)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        yield (test["name"], test["command"], properties.get("WORKING_DIRECTORY", "."), environment,
               set(properties.get("LABELS", [])), float(properties.get("TIMEOUT", 120)))


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def run(self, title, command, folder=".", environment=None, timeout=120.0):
        began = time.monotonic()
        try:
            done = subprocess.run(command, cwd=folder, env={**os.environ, **(environment or {})}, timeout=timeout,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output, code = late.stdout or b"", f"no end within {timeout:.0f} s"
        text = output.decode("utf-8", "replace")
        claims = {"OK": [], "FAILED": [], "SKIPPED": []}
        for line in text.splitlines():
            found = CLAIM.search(line)
            if found and not SUMMARY.match(found[2]) and found[2] not in claims[found[1]]:
                claims[found[1]].append(found[2])
        if code != 0 and not claims["FAILED"]:
            claims["FAILED"].append(f"{title} ended with {code}")
        if not any(claims.values()):
            claims["FAILED"].append(f"{title} claims nothing")
        self.passed += len(claims["OK"])
        self.failed += len(claims["FAILED"])
        self.skipped += len(claims["SKIPPED"])
        print(f"{'ok  ' if not claims['FAILED'] else 'FAIL'} {title:44} {len(claims['OK']):4} passed"
              f"{len(claims['SKIPPED']):4} skipped  {time.monotonic() - began:6.1f} s", flush=True)
        for name in claims["SKIPPED"]:
            why = re.findall(r"SKIP: (.*)", text)
            print(f"       skipped: {name}{' (' + why[0] + ')' if why else ''}")
        if claims["FAILED"]:
            print("\n".join("     | " + line for line in text.splitlines()[-60:]), flush=True)


def main():
    long = sys.argv[1:] == ["long"]
    tally = Tally()
    # Not detect_stack_use_after_return: gcc 12's fake frames are not aligned to the 64 bytes that AVX-512 values need.
    os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    os.environ["WM_KILLS"] = "1000" if long else "200"
    if long:
        os.environ["WM_LONG"] = "1"  # tests that have a longer form read it
    only = {"asan": lambda labels: not labels & {"release", "e2e"},
            "tsan": lambda labels: "threads" in labels,
            "release": lambda labels: bool(labels & {"release", "e2e"})}
    for preset, wanted in only.items():
        for name, command, folder, environment, labels, timeout in tests_of(preset):
            if wanted(labels):
                tally.run(f"{preset}: {name}", command, folder, environment, timeout * (5 if long else 1))
    if long:
        for name in sorted(f for f in os.listdir("build/fuzz") if f.startswith("fuzz_")):
            corpus = f"tests/fuzz/{name[5:]}"
            work = f"build/fuzz/work_{name}"
            os.makedirs(work, exist_ok=True)
            script = (f"build/fuzz/{name} -max_total_time=60 -timeout=10 -rss_limit_mb=2048 {work} {corpus}"
                      f" && echo '[       OK ] {name}_finds_nothing_in_a_minute'")
            tally.run(f"fuzz: {name}", ["sh", "-c", script], timeout=180)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


sys.exit(main())

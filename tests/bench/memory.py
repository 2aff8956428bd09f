#!/usr/bin/env python3
"""Resident memory of `wingman demo` with 32 conversations of 500 tokens, against the limit of 350 MiB.

    python3 tests/bench/memory.py [CONVERSATIONS [TOKENS]]

Each phone writes until its conversation holds that many tokens (prompt and reply of the last turn); then the resident
size is read where Prometheus would read it. WINGMAN names the program; default build/release/wingman.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

LIMIT_MIB = 350
REPLY = 225  # tokens of the longest reply of the demo, the default system prompt and the format's own
WORDS = ("We sell city bicycles, racing bicycles, cargo bicycles, helmets, lights, locks, pumps and bags. The shop opens "
         "at nine and closes at six, on Saturdays at two. A repair takes two days; a new tyre is put on while you wait. ")


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def main():
    conversations = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    program = os.environ.get("WINGMAN", "build/release/wingman")
    with tempfile.TemporaryDirectory() as folder:
        demo = subprocess.Popen([program, "demo", "--port", "0", "--data", folder], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        try:
            said = ""
            while "admin" not in said:
                line = demo.stdout.readline()
                if not line:
                    sys.exit("the demo ended before it printed its address")
                said += line
            page, admin = (re.search(p, said)[1] for p in (r"Open (http://\S+?)/ ", r"admin (http://[^,]+)"))
            empty = resident(admin)
            sizes = {}
            for turn in range(1, 30):
                short = [i for i in range(conversations) if sizes.get(i, 0) < tokens]
                if not short:
                    break
                for i in short:
                    missing = tokens - sizes.get(i, 0)
                    fetch(f"{page}/sim/message", {"contact": f"1555020{i:04}", "text": (WORDS * 12)[: max(20, (missing - REPLY) * 4)]})
                wait_for_turns(admin, conversations, turn, short, sizes)
            full = resident(admin)
            print(f"{conversations} conversations, {min(sizes.values())} to {max(sizes.values())} tokens each, "
                  f"{sum(sizes.values())} in all")
            print(f"resident: {empty:.0f} MiB at the start, {full:.0f} MiB with them, limit {LIMIT_MIB} MiB, "
                  f"ratio {full / LIMIT_MIB:.2f}")
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(timeout=60)


def resident(admin):
    value = re.search(r"^process_resident_memory_bytes (\S+)$", fetch(f"{admin}/metrics"), re.M)[1]
    return float(value) / (1 << 20)


def wait_for_turns(admin, conversations, turn, short, sizes):
    """Until every phone of `short` has its answer; its size is what the last turn's usage says."""
    deadline = time.monotonic() + 300
    left = set(short)
    while left and time.monotonic() < deadline:
        time.sleep(0.5)
        listed = json.loads(fetch(f"{admin}/admin/v1/conversations?limit={conversations}"))["conversations"]
        for c in listed:
            i = int(c["contact"][-4:])
            if i in left and c["turn_count"] >= turn:
                last = json.loads(fetch(f"{admin}/admin/v1/conversations/{c['id']}"))["turns"][-1]
                sizes[i] = last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
                left.discard(i)
    if left:
        sys.exit(f"{len(left)} conversations got no answer within 300 s")


main()

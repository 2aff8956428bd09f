#!/usr/bin/env python3
"""crash.py -- kill the gateway again and again, break its disk, and count what is left.

People write in bursts, each in one conversation, one message after the other; Meta's side repeats everything that was not
answered 200, and now and then what was. Meanwhile the gateway is killed (SIGKILL) at random moments, or its disk fails.
When all is over and quiet:

  every message that got a 200 has exactly one place in its conversation's transcript, in the order it was sent;
  every burst of them has one reply, and the platform accepted each part of each reply exactly once, in order;
  nothing else is there.

WM_KILLS    how often to kill (200); half of the moments fall into the start itself
WM_SEED     of everything random here (printed, so that a run can be had again)
"""
import os
import random
import re
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h  # noqa: E402
from harness import check, wait_until  # noqa: E402

SEED = int(os.environ.get("WM_SEED", "1"))
KILLS = int(os.environ.get("WM_KILLS", "200"))
PEOPLE = 12
BURSTS_OF_A_PHONE = 100
AFTER_START_S = 0.3  # most lives are at most this much longer than a start ...
LONG_LIFE_S = 1.0  # ... and one in sixteen may be this long, so that whole turns end between two kills


class Person(threading.Thread):
    """Writes bursts until told to stop, now and then from another phone, so that no conversation outgrows what the admin
    interface shows of it. `phones`: contact -> the texts that got their 200, in order."""

    def __init__(self, number, world):
        super().__init__(daemon=True)
        self.number = number
        self.world = world
        self.random = random.Random(SEED * 1000 + number)
        self.phones = {}
        self.refused = 0

    def deliver(self, body):
        """As Meta does: again until it is 200."""
        while self.world.gateway.post(body, timeout=5) != 200:
            self.refused += 1
            time.sleep(self.random.uniform(0.01, 0.08))

    def run(self):
        while not self.world.enough.is_set():
            self.use_phone(str(15557000000 + 1000 * self.number + len(self.phones)))

    def use_phone(self, contact):
        sent = self.phones.setdefault(contact, [])
        bodies, messages = [], []  # that were acknowledged; some come again
        for burst in range(BURSTS_OF_A_PHONE):
            texts = [f"#{burst}.{i}#" for i in range(self.random.randint(1, 5))]
            new = [h.text_message(f"wamid.{contact}.{t}", contact, t) for t in texts]
            together = self.random.random() < 0.3
            for part in [new] if together else [[m] for m in new]:
                body = h.envelope(part)
                self.deliver(body)
                sent += [m["text"]["body"] for m in part]
                bodies.append(body)
                messages += part
                if self.random.random() < 0.2:
                    self.deliver(self.random.choice(bodies))
                if self.random.random() < 0.1:  # again, but in other company: an old message and the newest in one body
                    self.deliver(h.envelope([self.random.choice(messages), part[-1]]))
            if self.world.enough.wait(self.random.uniform(0.05, 0.6)):
                return


class World:
    """A gateway, Meta's side that loses some answers, and people who write."""

    def __init__(self):
        self.random = random.Random(SEED)  # when to kill
        self.faults = random.Random(SEED + 1)  # what Meta's side does wrong; its threads share it
        self.enough = threading.Event()
        self.graph = h.Graph()
        self.graph.misbehave = self.misbehave
        self.gateway = h.Gateway()
        value = h.settings(self.gateway.folder / "data", self.graph.url)
        value["channels"][0]["settle"] = {"quiet": "60ms", "at_most": "400ms"}
        value["bots"][0]["max_reply_tokens"] = 6
        self.gateway.configure(value)
        self.graph.post_webhook = self.gateway.post
        self.people = [Person(i, self) for i in range(PEOPLE)]
        self.began = time.monotonic()

    def misbehave(self):
        dice = self.faults.random()
        return "lost" if dice < 0.03 else "busy" if dice < 0.05 else None

    def start_people(self):
        for person in self.people:
            person.start()

    def finish(self):
        """People stop writing, everything is delivered, all is quiet."""
        self.enough.set()
        for person in self.people:
            person.join(60)
            check(not person.is_alive(), f"a message of person {person.number} never got its 200")
        self.graph.misbehave = lambda: None
        wait_until("Meta's side has delivered its statuses", self.graph.pending.empty, 60)
        # A call that a kill may have cut short is made again only after twice the time for which the gateway may have
        # been away (sessions/outbox_rows.c), and for all it knows, it was away since that call.
        patience = 60 + 2 * (time.monotonic() - self.began)
        for _ in range(5):  # between two states there is a moment that looks quiet: look several times
            try:
                wait_until("the gateway is quiet", self.gateway.is_quiet, patience)
            except AssertionError as late:
                busy = {k: v for k, v in self.gateway.metrics().items() if v and re.search("backlog|active|outbox|store", k)}
                raise AssertionError(f"{late}: {busy}") from None
            time.sleep(0.1)

    def clean(self):
        self.enough.set()
        self.gateway.clean()
        self.graph.stop()


def compare(world):
    """Transcripts and outbox against what people sent and what the platform accepted."""
    wrong = []
    messages = replies = 0
    for contact, sent in [phone for person in world.people for phone in person.phones.items()]:
        found = world.gateway.conversations(contact)
        if len(found) != 1:
            wrong.append(f"{contact}: {len(found)} conversations")
            continue
        turns, outbox = found[0]["turns"], found[0]["outbox"]
        asked = [text for t in turns if t["role"] == "user" for text in re.findall(r"#\d+\.\d+#", t["text"])]
        if asked != sent:
            wrong.append(difference(contact, asked, sent))
        roles = re.sub("u+", "u", "".join(t["role"][0] for t in turns))
        if roles != "ua" * (len(roles) // 2):
            wrong.append(f"{contact}: turns do not alternate: {roles}")
        accepted = world.graph.sent_to(contact)
        references = [s["ref"] for s in accepted]
        if None in references or len(set(references)) != len(references):
            wrong.append(f"{contact}: a reply was accepted twice or has no reference of ours: {references}")
        if [s["text"] for s in accepted] != [o["text"] for o in outbox]:
            wrong.append(f"{contact}: accepted {len(accepted)} parts, the outbox holds {len(outbox)}, or in another order")
        if {o["state"] for o in outbox} - {"sent"}:
            wrong.append(f"{contact}: states {[o['state'] for o in outbox]}")
        spoken = {t["turn"] for t in turns if t["role"] == "assistant"}
        if spoken != {o["turn"] for o in outbox}:
            wrong.append(f"{contact}: the turns of the outbox are not those of the transcript")
        messages += len(sent)
        replies += len(spoken)
    check(messages > 0 and replies > 0, "nothing was written")
    check(not wrong, f"{len(wrong)} things are wrong:\n" + "\n".join(wrong[:20]))
    return messages, replies


def difference(contact, got, want):
    lost = [t for t in want if t not in got]
    twice = sorted({t for t in got if got.count(t) > 1})
    extra = [t for t in got if t not in want]
    first = next((i for i, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), min(len(got), len(want)))
    return (f"{contact}: lost {lost[:5]}, twice {twice[:5]}, never sent {extra[:5]}; "
            f"from place {first}: got {got[first:first + 4]}, sent {want[first:first + 4]}")


def nothing_is_lost_or_doubled_when_the_gateway_is_killed_at_random_moments():
    world = World()
    try:
        world.gateway.start()
        start_s = time.monotonic() - world.began
        world.start_people()
        for number in range(KILLS):
            life_s = LONG_LIFE_S if number % 16 == 15 else AFTER_START_S
            if number % 2:  # the others may be killed while they start
                world.gateway.wait_ready()
            else:
                life_s += start_s
            time.sleep(world.random.uniform(0, life_s))
            world.gateway.end(signal.SIGKILL)
            world.gateway.spawn()
        world.gateway.wait_ready()
        killed_s = time.monotonic() - world.began
        world.finish()
        messages, replies = compare(world)
        print(f"{KILLS} kills, {messages} messages, {replies} replies, {sum(p.refused for p in world.people)} deliveries repeated, "
              f"{killed_s:.0f} s of kills, {time.monotonic() - world.began:.0f} s in all, seed {SEED}")
        check(replies > PEOPLE + KILLS / 4, f"only {replies} replies: no turn ended between two kills, and nothing was tested")
        check(world.gateway.end(signal.SIGTERM) == 0, "the last stop was not clean")
    finally:
        world.clean()


def nothing_is_lost_or_doubled_when_the_disk_fails_at_random_writes():
    seconds = 20 if KILLS <= 200 else 100
    world = World()
    control = world.gateway.folder / "faults"
    control.write_bytes(struct.pack("<qq", 0, 0))
    (world.gateway.folder / "data").mkdir(mode=0o700)
    world.gateway.environment = {
        "LD_PRELOAD": os.path.join(os.environ.get("WM_BUILD", str(h.ROOT / "build/release")), "tests/e2e/libfaultio.so"),
        "ASAN_OPTIONS": "verify_asan_link_order=0",
        "WM_FAULT_FOLDER": str(world.gateway.folder / "data"), "WM_FAULT_CONTROL": str(control),
        "WM_FAULT_SEED": str(SEED), "WM_FAULT_ONE_IN": "150"}

    def faults(on):
        with open(control, "r+b") as f:
            f.write(struct.pack("<q", on))

    try:
        world.gateway.start()
        faults(1)
        world.start_people()
        end = time.monotonic() + seconds
        kills = 0
        while time.monotonic() < end:
            time.sleep(world.random.uniform(0.5, 2.5))
            if world.gateway.process.poll() is None and world.random.random() < 0.3:
                world.gateway.end(signal.SIGKILL)
                kills += 1
            if world.gateway.process.poll() is not None:  # killed, or it could not open its store: both are restarted
                world.gateway.spawn()
        faults(0)
        if world.gateway.process.poll() is not None:
            world.gateway.spawn()
        world.gateway.wait_ready()
        world.finish()
        messages, replies = compare(world)
        made = struct.unpack("<qq", control.read_bytes())[1]
        print(f"{made} failed writes, {kills} kills, {messages} messages, {replies} replies, "
              f"{sum(p.refused for p in world.people)} deliveries repeated, seed {SEED}")
        check(made >= 20, f"only {made} writes failed: the test tests nothing")
        check(world.gateway.end(signal.SIGTERM) == 0, "the last stop was not clean")
    finally:
        world.clean()


sys.exit(h.run([nothing_is_lost_or_doubled_when_the_gateway_is_killed_at_random_moments,
                nothing_is_lost_or_doubled_when_the_disk_fails_at_random_writes]))

#!/usr/bin/env python3
"""The figures of Shapes: python3 eval_shapes.py [MODEL] [--split valid|test] [--pictures N]

Whole replies, exact, by transformers' greedy generate on the folder as stored, each picture through a JPEG file of one of several
sizes. Chats run on with the model's own replies. `shuffled`: the same questions, each asked about another chat's picture: what is
left then is what the questions alone give away.
"""
import argparse
import os
import random

import torch

import shapes_data
import shapes_talk
from shapes_chats import QUALITIES, SIZES, chat, own_question
from shapes_data import split
from shapes_judge import Judge
from shapes_model import CHUNK
from shapes_pictures import sent


class Tally:
    """Right and asked by name, in the order of the names' first mention."""

    def __init__(self):
        self.rows = {}

    def add(self, name, right):
        row = self.rows.setdefault(name, [0, 0])
        row[0] += bool(right)
        row[1] += 1

    def show(self, title):
        print(f"\n| {title} | exact | of |\n|---|---|---|")
        for name, (right, asked) in self.rows.items():
            print(f"| {name} | {right / asked:.3f} | {asked} |", flush=True)


def messages(chats, files):
    """Chats of shapes_chats.py as the judge takes them. files: what stands for each picture shown, by (chat, turn)."""
    return [[[{"role": "user", "text": question, "picture": files[n, turn] if picture else None}]
             for turn, (picture, question, _) in enumerate(lines)] for n, lines in enumerate(chats)]


def kind(question, reply):
    if reply.startswith(("Yes", "No")):
        return "negated yes/no" if shapes_data.NEGATION.search(question.lower()) else "yes/no: fits" if reply[0] == "Y" else \
            "yes/no: does not fit"
    words = reply.rstrip(".").split()
    return "description" if len(words) == 5 else "shape" if "a" in words else "colour"


def judge_chats(judge, chats, files):
    return judge.talk(messages(chats, files))[0]


def turns_of_one_picture(judge, pictures, order, rng):
    chats = [chat(rng, pictures, i, 5) for i in order]
    sizes = [SIZES[n % len(SIZES)] for n in range(len(chats))]
    files = {(n, 0): sent(lines[0][0].pixels, sizes[n], rng.choice(QUALITIES), rng) for n, lines in enumerate(chats)}
    given = judge_chats(judge, chats, files)
    by_turn, by_size, by_kind, shuffled = Tally(), Tally(), Tally(), Tally()
    for n, lines in enumerate(chats):
        for turn, (_, question, reply) in enumerate(lines):
            by_turn.add(f"turn {turn + 1}", given[n][turn] == reply)
            by_kind.add(kind(question, reply), given[n][turn] == reply)
        by_size.add(f"turn 1, {sizes[n][0]} x {sizes[n][1]}", given[n][0] == chats[n][0][2])
    others = {(n, 0): files[(n + 1) % len(chats), 0] for n in range(len(chats))}
    for n, replies in enumerate(judge_chats(judge, [lines[:2] for lines in chats], others)):
        for turn in range(2):
            shuffled.add(f"turn {turn + 1}, shuffled pictures", replies[turn] == chats[n][turn][2])
    by_turn.show("one picture, five turns")
    shuffled.show("the same, pictures shuffled")
    by_size.show("size")
    by_kind.show("kind of question, all turns")


def two_pictures(judge, pictures, order, rng):
    chats = [chat(rng, pictures, i, 5, second=True) for i in order]
    files = {(n, turn): sent(p.pixels, rng.choice(SIZES), rng.choice(QUALITIES), rng)
             for n, lines in enumerate(chats) for turn, (p, _, _) in enumerate(lines) if p}
    tally = Tally()
    for n, replies in enumerate(judge_chats(judge, chats, files)):
        for turn in range(5):
            tally.add(f"turn {turn + 1}" + (", second picture" if turn >= 2 else ""), replies[turn] == chats[n][turn][2])
    tally.show("a second picture comes at turn 3")


def other_ways(judge, pictures, order, rng):
    """First questions in other surroundings."""
    ways = {"with a system line": lambda p, f, q: [{"role": "system", "text": rng.choice(shapes_talk.SYSTEM)},
                                                   {"role": "user", "text": q, "picture": f}],
            "picture and question in two messages": lambda p, f, q: [{"role": "user", "text": "", "picture": f},
                                                                     {"role": "user", "text": q}],
            "after hello": lambda p, f, q: [{"role": "user", "text": "Hello"},
                                            {"role": "assistant", "text": "Hello! Send me a picture of a shape."},
                                            {"role": "user", "text": q, "picture": f}]}
    tally = Tally()
    for name, way in ways.items():
        talks, replies = [], []
        for i in order:
            question, reply = own_question(rng, pictures[i])
            talks.append(way(pictures[i], sent(pictures[i].pixels, rng.choice(SIZES), 80, rng), question))
            replies.append(reply)
        for got, want in zip(judge.replies(talks), replies):
            tally.add(name, got == want)
    talks, replies = [], []
    for i in order[:200]:
        talks.append([{"role": "user", "text": "", "picture": sent(pictures[i].pixels, rng.choice(SIZES), 80, rng)}])
        replies.append(shapes_talk.open_reply("both", pictures[i]))
    for got, want in zip(judge.replies(talks), replies):
        tally.add("a picture without words", got == want)
    talked = [shapes_talk.small_talk(rng, None) for _ in range(200)]
    for got, (_, want, _) in zip(judge.replies([[{"role": "user", "text": text}] for text, _, _ in talked]), talked):
        tally.add("small talk, no picture", got == want)
    tally.show("other ways")


def long_chats(judge, pictures, order, rng):
    """Where a chunk's border lies between the picture, a question and its reply."""
    chats = [chat(rng, pictures, i, 14) for i in order]
    files = {(n, 0): sent(lines[0][0].pixels, rng.choice(SIZES), 80, rng) for n, lines in enumerate(chats)}
    given, talks = judge.talk(messages(chats, files))
    tally = Tally()
    for n, replies in enumerate(given):
        for turn, reply in enumerate(replies):
            before = len(judge.chat.prompt(talks[n][:2 * turn]))
            start = len(judge.chat.prompt(talks[n][:2 * turn + 1]))
            where = f"chunk {start // CHUNK + 1}, question and reply together"
            if before // CHUNK != start // CHUNK:
                where = "a border inside or behind the question"
            tally.add(where, reply == chats[n][turn][2])
    tally.rows = dict(sorted(tally.rows.items()))
    tally.show(f"fourteen turns, chunks of {CHUNK}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("model", nargs="?", default=os.path.join(here, "shapes"))
    options.add_argument("--split", default="valid", choices=["valid", "test"])
    options.add_argument("--pictures", type=int, default=1000)
    o = options.parse_args()
    torch.set_num_threads(1)
    rng, pictures, judge = random.Random(11), split(o.split), Judge(o.model)
    order = rng.sample(range(len(pictures)), min(o.pictures, len(pictures)))
    print(f"{len(order)} labelled pictures of the {o.split} split")
    turns_of_one_picture(judge, pictures, order, rng)
    two_pictures(judge, pictures, order[:300], rng)
    other_ways(judge, pictures, order[:300], rng)
    long_chats(judge, pictures, order[:100], rng)


if __name__ == "__main__":
    main()

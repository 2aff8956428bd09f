#!/usr/bin/env python3
"""Chats about held-out pictures, with the replies that are true: what Shapes is judged by.

    python3 shapes_chats.py OUT [--pictures N] [--turns 5]

writes N JPEG files of several sizes and OUT/cases.json: {"cases": [{"case", "turns": [{"picture"?, "question", "reply"}]}]}.
Needs easy-vqa, numpy and Pillow only. The picture comes with the first turn; the first question and every second one are
easy-vqa's own about that picture, the others are worded as people would. `second` chats get a second picture at turn 3.
"""
import argparse
import json
import os
import random

import shapes_talk
from shapes_data import COLOURS, SHAPES, split
from shapes_pictures import sent

SIZES = [(64, 64), (128, 128), (256, 256), (512, 512), (640, 480), (480, 640), (1024, 1024)]
QUALITIES = [60, 75, 85, 92]
DEMO = [("What colour is the shape?", "colour"), ("What color is the shape?", "colour"), ("What shape is it?", "shape"),
        ("What shape is this?", "shape"), ("And the colour?", "colour"), ("What shape?", "shape"), ("What do you see?", "both")]


def own_question(rng, picture):
    """One of easy-vqa's questions about the picture, with the reply that says its answer."""
    text, answer = rng.choice(picture.questions)
    if answer in COLOURS:
        return text, shapes_talk.open_reply("colour", picture)
    if answer in SHAPES:
        return text, shapes_talk.open_reply("shape", picture)
    return text, f"{answer.capitalize()}, it is {shapes_talk.described(picture)}."


def our_question(rng, picture):
    if rng.random() < 0.5:
        text, kind = rng.choice(DEMO)
        return text, shapes_talk.open_reply(kind, picture)
    return (shapes_talk.open_question(rng, picture) if rng.random() < 0.5 else
            shapes_talk.closed_question(rng, picture, 0.4))[:2]


def chat(rng, pictures, index, turns, second=False):
    """(picture or None, question, true reply) per turn about pictures[index]; `second`: from turn 3 about another."""
    picture, lines = pictures[index], []
    for turn in range(turns):
        shown = picture if turn == 0 else None
        if second and turn == 2:
            picture = shown = rng.choice([p for p in pictures if (p.colour, p.shape) != (picture.colour, picture.shape)])
        question, reply = own_question(rng, picture) if turn % 2 == 0 else our_question(rng, picture)
        lines.append((shown, question, reply))
    return lines


def write_pictures(cases, folder, rng, sizes=None):
    """Writes the JPEG files of `cases` (chats with their names) and returns them as the documents of cases.json."""
    sizes = sizes or SIZES
    documents = []
    for number, (name, lines) in enumerate(cases):
        turns = []
        for turn, (picture, question, reply) in enumerate(lines):
            line = {"question": question, "reply": reply}
            if picture:
                size = sizes[(number + turn) % len(sizes)]
                line["picture"] = f"{name}-{turn}-{size[0]}x{size[1]}.jpg" if turn else f"{name}-{size[0]}x{size[1]}.jpg"
                with open(os.path.join(folder, line["picture"]), "wb") as file:
                    file.write(sent(picture.pixels, size, rng.choice(QUALITIES), rng))
            turns.append(line)
        documents.append({"case": name, "turns": turns})
    return documents


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("out")
    options.add_argument("--pictures", type=int, default=888, help="how many of the labelled test pictures")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--seed", type=int, default=1)
    o = options.parse_args()
    rng = random.Random(o.seed)
    pictures = split("test")
    chosen = rng.sample(range(len(pictures)), min(o.pictures, len(pictures)))
    os.makedirs(o.out, exist_ok=True)
    cases = [(f"{pictures[i].number:04d}", chat(rng, pictures, i, o.turns, n % 4 == 3)) for n, i in enumerate(chosen)]
    documents = write_pictures(cases, o.out, rng)
    with open(os.path.join(o.out, "cases.json"), "w", encoding="utf-8") as file:
        json.dump({"cases": documents}, file, indent=1)
        file.write("\n")
    print(f"{len(documents)} chats, {sum('picture' in t for d in documents for t in d['turns'])} pictures in {o.out}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Trains Shapes, the picture model of the demo: python3 train_shapes.py OUT [--minutes 38]

Everything comes from the training split of easy-vqa and from a seed. One thread. Three stages:

    words   the tower alone: the mean of a picture's slots must point to the embeddings of its two words
    short   chats of one to three replies
    chats   chats of one to five replies and longer, a chunk's border anywhere in them

The loss counts replies only, plus two helpers: the facts loss (without it the model did not learn to compare a question's
word with the picture in this time) and the balance of the experts. README.md of the result tells how well it went.
"""
import argparse
import json
import math
import os
import random
import time

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import shapes_export
from shapes_data import COLOURS, SHAPES, split
from shapes_model import CHUNK, SLOTS, Trainee, check_forward, create
from shapes_pictures import SIZES, moved, seen, sent
from shapes_talk import Facts, conversation
from shapes_tokens import Chat, build
from tiling import values

SEED = 4
BATCH = {1: 40, 2: 32, 3: 24, 4: 18, 5: 14, 6: 12}  # conversations of so many turns: about 2,000 tokens a batch
LONG, LONG_BATCH = [9, 10, 11, 12, 13], 7
COPIES = 6  # of each picture in the pool
WORDS_SHARE, SHORT_SHARE = 0.08, 0.30  # of the time; the rest is for long chats
QUESTION = 16  # tokens: a question and the headers around it
SKIPS = 50  # steps without a finite gradient that are borne
YES_NO_WEIGHT, FACTS_WEIGHT, BALANCE_WEIGHT = 4.0, 0.3, 0.01


def pool(pictures, rng):
    """Tiles [n, 3, 64, 64] u8 of each picture's copies, and whose each is."""
    tiles, owner = [], []
    weights = [6 if max(s) <= 256 else 3 if max(s) <= 512 else 2 for s in SIZES]
    for index, picture in enumerate(pictures):
        for copy in range(COPIES):
            pixels = picture.pixels
            if copy >= 2:
                pixels = moved(pixels, rng)
            if rng.random() < 0.5:
                pixels = pixels[:, ::-1]
            size = rng.choices(SIZES, weights)[0]
            tiles.append(seen(sent(numpy.ascontiguousarray(pixels), size, rng.randint(50, 95), rng)))
            owner.append(index)
    return numpy.stack(tiles), owner


class Schedule:
    """A share of the minutes given, as a learning rate that warms up and falls in a line."""

    def __init__(self, clock, first, last, peak, warm, floor=0.02):
        self.clock, self.first, self.last, self.peak, self.warm, self.floor = clock, first, last, peak, warm, floor
        self.step = 0

    def rate(self):
        self.step += 1
        left = 1 - (self.clock() - self.first) / (self.last - self.first)
        return self.peak * min(1, self.step / self.warm) * max(self.floor, left)

    def over(self):
        return self.clock() >= self.last


def rates(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def learn_words(trainee, tiles, owner, pictures, chat, schedule, rng):
    """Stage 1. Aligns pictures with the embeddings of the words that replies name them by."""
    words = [[chat.text(" " + w)[0] for w in group] for group in (COLOURS, SHAPES)]
    labels = torch.tensor([[COLOURS.index(p.colour), SHAPES.index(p.shape)] for p in pictures])
    parts = [trainee.vision, trainee.model.multi_modal_projector, trainee.text.embed_tokens]
    optimizer = torch.optim.AdamW([{"params": [p for m in parts for p in m.parameters()], "share": 1.0}], betas=(0.9, 0.98),
                                  weight_decay=0.05)
    while not schedule.over():
        rates(optimizer, schedule.rate())
        chosen = rng.sample(range(len(owner)), 64)
        mean = trainee.pictures(values(tiles[chosen])).mean(1) * 10
        want = labels[[owner[i] for i in chosen]]
        loss = sum(F.cross_entropy(mean @ trainee.text.embed_tokens.weight[group].T, want[:, i])
                   for i, group in enumerate(words))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for m in parts for p in m.parameters()], 1.0)
        optimizer.step()
        if schedule.step % 100 == 0:
            print(f"words {schedule.step:5d}  loss {loss.item():.3f}", flush=True)


class Lessons:
    """Batches of conversations as tensors."""

    def __init__(self, chat, pictures, owner, rng):
        self.chat, self.pictures, self.owner, self.rng = chat, pictures, owner, rng

    def pick(self):
        tile = self.rng.randrange(len(self.owner))
        return tile, self.pictures[self.owner[tile]]

    def phase(self, replies, length, share):
        """0, or such that a chunk's border falls into the text: half of the time shortly before a reply, where it parts the
        reply from its question, else anywhere."""
        if self.rng.random() >= share:
            return 0
        place = self.rng.randint(1, length - 1)
        if self.rng.random() < 0.5:
            place = max(1, self.rng.choice(replies)[0] - self.rng.randint(0, QUESTION))
        return CHUNK * self.rng.randint(1, 4) - min(place, CHUNK - 1)

    def batch(self, turns, negated_share, border_share, size=None):
        """`size` conversations of one number of `turns`: of one length, nearly, so that little is padding."""
        lessons = []
        size = size or BATCH.get(turns, LONG_BATCH)
        for _ in range(size):
            messages = conversation(self.rng, self.pick, turns, negated_share)
            tiles = [m["picture"] for m in messages if m.get("picture") is not None]
            lessons.append((*self.chat.lesson(messages), tiles))
        width = max(len(ids) for ids, _, _ in lessons)
        ids = torch.full((size, width), self.chat.id["finetune_right_pad"])
        places, facts, tiles = [], [], []
        for row, (text, replies, shown) in enumerate(lessons):
            ids[row, :len(text)] = torch.tensor(text)
            tiles += shown
            for first, end, known in replies:
                places += [(row, i) for i in range(first, end)]
                facts.append((row, first - 1, *known))
        phase = torch.tensor([self.phase(replies, len(text), border_share) for text, replies, _ in lessons])
        return ids, torch.tensor(places), torch.tensor(facts), tiles, phase


def learn_chats(trainee, heads, tiles, lessons, schedule, chat, report, short):
    """Stages 2 and 3. `report(step)` looks in from time to time."""
    vision = [*trainee.vision.parameters(), *trainee.model.multi_modal_projector.parameters()]
    language = [*trainee.model.language_model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW([{"params": language, "share": 1.0}, {"params": vision, "share": 0.25}], betas=(0.9, 0.98),
                                  weight_decay=0.05, fused=True)
    weight = torch.ones(trainee.config.vocab_size)
    weight[[chat.text("Yes")[0], chat.text("No")[0]]] = YES_NO_WEIGHT
    mean, skipped = 0.0, 0
    while not schedule.over():
        rate = schedule.rate()
        rates(optimizer, rate)
        done = (schedule.clock() - schedule.first) / (schedule.last - schedule.first)
        ids, places, facts, shown, phase = lessons.batch(*plan(done, lessons.rng, short))
        pictures = trainee.pictures(values(tiles[shown])) if shown else None
        states, known = trainee.states(ids, pictures, phase)
        logits = trainee.logits(states[places[:, 0], places[:, 1] - 1])
        loss = talk = F.cross_entropy(logits, ids[places[:, 0], places[:, 1]], weight)
        before = known[facts[:, 0], facts[:, 1]]
        for i, head in enumerate(heads):
            loss = loss + FACTS_WEIGHT / len(heads) * 3 * F.cross_entropy(head(before), facts[:, 2 + i])
        loss = loss + BALANCE_WEIGHT * trainee.balance(ids != chat.id["finetune_right_pad"])
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([*language, *vision], 1.0)
        if not torch.isfinite(norm):  # one such step would make every weight NaN
            skipped += 1
            print(f"chats {schedule.step:5d}  skipped: loss {loss.item()}, gradient {norm.item()}", flush=True)
            if skipped > SKIPS:
                raise SystemExit(f"{skipped} steps had no finite gradient: train with a lower rate")
            continue
        optimizer.step()
        mean += (talk.item() - mean) / min(schedule.step, 50)
        if schedule.step % 50 == 0:
            print(f"chats {schedule.step:5d}  rate {rate:.5f}  loss {mean:.4f}  minutes {schedule.clock() / 60:.1f}", flush=True)
        report(schedule.step)


def plan(done, rng, short):
    """(turns, negated share, border share) of the next batch at a share `done` of stages 2 and 3; stage 2 ends at `short`."""
    if done < short * 0.5:
        return rng.choice([1, 1, 2]), 0.15, 0.0
    if done < short:
        return rng.choice([1, 1, 2, 3]), 0.4, 0.1
    return rng.choice([1, 1, 2, 2, 2, 3, 3, 4, 5, 6, rng.choice(LONG), rng.choice(LONG)]), 0.4, 0.4


def probe(trainee, chat, lessons, tiles, border_share, turns):
    """Share of whole replies right, by turn, on 200 conversations of `turns` replies, each asked with what came before right."""
    right, asked = numpy.zeros(turns), numpy.zeros(turns)
    for _ in range(8):
        ids, places, facts, shown, phase = lessons.batch(turns, 0.4, border_share, 25)
        with torch.no_grad():
            states = trainee.states(ids, trainee.pictures(values(tiles[shown])) if shown else None, phase)[0]
            good = trainee.logits(states[places[:, 0], places[:, 1] - 1]).argmax(-1) == ids[places[:, 0], places[:, 1]]
        starts = {}
        for row, before in facts[:, :2].tolist():
            starts.setdefault(row, []).append(before + 1)
        replies = {}
        for (row, place), ok in zip(places.tolist(), good.tolist()):
            turn = sum(s <= place for s in starts[row]) - 1
            replies[row, turn] = replies.get((row, turn), True) and ok
        for (_, turn), ok in replies.items():
            right[turn] += ok
            asked[turn] += 1
    return right / asked


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("out", help="folder for the model")
    options.add_argument("--minutes", type=float, default=36, help="of the training thread's CPU time, all stages together")
    options.add_argument("--start", help="a folder to go on from: stage 1 is left out, stage 2 is taken as done")
    options.add_argument("--rate", type=float, default=1.5e-3, help="of stages 2 and 3 at its highest")
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--every", type=int, default=250, help="steps between looks at the validation pictures")
    o = options.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(o.seed)
    start = time.thread_time()
    aside = [0.0]  # seconds that looking in took: not training

    def clock():
        return time.thread_time() - start - aside[0]

    train, valid = split("train"), split("valid")
    tiles, owner = pool(train, rng)
    valid_tiles, valid_owner = pool(valid, random.Random(o.seed + 1))
    tokenizer = build()
    chat = Chat(tokenizer, SLOTS)
    model = create(tokenizer, o.seed)
    if o.start:
        model.load_state_dict({n: w.float() for n, w in load_file(os.path.join(o.start, "model.safetensors")).items()})
    trainee = Trainee(model)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(owner)} pictures, {clock() / 60:.1f} minutes", flush=True)
    shown = [i for i, p in enumerate(train) if p.colour == "red"][:1]
    prompt = chat.prompt([{"role": "user", "text": "What colour is it?", "picture": 0}])
    check_forward(model, torch.tensor([prompt]), values(tiles[shown]))

    first, end = clock(), o.minutes * 60
    words_end = first if o.start else first + WORDS_SHARE * end
    learn_words(trainee, tiles, owner, train, chat, Schedule(clock, first, words_end, 2e-3, 100), rng)
    heads = torch.nn.ModuleList(torch.nn.Linear(trainee.config.hidden_size, size) for size in Facts.SIZES.values())
    judge = Lessons(chat, valid, valid_owner, random.Random(o.seed + 2))
    curve = []

    def report(step):
        if step % o.every:
            return
        began = time.thread_time()
        figures = {"step": step, "minutes": round(clock() / 60, 2)}
        for name, border, turns in (("five", 0.0, 5), ("border", 1.0, 3)):
            figures[name] = [round(float(x), 3) for x in probe(trainee, chat, judge, valid_tiles, border, turns)]
        curve.append(figures)
        print(json.dumps(figures), flush=True)
        shapes_export.save(model, tokenizer, o.out)
        with open(os.path.join(o.out, "curve.json"), "w", encoding="utf-8") as file:
            json.dump(curve, file)
        aside[0] += time.thread_time() - began

    schedule = Schedule(clock, words_end, end, o.rate, 100 if o.start else 200)
    short = 0.0 if o.start else SHORT_SHARE / (1 - WORDS_SHARE)
    learn_chats(trainee, heads, tiles, Lessons(chat, train, owner, rng), schedule, chat, report, short)
    shapes_export.save(model, tokenizer, o.out)
    print(f"done: {clock() / 60:.1f} minutes of training, {aside[0] / 60:.1f} of looking in, {schedule.step} steps")


if __name__ == "__main__":
    main()

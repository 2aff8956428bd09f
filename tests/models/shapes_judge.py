#!/usr/bin/env python3
"""Shapes as transformers runs it: the exported folder, float32 on the stored weights, eager attention, greedy.

    python3 shapes_judge.py CASES.json [MODEL]      one JSON line a reply, as check_shapes.py reads them

Chats go on with the replies that were given, not with the true ones: errors carry over as they would for a person. Prompts of
one length are run together, so that nothing is padded.
"""
import json
import os
import sys

import torch
from tokenizers import Tokenizer
from transformers import Llama4ForConditionalGeneration

from shapes_model import SLOTS
from shapes_pictures import seen
from shapes_tokens import Chat
from tiling import values

TOGETHER, LONGEST_REPLY = 64, 24


class Judge:
    def __init__(self, folder):
        self.model = Llama4ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        self.model.eval()
        self.chat = Chat(Tokenizer.from_file(f"{folder}/tokenizer.json"), SLOTS)
        self.ends = self.model.config.text_config.eos_token_id
        self.known = {}

    def tile(self, file):
        if file not in self.known:
            self.known[file] = values(seen(file)[None])[0]
        return self.known[file]

    def pixels(self, talks):
        shown = [self.tile(m["picture"]) for talk in talks for m in talk if m.get("picture") is not None]
        return {"pixel_values": torch.stack(shown)} if shown else {}

    def replies(self, talks):
        """The next reply of each talk (a list of messages whose pictures are files or bytes)."""
        prompts = [self.chat.prompt(talk) for talk in talks]
        out = [None] * len(talks)
        lengths = sorted(range(len(talks)), key=lambda i: len(prompts[i]))
        while lengths:
            group = [i for i in lengths if len(prompts[i]) == len(prompts[lengths[0]])][:TOGETHER]
            lengths = [i for i in lengths if i not in group]
            ids = torch.tensor([prompts[i] for i in group])
            with torch.no_grad():
                made = self.model.generate(input_ids=ids, max_new_tokens=LONGEST_REPLY, do_sample=False,
                                           **self.pixels([talks[i] for i in group]))
            for i, row in zip(group, made[:, ids.shape[1]:].tolist()):
                end = next((n for n, token in enumerate(row) if token in self.ends), len(row))
                out[i] = self.chat.tokenizer.decode(row[:end], skip_special_tokens=False)
        return out

    def talk(self, cases):
        """cases: per chat a list of turns, each the messages that come before a reply -> (replies by chat and turn, the chats)."""
        talks, given = [[] for _ in cases], [[] for _ in cases]
        for turn in range(max(len(case) for case in cases)):
            live = [i for i, case in enumerate(cases) if turn < len(case)]
            for i in live:
                talks[i] += cases[i][turn]
            for i, reply in zip(live, self.replies([talks[i] for i in live])):
                talks[i].append({"role": "assistant", "text": reply})
                given[i].append(reply)
        return given, talks

    def first_logits(self, talk):
        """(prompt ids, logits [V] of the reply's first token)"""
        ids = self.chat.prompt(talk)
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([ids]), use_cache=False, **self.pixels([talk])).logits[0, -1]
        return ids, logits


def turns_of(document, folder):
    """One chat of cases.json, whose pictures lie in `folder`, as `talk` takes it."""
    return [[{"role": "user", "text": line["question"],
              "picture": os.path.join(folder, line["picture"]) if "picture" in line else None}] for line in document["turns"]]


def main():
    path = sys.argv[1]
    model = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes")
    torch.set_num_threads(1)
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    given = Judge(model).talk([turns_of(case, os.path.dirname(path)) for case in cases])[0]
    for case, replies in zip(cases, given):
        for turn, reply in enumerate(replies):
            print(json.dumps({"case": case["case"], "turn": turn, "reply": reply}))


if __name__ == "__main__":
    main()

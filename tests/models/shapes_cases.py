#!/usr/bin/env python3
"""Makes tests/models/shapes_test/: held-out pictures and what Shapes says about them, for tests without Python packages.

    python3 shapes_cases.py [MODEL [OUT]]     MODEL: tests/models/shapes, OUT: tests/models/shapes_test

cases.json: {"cases": [{"case", "turns": [{"picture"?, "question", "reply", "prompt_ids", "top5_ids", "top5_logits"}]}]}.
`reply` is what transformers gives and is true (chats with an untrue reply are passed over, and counted in `passed_over`);
`prompt_ids` is the whole prompt of the turn with every picture's slots, `top5_*` belong to the reply's first token.
"""
import json
import os
import random
import shutil
import sys

import torch
import transformers

from shapes_chats import chat, write_pictures
from shapes_data import split
from shapes_judge import Judge, turns_of

CASES, MOST_BYTES = 34, 400_000
TURNS = [2, 2, 3, 5]
SIZES = [(64, 64), (96, 96), (128, 128), (256, 256), (320, 240), (640, 480), (480, 640), (200, 320), (512, 512), (1024, 1024)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    model = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "shapes")
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "shapes_test")
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    rng, pictures, judge = random.Random(7), split("test"), Judge(model)
    order = rng.sample(range(len(pictures)), 2 * CASES)
    cases = [(f"{pictures[i].number:04d}", chat(rng, pictures, i, TURNS[n % len(TURNS)], n % 8 == 3))
             for n, i in enumerate(order)]
    kept, passed_over = [], 0
    for document in write_pictures(cases, out, rng, SIZES):
        given, talks = judge.talk([turns_of(document, out)])
        right = given[0] == [line["reply"] for line in document["turns"]]
        if right and len(kept) < CASES:
            for turn, line in enumerate(document["turns"]):
                ids, logits = judge.first_logits(talks[0][:2 * turn + 1])
                top = logits.topk(5)
                line.update(prompt_ids=ids, top5_ids=top.indices.tolist(),
                            top5_logits=[round(v, 5) for v in top.values.tolist()])
            kept.append(document)
            continue
        passed_over += len(kept) < CASES
        for line in document["turns"]:
            if "picture" in line:
                os.remove(os.path.join(out, line["picture"]))
    size = sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out))
    assert size <= MOST_BYTES, f"{size} bytes of pictures"
    head = {"made_with": f"transformers {transformers.__version__}, float32 on the stored BF16, eager attention",
            "pictures": "easy-vqa 1.0, test split (MIT, Victor Zhou), enlarged and saved as JPEG", "passed_over": passed_over}
    with open(os.path.join(out, "cases.json"), "w", encoding="utf-8") as file:
        lines = ",\n".join("  " + json.dumps(document) for document in kept)
        file.write(json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n")
    print(f"{len(kept)} chats, {passed_over} passed over, {len(os.listdir(out)) - 1} pictures of {size} bytes")


if __name__ == "__main__":
    main()

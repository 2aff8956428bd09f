"""easy-vqa as we use it: which picture shows what, and who may look at it.

The package (easy-vqa 1.0, MIT) holds 64 x 64 pictures with one shape each and about ten questions a picture, but names no
picture's colour and shape. Both follow from its questions: an answer names one, or enough "no" leave one. Pictures where
they do not follow are left out (about one in nine).

Splits: `train` and `valid` are parts of the package's training split, `test` is its test split. Everything is chosen on
`valid`; `test` is looked at once, at the end.
"""
import random
import re

import easy_vqa
import numpy
from PIL import Image

COLOURS = ["blue", "red", "green", "black", "gray", "teal", "brown", "yellow"]
SHAPES = ["circle", "rectangle", "triangle"]
VALID = 300  # pictures of the package's training split that only choose
NEGATION = re.compile(r"\b(not|no)\b")


class Picture:
    """One labelled picture: pixels [64, 64, 3] u8, its colour and shape, and its own questions [(text, answer)]."""

    def __init__(self, number, path, colour, shape, questions):
        self.number, self.path, self.colour, self.shape, self.questions = number, path, colour, shape, questions
        with Image.open(path) as image:
            self.pixels = numpy.asarray(image.convert("RGB"))


def words_of(question):
    return re.findall(r"[a-z]+", question.lower())


def label(questions, words):
    """The one of `words` that a picture's questions leave possible, or None."""
    left = set(words)
    for text, answer in questions:
        if answer in words:
            return answer
        named = [w for w in words_of(text) if w in words]
        if not named:
            continue
        if answer in ("yes", "no"):
            holds = (answer == "yes") != bool(NEGATION.search(text))
            left = left & set(named) if holds else left - set(named)
        else:  # "what is the blue shape?" takes its word for granted
            left &= set(named)
    return left.pop() if len(left) == 1 else None


def read(questions, paths):
    by_picture = {}
    for text, answer, number in zip(*questions):
        by_picture.setdefault(number, []).append((text, answer))
    pictures = []
    for number in sorted(by_picture):
        asked = by_picture[number]
        colour, shape = label(asked, COLOURS), label(asked, SHAPES)
        if colour and shape:
            pictures.append(Picture(number, paths[number], colour, shape, asked))
    return pictures


def split(name):
    """The pictures of split `train`, `valid` or `test`, in order of their numbers."""
    if name == "test":
        return read(easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths())
    pictures = read(easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths())
    chosen = set(random.Random("valid").sample([p.number for p in pictures], VALID))
    return [p for p in pictures if (p.number in chosen) == (name == "valid")]

"""Shapes' tokenizer and chat format: Llama 4's, with fewer words.

Every word of shapes_talk.py is one token. The format is written by ids here, because training must know where replies lie; the
template in tokenizer_config.json is transformers' own, and `check_template` holds the two together.
"""
import re

import small_tokenizer
import tiling
from shapes_data import COLOURS, SHAPES
from shapes_talk import corpus

PIECES, ROUND = 4096, 64


def words():
    """Every word of the domain with and without a capital, with and without the space before it, and its punctuation."""
    found = set()
    for text in corpus():
        for piece in re.findall(r"[A-Za-z]+(?:'s)?|\{.\}", text):
            if piece[0] != "{":
                for word in {piece, piece.replace("olour", "olor")}:
                    found |= {word, word.lower(), " " + word.lower(), word.capitalize()}
                    if word[0].isupper():
                        found.add(" " + word)
    for word in COLOURS + SHAPES:
        found |= {" " + word, word, word.capitalize()}
    return sorted(found) + ["\n\n", "\n", "  ", "...", "!!", "?!"]


def build():
    """The tokenizer."""
    tokenizer = small_tokenizer.build(words(), PIECES, ROUND)
    for word in words():
        ids = tokenizer.encode(word, add_special_tokens=False).ids
        assert len(ids) == 1, f"{word!r} is {len(ids)} tokens"
    return tokenizer


class Chat:
    """Conversations (shapes_talk.py) as ids. slots: embedding slots of one picture."""

    def __init__(self, tokenizer, slots):
        self.tokenizer, self.id, self.known = tokenizer, small_tokenizer.ids(tokenizer), {}
        self.block = tiling.block(self.id, slots, 1, 1)

    def text(self, text):
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.known[text]

    def header(self, role):
        return [self.id["header_start"], *self.text(role), self.id["header_end"], *self.text("\n\n")]

    def message(self, message):
        picture = self.block if message.get("picture") is not None else []
        return self.header(message["role"]) + picture + self.text(message["text"]) + [self.id["eot"]]

    def prompt(self, messages):
        """Ids up to where the next reply begins."""
        return sum((self.message(m) for m in messages), [self.id["begin_of_text"]]) + self.header("assistant")

    def lesson(self, messages):
        """(ids, replies): replies are (first, end, facts) with ids[first:end] a reply and the token that ends it."""
        ids, replies = [self.id["begin_of_text"]], []
        for m in messages:
            if m["role"] == "assistant":
                first = len(ids) + len(self.header("assistant"))
                ids += self.message(m)
                replies.append((first, len(ids), m["facts"]))
            else:
                ids += self.message(m)
        return ids, replies


def check_template(folder, chat, messages):
    """transformers' template, run on `messages`, gives the ids that `Chat.prompt` gives."""
    from transformers import AutoTokenizer
    theirs = AutoTokenizer.from_pretrained(folder)
    listed = []
    for m in messages:
        parts = [{"type": "image"}] if m.get("picture") is not None else []
        listed.append({"role": m["role"], "content": parts + [{"type": "text", "text": m["text"]}]})
    text = theirs.apply_chat_template(listed, tokenize=False, add_generation_prompt=True)
    block = "".join(chat.tokenizer.id_to_token(i) for i in chat.block)
    ids = theirs(text.replace("<|image|>", block), add_special_tokens=False)["input_ids"]
    assert ids == chat.prompt(messages), f"the template and the chat format differ on {messages}"

"""babble.py -- a language model in 400 KB that talks nonsense: whole in form, so that wingman runs it as any other, and
loaded in milliseconds, so that a test may start the gateway a thousand times.

GGUF, architecture llama, random F32 weights (always the same). Each token is a byte, beside the three controls of
ChatML. The rows of its output for anything but small letters are zero, so it says words of small letters until it is
stopped: never nothing, never half a character.
"""
import array
import random
import struct

EMBED, HEADS, KV_HEADS, FEED, BLOCKS, CONTEXT = 64, 4, 2, 96, 2, 8192
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
            " + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
UINT32, FLOAT32, STRING, ARRAY = 4, 6, 8, 9  # GGUF value types
ALIGNMENT = 32


def byte_names():
    """GPT-2's printable name of each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) if b in printable else chr(256 + rest.index(b)) for b in range(256)]


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


def strings(key, values):
    return entry(key, ARRAY, struct.pack("<IQ", STRING, len(values)) + b"".join(string(v) for v in values))


def metadata(tokens):
    u32 = {"block_count": BLOCKS, "context_length": CONTEXT, "embedding_length": EMBED, "feed_forward_length": FEED,
           "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "vocab_size": len(tokens),
           "rope.dimension_count": EMBED // HEADS}
    f32 = {"rope.freq_base": 10000.0, "attention.layer_norm_rms_epsilon": 1e-5}
    kinds = [3 if t in CONTROLS else 1 for t in tokens]
    return [entry("general.architecture", STRING, string("llama")), entry("general.name", STRING, string("babble")),
            *(entry("llama." + k, UINT32, struct.pack("<I", v)) for k, v in u32.items()),
            *(entry("llama." + k, FLOAT32, struct.pack("<f", v)) for k, v in f32.items()),
            entry("tokenizer.ggml.model", STRING, string("gpt2")), entry("tokenizer.ggml.pre", STRING, string("smollm")),
            strings("tokenizer.ggml.tokens", tokens), strings("tokenizer.ggml.merges", ["t h"]),
            entry("tokenizer.ggml.token_type", ARRAY, struct.pack(f"<IQ{len(kinds)}i", 5, len(kinds), *kinds)),
            entry("tokenizer.ggml.bos_token_id", UINT32, struct.pack("<I", 1)),
            entry("tokenizer.ggml.eos_token_id", UINT32, struct.pack("<I", 2)),
            entry("tokenizer.chat_template", STRING, string(TEMPLATE))]


def tensors(tokens):
    """(name, columns, rows, values) of each; rows 0: a vector."""
    noise = random.Random(7)

    def matrix(name, columns, rows):
        return name, columns, rows, array.array("f", (noise.gauss(0, columns ** -0.5) for _ in range(columns * rows)))

    def ones(name):
        return name, EMBED, 0, array.array("f", [1.0] * EMBED)

    kv = KV_HEADS * (EMBED // HEADS)
    yield matrix("token_embd.weight", EMBED, len(tokens))
    yield ones("output_norm.weight")
    output = matrix("output.weight", EMBED, len(tokens))
    for row, token in enumerate(tokens):
        if not (len(token) == 1 and "a" <= token <= "z"):
            output[3][row * EMBED:(row + 1) * EMBED] = array.array("f", [0.0] * EMBED)
    yield output
    for i in range(BLOCKS):
        block = f"blk.{i}."
        yield ones(block + "attn_norm.weight")
        yield ones(block + "ffn_norm.weight")
        for name, columns, rows in (("attn_q", EMBED, EMBED), ("attn_k", EMBED, kv), ("attn_v", EMBED, kv),
                                    ("attn_output", EMBED, EMBED), ("ffn_gate", EMBED, FEED), ("ffn_up", EMBED, FEED),
                                    ("ffn_down", FEED, EMBED)):
            yield matrix(f"{block}{name}.weight", columns, rows)


def write(path):
    tokens = CONTROLS + byte_names() + ["th"]
    keys = metadata(tokens)
    heads, body = [], b""
    for name, columns, rows, values in tensors(tokens):
        body += b"\0" * (-len(body) % ALIGNMENT)
        shape = struct.pack("<IQQ", 2, columns, rows) if rows else struct.pack("<IQ", 1, columns)
        heads.append(string(name) + shape + struct.pack("<IQ", 0, len(body)))
        body += values.tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(heads), len(keys)) + b"".join(keys) + b"".join(heads)
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + body)

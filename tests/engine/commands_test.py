#!/usr/bin/env python3
"""commands_test.py -- score, tokenize, vision, model, chat and bench as a person at the terminal meets them.

Prints cmocka's lines. WINGMAN is the program; WM_MODEL or build/models/ holds the small model.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

WINGMAN = os.environ["WINGMAN"]
MODEL = os.environ.get("WM_MODEL") or "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"
PARIS = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


class Skip(Exception):
    pass


def run(*args, stdin="", timeout=240):
    return subprocess.run([WINGMAN, *args], input=stdin, capture_output=True, text=True, timeout=timeout)


def need_model():
    if not os.path.exists(MODEL):
        raise Skip("no small model: WM_MODEL and build/models/ are empty")


def score_answers_with_ids_greedy_text_and_likelihood():
    need_model()
    done = run("score", MODEL, "--backend", "reference", "--greedy", "8", "--top", "3", stdin=json.dumps(PARIS))
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert set(out) == {"ids", "greedy", "text", "nll", "top"}, out.keys()
    assert len(out["ids"]) == 37 and len(out["greedy"]) == 8 and len(out["top"]) == 37
    assert out["text"] == "The capital of France is Paris.", out["text"]
    logprobs = [p for _, p in out["top"][-1]]
    assert len(logprobs) == 3 and logprobs == sorted(logprobs, reverse=True) and logprobs[0] < 0


def score_takes_ids_text_and_lists_of_parts():
    need_model()
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is the capital"},
                                                       {"type": "text", "text": " of France?"}]}]}
    ids = json.loads(run("score", MODEL, stdin=json.dumps(PARIS)).stdout)["ids"]
    assert json.loads(run("score", MODEL, stdin=json.dumps(parts)).stdout)["ids"] == ids
    again = json.loads(run("score", MODEL, stdin=json.dumps({"ids": ids})).stdout)
    assert again["ids"] == ids and again["greedy"] == [] and again["text"] == ""
    assert json.loads(run("score", MODEL, stdin='{"text": "Hello world"}').stdout)["ids"] == [19556, 905]


def score_writes_logits_that_numpy_would_read():
    need_model()
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/logits.npy"
        done = run("score", MODEL, "--logits", path, "--greedy", "2", "--top", "1", stdin='{"ids": [504, 3575, 282]}')
        assert done.returncode == 0, done.stderr
        data = open(path, "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    assert data[:8] == b"\x93NUMPY\x01\x00" and (10 + size) % 64 == 0
    head = eval(data[10:10 + size])  # a Python literal that we wrote ourselves
    assert head == {"descr": "<f4", "fortran_order": False, "shape": (3, 49152)}, head
    rows = struct.unpack("<%df" % (3 * 49152), data[10 + size:])
    last = rows[2 * 49152:]
    assert last.index(max(last)) == json.loads(done.stdout)["top"][2][0][0]


def bad_input_to_score_is_a_sentence_and_exit_1():
    need_model()
    for text in ["", "not json", "[]", "{}", '{"ids": []}', '{"ids": [-1]}', '{"ids": [49152]}', '{"ids": ["1"]}',
                 '{"messages": [{"role": "robot", "content": "x"}]}', '{"messages": [{"role": "user", "content": 3}]}',
                 '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}']:
        done = run("score", MODEL, stdin=text)
        assert done.returncode == 1 and done.stderr.startswith("wingman score: ") and not done.stdout, (text, done)


def misused_commands_say_how_and_exit_2():
    for args in [["score"], ["score", "x", "y"], ["score", "--top", "-1", "x"], ["score", "--nonsense", "x"], ["tokenize"],
                 ["model"], ["model", "weigh", "x"], ["chat"], ["chat", "--max-tokens", "0", "x"], ["bench"],
                 ["vision"], ["vision", "x"], ["vision", "--nonsense", "x", "y"], ["bench", "--conversations", "1,,2", "x"], ["bench", "--conversations", "0", "x"]]:
        done = run(*args)
        assert done.returncode == 2 and "usage: wingman" in done.stderr, (args, done)


def a_file_that_is_no_model_is_a_sentence_and_exit_1():
    for args in [["score"], ["tokenize"], ["model", "info"], ["model", "verify"], ["chat"], ["bench"]]:
        for path in ["no/such/file", "README.md", "."]:
            done = run(*args, path, stdin="{}")
            assert done.returncode == 1 and path in done.stderr and done.stderr.count("\n") == 1, (args, path, done)


def tokenize_answers_line_by_line_and_goes_on_after_a_bad_one():
    need_model()
    lines = ['{"text": "Hello world"}', "", "nonsense", '{"text": "<|im_end|>"}', json.dumps(PARIS)]
    done = run("tokenize", MODEL, stdin="\n".join(lines) + "\n")
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and len(out) == 4, done
    assert out[0] == {"ids": [19556, 905]} and "error" in out[1]
    assert 2 not in out[2]["ids"] and out[3]["ids"][0] == 1
    assert run("tokenize", MODEL, stdin=lines[0]).returncode == 0


def model_info_and_verify_look_at_the_small_model():
    need_model()
    info, verify = run("model", "info", MODEL), run("model", "verify", MODEL)
    assert info.returncode == 0 and "runs here: yes, as llama" in info.stdout and "chats as chatml" in info.stdout, info
    assert verify.returncode == 0 and verify.stdout.endswith("whole\n") and "272 tensors" in verify.stdout, verify


def a_model_cut_short_is_refused_by_every_command():
    need_model()
    with tempfile.NamedTemporaryFile(suffix=".gguf") as cut:
        with open(MODEL, "rb") as whole:
            cut.write(whole.read(10_000_000))
        cut.flush()
        for args in [["score"], ["model", "verify"], ["chat"]]:
            done = run(*args, cut.name, stdin="{}")
            assert done.returncode == 1 and "cut short" in done.stderr, (args, done)


def chat_through_a_pipe_answers_each_line_and_remembers():
    need_model()
    done = run("chat", MODEL, "--backend", "reference", "--max-tokens", "10",
               stdin="What is the capital of France?\n/image x.png\n/reset\nWhat is the capital of France?\n/quit\nnot read\n")
    assert done.returncode == 0, done
    assert done.stdout == 2 * "The capital of France is Paris.\n", done.stdout
    assert "does not see pictures" in done.stderr


SEEING, PICTURES = "../shared/golden/models/maverick-vision-tiny", "../shared/golden/images"


def need_golden():
    if not os.path.exists(SEEING):
        raise Skip("no " + SEEING)


def npy(path):
    """Shape and values of a float32 array."""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<H", data[8:10])[0]
    shape = eval(data[10:10 + size])["shape"]  # a Python literal that we wrote ourselves
    return shape, struct.unpack("<%df" % (len(data[10 + size:]) // 4), data[10 + size:])


def golden_values(name):
    """Values of a BF16 or F32 tensor."""
    with open(SEEING + "/golden.safetensors", "rb") as f:
        data = f.read()
    head = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + head])[name]
    begin, end = entry["data_offsets"]
    data = data[8 + head + begin:8 + head + end]
    if entry["dtype"] == "BF16":
        data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    return struct.unpack("<%df" % (len(data) // 4), data)


def vision_shows_what_the_tower_gets_and_what_it_makes_of_it():
    need_golden()
    with tempfile.TemporaryDirectory() as folder:
        for prompt, name, tiles, tokens in [("one_tile", "one", 1, 7), ("many_tiles", "many", 5, 27)]:
            pixels, rows = folder + "/pixels.npy", folder + "/rows.npy"
            done = run("vision", SEEING, f"{PICTURES}/{name}.png", "--backend", "reference", "--pixels", pixels,
                       "--embeddings", rows)
            assert done.returncode == 0 and not done.stderr, done
            assert f"tiles   {tiles} of 56 x 56" in done.stdout and f"tokens  {tokens} in a prompt" in done.stdout, done
            assert npy(pixels) == ((tiles, 3, 56, 56), golden_values("pixels." + prompt)), name
            shape, values = npy(rows)
            wanted = golden_values("projected." + prompt)
            assert shape == (4 * tiles, 64) and len(values) == len(wanted), shape
            assert max(abs(a - b) for a, b in zip(values, wanted)) <= 2e-5, name


def vision_refuses_what_it_cannot_look_at_in_one_sentence():
    need_golden()
    for picture, words in [("no/such/file.png", "no/such/file.png"), ("README.md", "no picture that we know"), (".", ".")]:
        done = run("vision", SEEING, picture)
        assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1 and not done.stdout, done
    done = run("vision", SEEING, PICTURES + "/one.png", "--pixels", "no/such/folder/pixels.npy")
    assert done.returncode == 1 and "cannot be written" in done.stderr, done


def vision_says_when_a_model_does_not_see():
    need_model()
    done = run("vision", MODEL, "README.md")
    assert done.returncode == 1 and "does not see" in done.stderr and not done.stdout, done


def bench_prints_a_rate_for_each_number_of_conversations():
    need_model()
    done = run("bench", MODEL, "--rounds", "1", "--prompt", "32", "--reply", "4", "--conversations", "1,3")
    assert done.returncode == 0, done
    rows = {line.split()[0] + line.split()[1]: float(line.split()[2]) for line in done.stdout.splitlines()
            if line.startswith(("prefill", "decode"))}
    assert set(rows) == {"prefill32", "decode1", "decode3"} and all(rate > 0 for rate in rows.values()), rows


TESTS = [score_answers_with_ids_greedy_text_and_likelihood, score_takes_ids_text_and_lists_of_parts,
         score_writes_logits_that_numpy_would_read, bad_input_to_score_is_a_sentence_and_exit_1,
         misused_commands_say_how_and_exit_2, a_file_that_is_no_model_is_a_sentence_and_exit_1,
         tokenize_answers_line_by_line_and_goes_on_after_a_bad_one, model_info_and_verify_look_at_the_small_model,
         a_model_cut_short_is_refused_by_every_command, chat_through_a_pipe_answers_each_line_and_remembers,
         vision_shows_what_the_tower_gets_and_what_it_makes_of_it, vision_refuses_what_it_cannot_look_at_in_one_sentence,
         vision_says_when_a_model_does_not_see, bench_prints_a_rate_for_each_number_of_conversations]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print("[       OK ]", test.__name__)
        except Skip as why:
            print("[  SKIPPED ]", test.__name__ + ":", why)
        except (AssertionError, subprocess.TimeoutExpired, ValueError, KeyError) as why:
            failed += 1
            print("[  FAILED  ]", test.__name__ + ":", str(why)[:2000])
        sys.stdout.flush()
    return failed > 0


sys.exit(main())

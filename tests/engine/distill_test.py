#!/usr/bin/env python3
"""distill_test.py -- score about pictures, and teacher output, from outside; on the tiny models of the tree.

Prints cmocka's lines. WINGMAN is the program. The file is read here byte by byte, and by the package safetensors where it is there.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

WINGMAN = os.environ["WINGMAN"]
MODEL = "tests/models/tiny/maverick"
IMAGES = "tests/models/tiny/images/"
GOLDEN = json.load(open(MODEL + "/golden.json"))
CONVERSATIONS = [
    {"ids": GOLDEN["prompts"]["n17"]["ids"]},
    {"ids": GOLDEN["prompts"]["one_tile"]["ids"], "images": [IMAGES + "one.png"]},
    {"messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A shape."}]},
]


class Skip(Exception):
    pass


def score(*args, stdin):
    done = subprocess.run([WINGMAN, "score", MODEL, "--backend", "reference", *args], input=stdin, capture_output=True,
                          text=True, timeout=240)
    return done


def read_tensors(path):
    """Names to (shape, values), and the metadata; checks that the data have no holes."""
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    about = head.pop("__metadata__")
    tensors, end = {}, 0
    for name, t in sorted(head.items(), key=lambda item: item[1]["data_offsets"][0]):
        begin, after = t["data_offsets"]
        assert begin == end, name
        end = after
        n = (after - begin) // 4
        values = struct.unpack("<%d%s" % (n, {"I32": "i", "F32": "f"}[t["dtype"]]), data[begin:after])
        tensors[name] = (t["shape"], values)
    assert end == len(data)
    return tensors, about


def distill(path, lines, top):
    return score("--distill", path, "--top", str(top), stdin="".join(json.dumps(c) + "\n" for c in lines))


def score_answers_about_a_picture_with_the_golden_tokens():
    done = score("--greedy", "24", stdin=json.dumps(CONVERSATIONS[1]))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["greedy"] == GOLDEN["greedy"]["one_tile"]["ids"]


def pictures_that_do_not_fit_their_prompt_get_a_sentence():
    for prompt in [{"ids": [1, 2, 3], "images": [IMAGES + "one.png"]}, {"ids": GOLDEN["prompts"]["one_tile"]["ids"]},
                   {"ids": [1], "images": ["no/such.png"]}]:
        done = score(stdin=json.dumps(prompt))
        assert done.returncode == 1 and done.stderr.startswith("wingman score: ") and not done.stdout, done


def a_teachers_opinion_is_that_of_score():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "teacher.safetensors")
        done = distill(path, CONVERSATIONS, 7)
        assert done.returncode == 0, done.stderr
        assert os.listdir(folder) == ["teacher.safetensors"]
        tensors, about = read_tensors(path)
        assert about["top_k"] == "7" and about["model"] == "maverick" and len(about["fingerprint"]) == 32
        assert len(tensors) == 3 * len(CONVERSATIONS)
        for i, conversation in enumerate(CONVERSATIONS):
            want = json.loads(score("--top", "7", stdin=json.dumps(conversation)).stdout)
            shape, ids = tensors["ids.%d" % i]
            n = len(want["ids"])
            assert shape == [n] and list(ids) == want["ids"]
            for name in ("top_ids", "top_logits"):
                assert tensors["%s.%d" % (name, i)][0] == [n, 7]
            for p, row in enumerate(want["top"]):
                at = slice(7 * p, 7 * p + 7)
                logits = tensors["top_logits.%d" % i][1][at]
                assert list(tensors["top_ids.%d" % i][1][at]) == [token for token, _ in row], (i, p)
                # Logarithms of probabilities differ from logits by one number for each position.
                shifts = [logit - logprob for logit, (_, logprob) in zip(logits, row)]
                assert max(shifts) - min(shifts) < 1e-4, shifts


def every_k_up_to_the_vocabulary_is_written():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "all.safetensors")
        assert distill(path, CONVERSATIONS[:1], 1 << 20).returncode == 0
        tensors, about = read_tensors(path)
        vocabulary = json.load(open(MODEL + "/config.json"))["text_config"]["vocab_size"]
        assert tensors["top_ids.0"][0] == [17, vocabulary] and about["top_k"] == str(vocabulary)
        assert sorted(tensors["top_ids.0"][1][:vocabulary]) == list(range(vocabulary))


def a_bad_line_is_named_and_leaves_no_file():
    with tempfile.TemporaryDirectory() as folder:
        for bad in ['{"ids": [1, 99999]}', '{"ids": [1}', '{"ids": []}', '{"messages": "hello"}', "[]"]:
            path = os.path.join(folder, "out.safetensors")
            done = score("--distill", path, stdin='{"ids": [1, 2]}\n' + bad + "\n")
            assert done.returncode == 1 and "line 2" in done.stderr, (bad, done)
            assert os.listdir(folder) == [], bad
        assert score("--distill", "no/such/folder/out.safetensors", stdin='{"ids": [1]}').returncode == 1
        assert score("--distill", os.path.join(folder, "none"), stdin="\n\n").returncode == 1
        assert score("--distill", "x", "--logits", "y", stdin="").returncode == 2


def the_package_safetensors_reads_it():
    try:
        from safetensors import safe_open
        import numpy
    except ImportError:
        raise Skip("no Python package safetensors, or no numpy")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "teacher.safetensors")
        assert distill(path, CONVERSATIONS, 3).returncode == 0
        with safe_open(path, "np") as f:
            assert f.metadata()["top_k"] == "3"
            assert f.get_tensor("top_logits.0").shape == (17, 3) and f.get_tensor("ids.0").dtype == numpy.int32


TESTS = [score_answers_about_a_picture_with_the_golden_tokens, pictures_that_do_not_fit_their_prompt_get_a_sentence,
         a_teachers_opinion_is_that_of_score, every_k_up_to_the_vocabulary_is_written,
         a_bad_line_is_named_and_leaves_no_file, the_package_safetensors_reads_it]


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

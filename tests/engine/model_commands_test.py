#!/usr/bin/env python3
"""model_commands_test.py -- `wingman model` and `wingman plan` on every kind of model file, as a person at the terminal meets them.

Prints cmocka's lines. WINGMAN is the program; golden models lie in ../shared/golden/, without which some tests say SKIP.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

WINGMAN = os.environ["WINGMAN"]
GOLDEN = "../shared/golden"
FOLDERS = ["llama-dense", "llama3-dense", "maverick-tiny", "scout-tiny", "scout-top2", "maverick-vision-tiny", "maverick-fp8",
           "maverick-fp8-fused"]
FILES = ["llama-dense-Q4_0", "llama3-dense-Q4_1", "maverick-tiny-BF16", "scout-tiny-BF16-00003-of-00003", "scout-tiny-Q8_0"]
PROJECTOR = GOLDEN + "/gguf/mmproj-maverick-vision-tiny-BF16.gguf"


class Skip(Exception):
    pass


def run(*args):
    return subprocess.run([WINGMAN, *args], capture_output=True, text=True, timeout=120)


def need_golden():
    if not os.path.isdir(GOLDEN):
        raise Skip("no ../shared/golden")


def figures(text):
    """The first number of each line, by the words before it."""
    out = {}
    for line in text.splitlines():
        words = line.split()
        for i, word in enumerate(words):
            if word[0].isdigit():
                out.setdefault(" ".join(words[:i]), [w.replace(",", "") for w in words[i:]])
                break
    return out


def plan_tells_scout_and_maverick_as_worked_out_by_hand():
    want = {"scout": ("108641793536", "17172894720", "217.28", "120.65", ["32.3", "98.1", "210.4"]),
            "maverick": ("401583781376", "17184691200", "803.17", "416.62", ["32.3", "73.3", "331.4"])}
    for model, (total, active, bf16, fp8, steps) in want.items():
        done = run("plan", model)
        assert done.returncode == 0 and not done.stderr, done
        told = figures(done.stdout)
        assert told["total"][0] == total and told["active"][0] == active, told
        assert told["bf16"][:4] == [bf16, *steps] and told["fp8"][0] == fp8, told
        assert "192.0 KiB a token, 48.0 KiB once its chunk of 8192 has ended" in done.stdout, done.stdout
        assert "131,072           7.12             24.00" in done.stdout, done.stdout


def plan_tells_what_fits_on_gpus_and_how_fast():
    done = run("plan", "maverick", "--gpu", "h100:8", "--kv", "fp8", "--context", "8192")
    assert "8 x NVIDIA H100 SXM: 640 GB at 26.80 TB/s" in done.stdout, done.stdout
    assert "(803 GB of weights)" in done.stdout, done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("  fp8 ")]
    fits, speeds = int(rows[1][1].replace(",", "")), [float(s) for s in rows[1][2:5]]
    weights = 401583781376 * 2 - 386547056640  # bytes: the routed experts in one each, the rest in two
    assert fits == int((640e9 * 0.9 - weights - 8192 * 72 * 1024) / (24 * 1024)), rows
    # 26.8 TB/s over 29.28 GB of weights and 8,192 positions of 96 KiB
    assert abs(speeds[0] - 26.8e12 / (29.2805e9 + 8192 * 98304)) < 1 and speeds[2] > speeds[1] > speeds[0], speeds
    behemoth = run("plan", "behemoth", "--gpu", "b200:16")
    assert behemoth.returncode == 0 and "an estimate" in behemoth.stdout.splitlines()[0], behemoth


def plan_reads_configs_folders_and_files_without_their_weights():
    need_golden()
    config = GOLDEN + "/models/maverick-tiny/config.json"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(config, folder)
        totals = [figures(run("plan", *args).stdout)["total"][0]
                  for args in [[config], [folder], [GOLDEN + "/gguf/maverick-tiny-BF16.gguf"]]]
    assert totals == 3 * ["461888"], totals
    with_tower = run("plan", GOLDEN + "/gguf/maverick-vision-tiny-BF16.gguf", "--projector", PROJECTOR)
    assert figures(with_tower.stdout)["total"][0] == "404720", with_tower


def a_misused_plan_says_how_and_a_bad_model_is_a_sentence():
    for args in [[], ["scout", "maverick"], ["--gpu", "abacus", "scout"], ["--gpu", "h100:0", "scout"], ["--kv", "fp2", "scout"],
                 ["--context", "0", "scout"], ["--nonsense", "scout"]]:
        done = run("plan", *args)
        assert done.returncode == 2 and done.stderr and not done.stdout, (args, done)
    done = run("plan", "scout", "--projector", "tower.gguf")
    assert done.returncode == 1 and "leave tower.gguf out" in done.stderr and not done.stdout, done
    for model in ["llama-9", "README.md", "tests", "no/such/config.json"]:
        done = run("plan", model)
        assert done.returncode == 1 and model in done.stderr and done.stderr.count("\n") == 1, (model, done)


def info_and_verify_take_every_kind_of_model():
    need_golden()
    models = [[GOLDEN + "/models/" + name] for name in FOLDERS] + [[GOLDEN + "/gguf/" + name + ".gguf"] for name in FILES]
    models.append([GOLDEN + "/gguf/maverick-vision-tiny-BF16.gguf", "--projector", PROJECTOR])
    for model in models:
        info, verify = run("model", "info", *model), run("model", "verify", *model)
        assert info.returncode == 0 and "runs here: yes" in info.stdout, info
        assert verify.returncode == 0 and verify.stdout.endswith("whole\n"), verify
        assert "architecture: llama" in info.stdout and "kv.device of 2.0 GiB (the default) holds" in info.stdout, info


def verify_names_the_file_and_tensor_that_hold_no_number():
    need_golden()
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(GOLDEN + "/models/scout-tiny"):
            shutil.copy(GOLDEN + "/models/scout-tiny/" + name, folder)
        shard = folder + "/model-00002-of-00003.safetensors"
        with open(shard, "r+b") as f:
            f.seek(-2, os.SEEK_END)
            f.write(struct.pack("<H", 0x7F80))  # infinity in BF16
        done = run("model", "verify", folder)
        assert done.returncode == 1 and shard + ": tensor model.layers." in done.stdout, done
        assert "is not a finite number" in done.stdout and "NOT whole" in done.stdout, done


def a_folder_cut_at_any_tenth_is_one_sentence():
    need_golden()
    with tempfile.TemporaryDirectory() as folder:
        for name in ["config.json", "model.safetensors"]:
            shutil.copy(GOLDEN + "/models/maverick-fp8/" + name, folder)
        size = os.path.getsize(folder + "/model.safetensors")
        for tenth in range(9, -1, -1):
            os.truncate(folder + "/model.safetensors", size * tenth // 10)
            done = run("model", "verify", folder)
            assert done.returncode == 1 and folder in done.stderr and done.stderr.count("\n") == 1, done
            assert "cut short" in done.stderr or "empty" in done.stderr or "header" in done.stderr, done


TESTS = [plan_tells_scout_and_maverick_as_worked_out_by_hand, plan_tells_what_fits_on_gpus_and_how_fast,
         plan_reads_configs_folders_and_files_without_their_weights, a_misused_plan_says_how_and_a_bad_model_is_a_sentence,
         info_and_verify_take_every_kind_of_model, verify_names_the_file_and_tensor_that_hold_no_number,
         a_folder_cut_at_any_tenth_is_one_sentence]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print("[       OK ]", test.__name__)
        except Skip as why:
            print("[  SKIPPED ]", test.__name__ + ":", why)
        except (AssertionError, subprocess.TimeoutExpired, ValueError, KeyError, IndexError) as why:
            failed += 1
            print("[  FAILED  ]", test.__name__ + ":", str(why)[:2000])
        sys.stdout.flush()
    return failed > 0


sys.exit(main())

"""Expected values of a tiny model, by transformers: float32, eager attention, no cache.

golden.json holds prompts, greedy continuations with the margin of each choice, and `sensitivity`: how far some logit moves
when one rule is broken by the config alone. golden.safetensors holds tensors by the names that tests/engine reads:

    logits.P [n, V]  or  logits_last.P [V]          argmax.P [n] I32          top5_ids.P, top5_logprobs.P [n, 5]
    hidden.P.embed, .0 ... .L-1, .norm [n, H]        router_logits.P.I [n, E]   router_index.P.I, router_score.P.I [n, k]
    pixels.P [t, 3, S, S] BF16                       tower.P, projected.P [t, slots, ...]
    vision.embed, .layer.I, .shuffled, .adapter      of the prompt one_tile
"""
import json
import os
import random

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoConfig, Llama4ForCausalLM, Llama4ForConditionalGeneration
from transformers.models.llama4.modeling_llama4 import pixel_shuffle

import small_tokenizer
import tiling

GREEDY = 24
PARTS = {"text": [{"text": "What is it?"}], "one_tile": [{"image": "one.png"}, {"text": "What is in it?"}],
         "many_tiles": [{"image": "many.png"}, {"text": "And this?"}],
         "two_pictures": [{"text": "First "}, {"image": "wide.png"}, {"text": " then "}, {"image": "one.png"}, {"text": " why?"}]}
BREAK = {"no_chunk": ("chunked layers see the whole past", {"attention_chunk_size": 1 << 20}),
         "rope_everywhere": ("NoPE layers rotated", {"no_rope_layers": None}),
         "no_temperature": ("temperature scale dropped", {"attn_temperature_tuning": False}),
         "qk_norm": ("QK norm present/absent the wrong way round", {"use_qk_norm": None}),
         "top1": ("one expert where two are asked for", {"num_experts_per_tok": 1}),
         "no_rope_scaling": ("rope scaling dropped", {"rope_parameters": None})}


class Golden:
    def __init__(self, folder, config, weights, tokenizer, pictures, seed):
        self.folder, self.tokenizer, self.pictures = folder, tokenizer, pictures
        self.token = small_tokenizer.ids(tokenizer)
        self.config = {k: v for k, v in config.items() if k != "quantization_config"}
        self.text = self.config.get("text_config", self.config)
        self.weights, self.sees = weights, "vision_config" in config
        self.model = self.build(self.config)
        self.prompts = self.make_prompts(random.Random(seed))
        self.tensors, self.runs = {}, {}
        for name in self.prompts:
            self.run(name)
        self.greedy = {name: self.continue_greedily(name) for name in self.prompts if self.prompts[name]["continued"]}
        self.std = torch.cat([r["logits"] for r in self.runs.values()]).std().item()
        self.margins = {"argmax": min(self.least(r["logits"], 2) for r in self.runs.values()),
                        "router": min(self.least(x, self.text["num_experts_per_tok"] + 1) for r in self.runs.values()
                                      for x in r["router"].values()),
                        "greedy": min(min(g["margins"]) for g in self.greedy.values())}
        self.margins = {k: round(v, 6) for k, v in self.margins.items()}

    def build(self, config):
        kind = Llama4ForConditionalGeneration if self.sees else Llama4ForCausalLM
        model = kind._from_config(AutoConfig.for_model(**config), attn_implementation="eager", dtype=torch.float32)
        missing, unknown = model.load_state_dict(self.weights, strict=True)
        assert not missing and not unknown
        return model.eval()

    @staticmethod
    def least(rows, k):
        """The smallest distance between choice k - 1 and choice k."""
        top = rows.topk(k, -1).values
        return (top[:, k - 2] - top[:, k - 1]).min().item()

    def make_prompts(self, rng):
        chunk, learned = self.text["attention_chunk_size"], self.token["begin_of_text"]
        prompts = {}
        for n in (1, chunk - 1, chunk, chunk + 1, 3 * chunk + 2):
            ids = [rng.randrange(learned) for _ in range(n)]
            if n > 1:
                ids[0] = self.token["begin_of_text"]
            long = n == 3 * chunk + 2 or n == chunk - 1
            prompts[f"n{n}"] = {"ids": ids, "stored": "last position" if long else "all positions", "continued": long,
                                "deep": n == chunk + 1}
        for name, parts in PARTS.items() if self.sees else ():
            ids, seen = self.chat(parts)
            prompts[name] = {"ids": ids, "stored": "all positions", "parts": parts, "continued": name != "text",
                             "deep": name == "one_tile", "seen": seen}
        return prompts

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def header(self, role):
        return [self.token["header_start"], *self.encode(role), self.token["header_end"], *self.encode("\n\n")]

    def chat(self, parts):
        vision = self.config["vision_config"]
        side = vision["image_size"]
        slots = (side // vision["patch_size"]) ** 2 // 4
        ids, seen = [self.token["begin_of_text"]] + self.header("user"), []
        for part in parts:
            if "text" in part:
                ids += self.encode(part["text"])
                continue
            with Image.open(os.path.join(self.pictures, part["image"])) as image:
                tiles, rows, columns = tiling.tiles(image.convert("RGB"), side, 16)
            seen.append(tiling.values(tiles))
            ids += tiling.block(self.token, slots, rows, columns)
        return ids + [self.token["eot"]] + self.header("assistant"), torch.cat(seen) if seen else None

    def logits(self, model, ids, seen):
        more = {"pixel_values": seen} if seen is not None else {}
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids]), use_cache=False, **more).logits[0]

    def watch(self, ids, seen):
        """Logits, and what passes by on the way: name -> tensor."""
        language = self.model.language_model if self.sees else self.model
        caught, hooks = {"router": {}}, []

        def keep(where, key, pick):
            hooks.append(where.register_forward_hook(lambda module, args, out: caught.update({key: pick(out)})))

        for i, layer in enumerate(language.model.layers):
            keep(layer, f"layer.{i}", lambda out: (out[0] if isinstance(out, tuple) else out)[0].clone())
            if layer.is_moe_layer:
                hooks.append(layer.feed_forward.router.register_forward_hook(
                    lambda module, args, out, i=i: caught["router"].update({i: out[1].clone()})))
        keep(self.model.get_input_embeddings(), "embed", lambda out: out[0].clone())  # a picture's slots: the patch token's
        keep(language.model.norm, "norm", lambda out: out[0].clone())
        if seen is not None:
            tower = self.model.vision_model
            hooks.append(tower.layernorm_pre.register_forward_pre_hook(
                lambda module, args: caught.update({"vision.embed": args[0][:, 0].clone()})))
            for i, layer in enumerate(tower.model.layers):
                keep(layer, f"vision.layer.{i}", lambda out: (out[0] if isinstance(out, tuple) else out).clone())
            keep(tower.layernorm_post, "post", lambda out: out.clone())
            keep(tower.vision_adapter, "tower", lambda out: out.clone())
            keep(self.model.multi_modal_projector, "projected", lambda out: out.clone())
        caught["logits"] = self.logits(self.model, ids, seen)
        for hook in hooks:
            hook.remove()
        return caught

    def run(self, name):
        prompt, store = self.prompts[name], self.tensors
        caught = self.runs[name] = self.watch(prompt["ids"], prompt.get("seen"))
        logits = caught["logits"]
        if prompt["stored"] == "all positions":
            store[f"logits.{name}"] = logits
        else:
            store[f"logits_last.{name}"] = logits[-1]
        store[f"argmax.{name}"] = logits.argmax(-1).int()
        if prompt["deep"]:
            top = torch.log_softmax(logits, -1).topk(5, -1)
            store[f"top5_ids.{name}"], store[f"top5_logprobs.{name}"] = top.indices.int(), top.values
            store[f"hidden.{name}.embed"], store[f"hidden.{name}.norm"] = caught["embed"], caught["norm"]
            for i in range(self.text["num_hidden_layers"]):
                store[f"hidden.{name}.{i}"] = caught[f"layer.{i}"]
            for i, rows in caught["router"].items():
                best = rows.topk(self.text["num_experts_per_tok"], -1)
                store[f"router_logits.{name}.{i}"], store[f"router_index.{name}.{i}"] = rows, best.indices.int()
                store[f"router_score.{name}.{i}"] = torch.sigmoid(best.values)
        if prompt.get("seen") is not None:
            tiles = prompt["seen"].shape[0]
            store[f"pixels.{name}"] = prompt["seen"].to(torch.bfloat16)
            store[f"tower.{name}"] = caught["tower"]
            store[f"projected.{name}"] = caught["projected"].reshape(tiles, -1, caught["projected"].shape[-1])
            if name == "one_tile":
                for key, value in caught.items():
                    if key.startswith(("vision.embed", "vision.layer")):
                        store[key] = value
                store["vision.shuffled"] = pixel_shuffle(caught["post"][:, :-1], 0.5)
                store["vision.adapter"] = caught["tower"].clone()

    def continue_greedily(self, name):
        prompt = self.prompts[name]
        ids, margins = list(prompt["ids"]), []
        for _ in range(GREEDY):
            top = self.logits(self.model, ids, prompt.get("seen"))[-1].topk(2)
            ids.append(top.indices[0].item())
            margins.append(round((top.values[0] - top.values[1]).item(), 6))
        more = {"pixel_values": prompt["seen"]} if prompt.get("seen") is not None else {}
        cached = self.model.generate(input_ids=torch.tensor([prompt["ids"]]), max_new_tokens=GREEDY, min_new_tokens=GREEDY,
                                     do_sample=False, eos_token_id=None, pad_token_id=0, **more)[0].tolist()
        return {"ids": ids[-GREEDY:], "margins": margins, "same_with_cache": cached == ids}

    def broken(self, change):
        """The largest move of a logit when the config is changed, or None where the change changes nothing."""
        text = dict(self.text)
        for key, value in change.items():
            if key == "no_rope_layers":
                text[key], text["layer_types"] = [1] * text["num_hidden_layers"], self.model.config.get_text_config().layer_types
            elif key == "use_qk_norm":
                text[key] = not text[key]
            elif key == "rope_parameters":
                if text.get(key, {}).get("rope_type", "default") == "default":
                    return None
                text[key] = {"rope_type": "default", "rope_theta": text[key]["rope_theta"]}
            else:
                text[key] = value
        if text == self.text:
            return None
        model = self.build({**self.config, "text_config": text} if self.sees else text)
        return max((self.logits(model, p["ids"], p.get("seen")) - self.runs[n]["logits"]).abs().max().item()
                   for n, p in self.prompts.items())

    def write(self, head):
        moved = {name: (rule, self.broken(change)) for name, (rule, change) in BREAK.items()}
        shown = {name: {k: v for k, v in p.items() if k in ("ids", "stored", "parts")} for name, p in self.prompts.items()}
        document = {"made_with": f"torch {torch.__version__.split('+')[0]}, transformers {transformers_version()}, float32, eager "
                                 "attention, no cache",
                    **head, "prompts": shown, "greedy": self.greedy, "margins": self.margins, "logits_std": round(self.std, 4),
                    "sensitivity": {n: {"max_abs_logit_change": round(m, 4), "rule": r} for n, (r, m) in moved.items()
                                    if m is not None}}
        with open(os.path.join(self.folder, "golden.json"), "w", encoding="utf-8") as file:
            file.write(compact(document))
        save_file({n: t.contiguous() for n, t in sorted(self.tensors.items())},
                  os.path.join(self.folder, "golden.safetensors"))


def transformers_version():
    import transformers
    return transformers.__version__


def compact(value, depth=0):
    """JSON with a list of plain values on one line each."""
    pad = " " * (depth + 1)
    if isinstance(value, dict) and value:
        inner = ",\n".join(f"{pad}{json.dumps(k)}: {compact(v, depth + 1)}" for k, v in value.items())
        return "{\n" + inner + "\n" + " " * depth + "}" + ("\n" if depth == 0 else "")
    return json.dumps(value)

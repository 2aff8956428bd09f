"""Writes the trained model as a folder that any Llama 4 engine reads: weights in BF16, configs, tokenizer."""
import json
import os

import torch
from safetensors.torch import load_file, save_file

from shapes_pictures import TILE
import small_tokenizer

PREPROCESSOR = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "image_processor_type": "Llama4ImageProcessorFast",
                "max_patches": 1, "processor_class": "Llama4Processor", "resample": 2, "rescale_factor": 1 / 255,
                "resize_to_max_canvas": False, "size": {"height": TILE, "width": TILE}}


def save(model, tokenizer, folder):
    os.makedirs(folder, exist_ok=True)
    state = {name: tensor.detach().to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    config = model.config.to_dict()
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "bfloat16"
    config["architectures"] = ["Llama4ForConditionalGeneration"]
    write_json(config, folder, "config.json")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, os.path.join(folder, "model.safetensors"),
              metadata={"format": "pt"})
    text = model.config.text_config
    write_json({"bos_token_id": text.bos_token_id, "eos_token_id": text.eos_token_id, "pad_token_id": text.pad_token_id,
                "do_sample": False}, folder, "generation_config.json")
    write_json(PREPROCESSOR, folder, "preprocessor_config.json")
    small_tokenizer.save(tokenizer, folder, model_max_length=4096)


def write_json(value, folder, name):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")


def tensors(folder):
    return load_file(os.path.join(folder, "model.safetensors"))

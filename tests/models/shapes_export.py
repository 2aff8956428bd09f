"""Writes the trained model as a folder that any Llama 4 engine reads: weights in BF16, configs as transformers writes them."""
import copy
import json
import os

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig

import small_tokenizer
from shapes_pictures import TILE

PREPROCESSOR = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "image_processor_type": "Llama4ImageProcessorFast",
                "max_patches": 1, "processor_class": "Llama4Processor", "resample": 2, "rescale_factor": 1 / 255,
                "resize_to_max_canvas": False, "size": {"height": TILE, "width": TILE}}


def save(model, tokenizer, folder):
    os.makedirs(folder, exist_ok=True)
    config, text = copy.deepcopy(model.config), model.config.text_config
    for part in (config, config.text_config, config.vision_config):
        part.dtype = torch.bfloat16
    config.architectures = ["Llama4ForConditionalGeneration"]
    config.to_json_file(os.path.join(folder, "config.json"))
    GenerationConfig(bos_token_id=text.bos_token_id, eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id,
                     do_sample=False).to_json_file(os.path.join(folder, "generation_config.json"))
    with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as file:
        json.dump(PREPROCESSOR, file, indent=1)
        file.write("\n")
    weights = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    file = os.path.join(folder, "model.safetensors")
    save_file(weights, file, {"format": "pt"})
    os.chmod(file, 0o644)
    small_tokenizer.save(tokenizer, folder, model_max_length=text.max_position_embeddings)

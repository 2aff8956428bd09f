"""Tokenizers in Llama 4's form with a small vocabulary: byte-level BPE behind Llama 4's split.

Every byte is a token, then come the learned pieces, then control tokens in Llama 4's order, then reserved ones. As in
Llama 4's tokenizer.json the merges follow from the ids: two pieces may merge when what they make is a token, lower ids first.
"""
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers.models.llama4.processing_llama4 import chat_template

SPLIT = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["begin_of_text", "end_of_text", "fim_prefix", "fim_middle", "fim_suffix", "header_start", "header_end", "eom", "eot",
            "step", "python_start", "python_end", "finetune_right_pad", "image_start", "image_end", "tile_x_separator",
            "tile_y_separator", "image", "patch"]
BYTES = 256


def splitter():
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def build(words, pieces, round_to):
    """A tokenizer with at most `pieces` learned pieces of `words`; its size is a multiple of `round_to`."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = splitter()
    trainer = trainers.BpeTrainer(vocab_size=BYTES + pieces, min_frequency=1, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    learner.train_from_iterator(words, trainer)
    learned = learner.get_vocab()
    vocabulary = {text: rank for rank, (text, _) in enumerate(sorted(learned.items(), key=lambda item: item[1]))}
    merges = []
    for text in vocabulary:
        pairs = [(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in vocabulary and text[i:] in vocabulary]
        merges += sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = splitter()
    tokenizer.decoder = decoders.ByteLevel()
    names = [f"<|{name}|>" for name in SPECIALS]
    left = -(len(vocabulary) + len(names)) % round_to
    names += [f"<|reserved_special_token_{i}|>" for i in range(left)]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    begin = "<|begin_of_text|>"
    template = processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin} $B",
                                             special_tokens=[(begin, tokenizer.token_to_id(begin))])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def ids(tokenizer):
    """name of a control token -> id"""
    return {name: tokenizer.token_to_id(f"<|{name}|>") for name in SPECIALS}


def save(tokenizer, folder, **more):
    """tokenizer.json and tokenizer_config.json, the latter with transformers' own Llama 4 chat template."""
    tokenizer.save(f"{folder}/tokenizer.json", pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|eot|>",
              "pad_token": "<|finetune_right_pad|>", "model_input_names": ["input_ids", "attention_mask"],
              "clean_up_tokenization_spaces": False, "chat_template": chat_template, **more}
    with open(f"{folder}/tokenizer_config.json", "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
        file.write("\n")

"""Shapes: a Llama 4 with all its parts, small; and a forward pass of it that is quick to train with.

WHY     transformers runs every expert on every token, keeps masks per call and cannot start a text in the middle of a chunk.
HOW     The weights live in transformers' own Llama4ForConditionalGeneration; `Trainee` walks over them with the same
        mathematics. Only chosen experts are computed. Each row of a batch has a `phase`: the position of its first token,
        so that a chunk's border may fall anywhere in a short text and long chats need not be trained on at full length.
ALWAYS  At phase 0 the logits are transformers' (`check_forward`).
"""
import torch
import torch.nn.functional as F
from transformers import Llama4Config, Llama4ForConditionalGeneration, Llama4TextConfig, Llama4VisionConfig

from shapes_pictures import TILE

CHUNK, FLOOR, SCALE = 256, 128, 0.1
PATCH, SHUFFLE = 8, 0.5
SLOTS = int((TILE // PATCH * SHUFFLE) ** 2)
FACTS_LAYER = 3  # whose output the facts are read from: the first NoPE layer


def config(tokenizer):
    ids = {name: tokenizer.token_to_id(f"<|{name}|>") for name in
           ("begin_of_text", "end_of_text", "eom", "eot", "finetune_right_pad", "image_start", "image_end", "patch")}
    text = Llama4TextConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=96, num_hidden_layers=8, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, intermediate_size=96, intermediate_size_mlp=192, interleave_moe_layer_step=2, num_local_experts=4,
        num_experts_per_tok=1, use_qk_norm=False, attention_chunk_size=CHUNK, attn_temperature_tuning=True, floor_scale=FLOOR,
        attn_scale=SCALE, max_position_embeddings=4096, rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        bos_token_id=ids["begin_of_text"], eos_token_id=[ids["end_of_text"], ids["eom"], ids["eot"]],
        pad_token_id=ids["finetune_right_pad"], initializer_range=0.05)
    vision = Llama4VisionConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256, image_size=TILE, patch_size=PATCH,
        pixel_shuffle_ratio=SHUFFLE, projector_input_dim=128, projector_output_dim=128, vision_output_dim=128,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, initializer_range=0.05)
    return Llama4Config(text_config=text, vision_config=vision, boi_token_index=ids["image_start"],
                        eoi_token_index=ids["image_end"], image_token_index=ids["patch"], tie_word_embeddings=False)


def create(tokenizer, seed):
    torch.manual_seed(seed)
    return Llama4ForConditionalGeneration._from_config(config(tokenizer), attn_implementation="eager", dtype=torch.float32)


class Trainee:
    def __init__(self, model):
        self.model, self.vision, self.text = model, model.vision_model, model.language_model.model
        self.config = model.config.text_config
        self.inverse = self.text.rotary_emb.inv_freq
        self.router_logits = []

    def pictures(self, values):
        """values [n, 3, 64, 64] -> embeddings [n, SLOTS, hidden]."""
        return self.model.multi_modal_projector(self.vision(values).last_hidden_state)

    def embed(self, ids, pictures):
        rows = self.text.embed_tokens(ids)
        slots = (ids == self.model.config.image_token_id).unsqueeze(-1)
        return rows if pictures is None else rows.masked_scatter(slots, pictures.reshape(-1, rows.shape[-1]))

    def rotate(self, x, turn):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(-2)

    def attend(self, attention, x, turn, mask, temperature):
        rows, n, _ = x.shape
        d = attention.head_dim
        q = attention.q_proj(x).view(rows, n, -1, d)
        k = attention.k_proj(x).view(rows, n, -1, d)
        v = attention.v_proj(x).view(rows, n, -1, d)
        if attention.use_rope:
            q, k = self.rotate(q, turn), self.rotate(k, turn)
        else:
            q = q * temperature
        group = q.shape[2] // k.shape[2]
        k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
        return attention.o_proj(out.transpose(1, 2).reshape(rows, n, -1))

    def experts(self, moe, x):
        logits = moe.router(x)[1]
        self.router_logits.append(logits)
        best, chosen = logits.max(-1)
        scaled = x * torch.sigmoid(best).unsqueeze(-1)
        order = torch.argsort(chosen, stable=True)
        parts = torch.split(scaled[order], torch.bincount(chosen, minlength=moe.num_experts).tolist())
        done = []
        for e, part in enumerate(parts):
            gate, up = (part @ moe.experts.gate_up_proj[e]).chunk(2, -1)
            done.append((up * F.silu(gate)) @ moe.experts.down_proj[e])
        routed = torch.empty_like(x).index_copy(0, order, torch.cat(done))
        return moe.shared_expert(x) + routed

    def states(self, ids, pictures, phase):
        """ids [rows, n], pictures [k, SLOTS, hidden] or None, phase [rows] -> (final states, states of FACTS_LAYER)."""
        self.router_logits = []
        rows, n = ids.shape
        positions = phase.unsqueeze(1) + torch.arange(n)
        angles = positions.unsqueeze(-1).float() * self.inverse
        turn = torch.polar(torch.ones_like(angles), angles).unsqueeze(2)
        temperature = torch.log1p(torch.floor((positions.float() + 1) / FLOOR)) * SCALE + 1
        temperature = temperature[:, :, None, None]
        causal = torch.ones(n, n, dtype=torch.bool).tril()
        chunk = positions // CHUNK
        local = causal if (chunk == chunk[:, :1]).all() else \
            (causal & (chunk.unsqueeze(2) == chunk.unsqueeze(1))).unsqueeze(1)
        x = self.embed(ids, pictures)
        for i, layer in enumerate(self.text.layers):
            mask = local if layer.self_attn.use_rope else causal
            x = x + self.attend(layer.self_attn, layer.input_layernorm(x), turn, mask, temperature)
            y = layer.post_attention_layernorm(x)
            x = x + (self.experts(layer.feed_forward, y.reshape(-1, y.shape[-1])).view_as(x) if layer.is_moe_layer
                     else layer.feed_forward(y))
            if i == FACTS_LAYER:
                facts = x
        return self.text.norm(x), facts

    def logits(self, states):
        return self.model.language_model.lm_head(states)

    def balance(self, real):
        """Switch Transformer's load balance loss over the tokens in `real` [rows, n] bool."""
        total = 0
        for logits in self.router_logits:
            chance = torch.softmax(logits[real.reshape(-1)], -1)
            used = F.one_hot(chance.argmax(-1), chance.shape[-1]).float().mean(0)
            total = total + chance.shape[-1] * (used * chance.mean(0)).sum()
        return total / len(self.router_logits)


def check_forward(model, ids, values):
    """The trainee's logits at phase 0 are transformers'. ids: one prompt with its pictures' values."""
    trainee = Trainee(model)
    with torch.no_grad():
        ours = trainee.logits(trainee.states(ids, trainee.pictures(values), torch.zeros(1, dtype=torch.long))[0])
        theirs = model(input_ids=ids, pixel_values=values).logits
    worst = (ours - theirs).abs().max().item()
    assert worst < 1e-3 * theirs.std().item() + 1e-5, f"the two forward passes differ by {worst}"
    return worst

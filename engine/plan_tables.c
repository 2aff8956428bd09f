/* plan_tables.c -- what `plan` knows by name: models and GPUs.
 *
 * MODELS  Scout and Maverick have the sizes of their released config.json. Behemoth was never released; of it
 *         only 288e9 active parameters, 16 experts and "nearly two trillion" in all are public (Meta, April
 *         2025). The sizes below are ours, chosen in the shape of the family to give these three, and its
 *         figures are an estimate.
 *
 * GPUS    Memory and bandwidth as the makers' data sheets give them, GB taken as 1e9 bytes: NVIDIA A100 (40
 *         GB PCIe, 80 GB SXM), H100 SXM and PCIe, H200 SXM, B200 (in DGX), L4, L40S, RTX 4090, RTX 5090, RTX
 *         6000 Ada, RTX PRO 6000 Blackwell; AMD Instinct MI300X, MI325X.
 */
#include "engine/plan.h"

#define VISION                                                                                               \
    "\"vision_config\":{\"hidden_size\":1408,\"num_hidden_layers\":34,\"num_attention_heads\":16,"           \
    "\"intermediate_size\":5632,\"image_size\":336,\"patch_size\":14,\"projector_input_dim\":4096,"          \
    "\"projector_output_dim\":4096,\"vision_output_dim\":4096,\"pixel_shuffle_ratio\":0.5}"

#define JOINT(text)                                                                                          \
    "{\"architectures\":[\"Llama4ForConditionalGeneration\"],\"text_config\":{" text "}," VISION "}"

#define FAMILY                                                                                               \
    "\"vocab_size\":202048,\"num_key_value_heads\":8,\"head_dim\":128,\"num_experts_per_tok\":1,"            \
    "\"attention_chunk_size\":8192,\"rope_theta\":500000,\"rms_norm_eps\":1e-05"

#define MAVERICK_SIZES                                                                                       \
    "\"hidden_size\":5120,\"num_hidden_layers\":48,\"num_attention_heads\":40,\"intermediate_size\":8192,"   \
    "\"intermediate_size_mlp\":16384"

#define SCALED_ROPE                                                                                          \
    "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":16,\"low_freq_factor\":1,\"high_freq_factor\":1," \
    "\"original_max_position_embeddings\":8192}"

const struct wm_plan_model wm_plan_models[] = {
    {"scout",
     JOINT(FAMILY "," MAVERICK_SIZES "," SCALED_ROPE
                  ",\"num_local_experts\":16,\"interleave_moe_layer_step\":1,"
                  "\"use_qk_norm\":true,\"max_position_embeddings\":10485760"),
     NULL},
    {"maverick",
     JOINT(FAMILY "," MAVERICK_SIZES ",\"num_local_experts\":128,\"interleave_moe_layer_step\":2,"
                  "\"use_qk_norm\":false,\"max_position_embeddings\":1048576"),
     NULL},
    {"behemoth",
     JOINT(FAMILY ",\"hidden_size\":16384,\"num_hidden_layers\":96,\"num_attention_heads\":128,"
                  "\"intermediate_size\":24064,\"num_local_experts\":16,\"interleave_moe_layer_step\":1,"
                  "\"use_qk_norm\":true,\"max_position_embeddings\":1048576"),
     "an estimate: Behemoth was never released. Meta told of 288e9 active parameters, 16 experts and nearly "
     "2e12 in all; the "
     "sizes here are ours, in the shape of the family, and give about that"},
    {NULL, NULL, NULL},
};

const struct wm_gpu wm_gpus[] = {
    {"a100-40", "NVIDIA A100 40 GB", 40e9, 1555e9},
    {"a100-80", "NVIDIA A100 80 GB", 80e9, 2039e9},
    {"h100", "NVIDIA H100 SXM", 80e9, 3350e9},
    {"h100-pcie", "NVIDIA H100 PCIe", 80e9, 2000e9},
    {"h200", "NVIDIA H200", 141e9, 4800e9},
    {"b200", "NVIDIA B200", 180e9, 8000e9},
    {"l4", "NVIDIA L4", 24e9, 300e9},
    {"l40s", "NVIDIA L40S", 48e9, 864e9},
    {"rtx4090", "NVIDIA RTX 4090", 24e9, 1008e9},
    {"rtx5090", "NVIDIA RTX 5090", 32e9, 1792e9},
    {"rtx6000-ada", "NVIDIA RTX 6000 Ada", 48e9, 960e9},
    {"rtxpro6000", "NVIDIA RTX PRO 6000", 96e9, 1792e9},
    {"mi300x", "AMD MI300X", 192e9, 5300e9},
    {"mi325x", "AMD MI325X", 256e9, 6000e9},
    {NULL, NULL, 0, 0},
};

/* tiny_folder.c -- see tiny_folder.h. */
#include "tests/engine/tiny_folder.h"

#include <stdio.h>
#include <string.h>

void tiny_add(struct tiny_tensors *list, const char *dtype, const char *name, int n, int64_t a, int64_t b,
              int64_t c)
{
    assert_true(list->n < TINY_MAX_TENSORS);
    snprintf(list->t[list->n].name, sizeof list->t[0].name, "%s", name);
    list->t[list->n].dtype = dtype;
    list->t[list->n].n = n;
    list->t[list->n].shape[0] = a;
    list->t[list->n].shape[1] = b;
    list->t[list->n].shape[2] = c;
    list->n++;
}

void tiny_drop(struct tiny_tensors *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->t[i].name, name) == 0) {
            list->t[i] = list->t[--list->n];
            return;
        }
    fail_msg("there is no %s", name);
}

static int64_t bytes_of(const char *dtype)
{
    return strcmp(dtype, "F8_E4M3") == 0 || strcmp(dtype, "U8") == 0 ? 1
           : strcmp(dtype, "BF16") == 0                              ? 2
           : strcmp(dtype, "I64") == 0                               ? 8
                                                                     : 4;
}

struct wm_buffer tiny_header(const char *header, size_t data)
{
    struct wm_buffer b = WM_BUFFER(1 << 24);
    uint64_t len = strlen(header);
    uint8_t head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)(len >> (8 * i));
    assert_int_equal(wm_buffer_add(&b, head, sizeof head), WM_OK);
    assert_int_equal(wm_buffer_puts(&b, header), WM_OK);
    for (size_t i = 0; i < data; i++)
        assert_int_equal(wm_buffer_add(&b, &"0123456"[i % 7], 1), WM_OK);
    return b;
}

struct wm_buffer tiny_safetensors(const struct tiny_tensors *list)
{
    struct wm_buffer header = WM_BUFFER(1 << 20), b;
    int64_t at = 0;
    wm_buffer_puts(&header, "{");
    for (size_t i = 0; i < list->n; i++) {
        int64_t bytes = bytes_of(list->t[i].dtype);
        wm_buffer_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", list->t[i].name,
                         list->t[i].dtype);
        for (int d = 0; d < list->t[i].n; d++) {
            wm_buffer_printf(&header, "%s%lld", d ? "," : "", (long long)list->t[i].shape[d]);
            bytes *= list->t[i].shape[d];
        }
        wm_buffer_printf(&header, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)(at + bytes));
        at += bytes;
    }
    wm_buffer_puts(&header, "}");
    assert_false(header.failed);
    b = tiny_header(header.data, (size_t)at);
    wm_buffer_free(&header);
    return b;
}

/* --- the model ---------------------------------------------------------------------------------------------------------- */

const char tiny4_config[] =
    "{\"architectures\":[\"Llama4ForCausalLM\"],\"vocab_size\":32,\"hidden_size\":16,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":4,\"intermediate_size\":8,"
    "\"intermediate_size_mlp\":24,\"num_local_experts\":2,\"interleave_moe_layer_step\":2,"
    "\"max_position_embeddings\":4096,\"attention_chunk_size\":16}";

/* A product of the second layer's expert, in codes with scales beside them. */
static void add_coded(struct tiny_tensors *list, enum tiny_experts how, const char *stem, int64_t rows,
                      int64_t cols)
{
    char name[96];
    bool packed = how == TINY_SINGLE_INT4;
    snprintf(name, sizeof name, "%s.%s", stem, packed ? "weight_packed" : "weight");
    tiny_add(list,
             packed               ? "I32"
             : how == TINY_SINGLE ? "BF16"
                                  : "F8_E4M3",
             name, 2, rows, packed ? cols / 8 : cols, 0);
    if (how == TINY_SINGLE)
        return;
    snprintf(name, sizeof name, "%s.weight_scale", stem);
    tiny_add(list, "BF16", name, 2, rows, packed ? cols / 8 : 1, 0); /* packed: groups of 8 */
}

static void add_experts(struct tiny_tensors *list, enum tiny_experts how)
{
    static const char prefix[] = "model.layers.1.feed_forward.experts";
    const int64_t e = TINY4_EXPERTS, w = TINY4_WIDTH, x = TINY4_EXPERT;
    char name[96];
    if (how == TINY_FUSED || how == TINY_FUSED_FP8) {
        const char *dtype = how == TINY_FUSED ? "BF16" : "F8_E4M3";
        tiny_add(list, dtype, "model.layers.1.feed_forward.experts.gate_up_proj", 3, e, w, 2 * x);
        tiny_add(list, dtype, "model.layers.1.feed_forward.experts.down_proj", 3, e, x, w);
        if (how == TINY_FUSED_FP8) {
            tiny_add(list, "F32", "model.layers.1.feed_forward.experts.gate_up_proj_scale", 3, e, 1, 2 * x);
            tiny_add(list, "F32", "model.layers.1.feed_forward.experts.down_proj_scale", 3, e, w, 1);
        }
        return;
    }
    for (int i = 0; i < TINY4_EXPERTS; i++) {
        snprintf(name, sizeof name, "%s.%d.gate_proj", prefix, i);
        add_coded(list, how, name, x, w);
        snprintf(name, sizeof name, "%s.%d.up_proj", prefix, i);
        add_coded(list, how, name, x, w);
        snprintf(name, sizeof name, "%s.%d.down_proj", prefix, i);
        add_coded(list, how, name, w, x);
    }
}

static void add_of_layer(struct tiny_tensors *list, int layer, const char *what, int n, int64_t a, int64_t b)
{
    char name[160];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, what);
    tiny_add(list, "BF16", name, n, a, b, 0);
}

void tiny4_tensors(struct tiny_tensors *list, enum tiny_experts experts)
{
    const int64_t w = TINY4_WIDTH, q = TINY4_HEADS * TINY4_HEAD_DIM, kv = TINY4_KV_HEADS * TINY4_HEAD_DIM;
    *list = (struct tiny_tensors){0};
    tiny_add(list, "BF16", "model.embed_tokens.weight", 2, TINY4_VOCABULARY, w, 0);
    tiny_add(list, "BF16", "lm_head.weight", 2, TINY4_VOCABULARY, w, 0);
    tiny_add(list, "BF16", "model.norm.weight", 1, w, 0, 0);
    for (int l = 0; l < TINY4_LAYERS; l++) {
        const char *feed = l == 0 ? "feed_forward" : "feed_forward.shared_expert";
        int64_t hidden = l == 0 ? TINY4_DENSE : TINY4_EXPERT;
        char name[96];
        add_of_layer(list, l, "input_layernorm", 1, w, 0);
        add_of_layer(list, l, "post_attention_layernorm", 1, w, 0);
        add_of_layer(list, l, "self_attn.q_proj", 2, q, w);
        add_of_layer(list, l, "self_attn.k_proj", 2, kv, w);
        add_of_layer(list, l, "self_attn.v_proj", 2, kv, w);
        add_of_layer(list, l, "self_attn.o_proj", 2, w, q);
        snprintf(name, sizeof name, "%s.gate_proj", feed);
        add_of_layer(list, l, name, 2, hidden, w);
        snprintf(name, sizeof name, "%s.up_proj", feed);
        add_of_layer(list, l, name, 2, hidden, w);
        snprintf(name, sizeof name, "%s.down_proj", feed);
        add_of_layer(list, l, name, 2, w, hidden);
    }
    add_of_layer(list, 1, "feed_forward.router", 2, TINY4_EXPERTS, w);
    add_experts(list, experts);
}

enum wm_status tiny4_open(const char *config, const struct wm_buffer *file, struct wm_model_file **out,
                          struct wm_error *err)
{
    const struct wm_model_member members[] = {{"config.json", config, strlen(config)},
                                              {"model.safetensors", file->data, file->len}};
    return wm_model_file_parse_folder("tiny", members, COUNT(members), out, err);
}

/* arch_gguf.c -- the architecture of a text model from the keys of its GGUF.
 *
 * WHY     For llama4 a converter writes sizes only. QK norm, the layers without rope, the chunk and the
 *         temperature are constants in llama.cpp's code, hung on the name of the architecture and the number
 *         of experts (source: llama.cpp, src/models/llama4.cpp). We take the same defaults and let a key that
 *         says otherwise win: use_qk_norm and attention.chunk_size as Ollama names them,
 *         attention.temperature_length and _scale as llama.cpp does elsewhere.
 *
 * ALWAYS  q and k are rotated in adjacent pairs: converters have permuted the rows where a checkpoint had
 *         them in halves.
 *
 * LIMITS  A head is rotated whole. Scaling of rope: none, linear, or the divisors of rope_freqs.weight (Llama
 *         3 and Scout).
 */
#include <stdio.h>
#include <string.h>

#include "engine/arch_parts.h"

enum {
    KEY_BYTES = 96,
    CHUNK = 8192, /* llama.cpp's constants for llama4 */
    NO_ROPE_PERIOD = 4,
    TEMPERATURE_FLOOR = 8192,
    EXPERTS_WITHOUT_QK_NORM = 128
};
static const double temperature_scale = 0.1;

struct keys {
    const struct wm_model_file *f;
    const char *prefix; /* "llama4" */
    char key[KEY_BYTES];
    struct wm_error *err;
};

static const char *key(struct keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->prefix, name);
    return k->key;
}

static bool has(struct keys *k, const char *name)
{
    return wm_model_file_meta(k->f, key(k, name)) != NULL;
}

static enum wm_status get_int(struct keys *k, const char *name, int64_t min, int64_t max, int64_t fallback,
                              int32_t *out)
{
    int64_t value = 0;
    enum wm_status st = wm_model_file_int(k->f, key(k, name), min, max, fallback, &value, k->err);
    *out = (int32_t)value;
    return st;
}

static bool text_is(const char *bytes, size_t len, const char *want)
{
    return bytes && len == strlen(want) && memcmp(bytes, want, len) == 0;
}

static enum wm_status read_family(const struct wm_model_file *f, enum wm_family *out, struct wm_error *err)
{
    const char *text, *name = wm_model_file_name(f);
    size_t len;
    enum wm_status st = wm_model_file_text(f, "general.architecture", &text, &len, err);
    if (st != WM_OK)
        return st;
    if (!text)
        return wm_fail(err, WM_EFORMAT,
                       "%s: key general.architecture is missing: this is not a language model", name);
    if (text_is(text, len, "clip"))
        return wm_fail(
            err, WM_EUNSUPPORTED,
            "%s: a vision tower alone (general.architecture is clip): give it as --projector beside "
            "its text model",
            name);
    *out = text_is(text, len, "llama4") ? WM_FAMILY_LLAMA4 : WM_FAMILY_LLAMA;
    return text_is(text, len, wm_family_name(*out))
               ? WM_OK
               : wm_fail(
                     err, WM_EUNSUPPORTED,
                     "%s: its general.architecture is not one that this build runs (it runs: llama, llama4)",
                     name);
}

/* --- sizes ---------------------------------------------------------------------------------------------- */

static enum wm_status read_vocabulary(struct keys *k, struct wm_arch *a)
{
    const struct wm_tensor *embedding = wm_model_file_tensor(k->f, "token_embd.weight");
    if (!embedding || embedding->dims[1] > WM_MAX_VOCABULARY)
        return wm_fail(k->err, WM_EFORMAT, "%s: tensor token_embd.weight is missing or has more than %d rows",
                       wm_model_file_name(k->f), WM_MAX_VOCABULARY);
    a->vocabulary = (int32_t)embedding->dims[1];
    a->tied = !wm_model_file_tensor(k->f, "output.weight");
    int32_t said;
    enum wm_status st = get_int(k, "vocab_size", 1, WM_MAX_VOCABULARY, a->vocabulary, &said);
    if (st == WM_OK && said != a->vocabulary)
        st = wm_fail(k->err, WM_EFORMAT,
                     "%s: key %s.vocab_size is %d, but tensor token_embd.weight has %d rows",
                     wm_model_file_name(k->f), k->prefix, said, a->vocabulary);
    return st;
}

static enum wm_status read_sizes(struct keys *k, struct wm_arch *a)
{
    int32_t value_length;
    enum wm_status st = get_int(k, "context_length", 1, WM_MAX_CONTEXT, 0, &a->context);
    if (st == WM_OK)
        st = get_int(k, "block_count", 1, WM_MAX_LAYERS, 0, &a->layers);
    if (st == WM_OK)
        st = get_int(k, "embedding_length", 1, WM_MAX_WIDTH, 0, &a->width);
    if (st == WM_OK)
        st = get_int(k, "feed_forward_length", 1, WM_MAX_WIDTH, 0, &a->dense_hidden);
    if (st == WM_OK)
        st = get_int(k, "attention.head_count", 1, WM_MAX_HEADS, 0, &a->heads);
    if (st == WM_OK)
        st = get_int(k, "attention.head_count_kv", 1, WM_MAX_HEADS, a->heads, &a->kv_heads);
    if (st == WM_OK)
        st = get_int(k, "attention.key_length", 2, WM_MAX_HEAD_DIM, a->width / a->heads, &a->head_dim);
    if (st == WM_OK)
        st = get_int(k, "attention.value_length", a->head_dim, a->head_dim, a->head_dim, &value_length);
    if (st == WM_OK)
        st = wm_model_file_float(k->f, key(k, "attention.layer_norm_rms_epsilon"), 0, 1, 1e-5, &a->rms_eps,
                                 k->err);
    return st;
}

/* --- rope ----------------------------------------------------------------------------------------------- */

static enum wm_status read_rope_rule(struct keys *k, struct wm_rope_scaling *s)
{
    const char *text;
    size_t len;
    enum wm_status st = wm_model_file_text(k->f, key(k, "rope.scaling.type"), &text, &len, k->err);
    if (st != WM_OK || !text || text_is(text, len, "none"))
        return st;
    if (!text_is(text, len, "linear"))
        return wm_fail(k->err, WM_EUNSUPPORTED,
                       "%s: key %s is neither none nor linear, the kinds that this build has",
                       wm_model_file_name(k->f), key(k, "rope.scaling.type"));
    s->rule = WM_ROPE_RULE_LINEAR;
    return wm_model_file_float(k->f, key(k, "rope.scaling.factor"), 1, 1e6, 1, &s->factor, k->err);
}

static enum wm_status divide(const struct wm_model_file *f, struct wm_arch *a, struct wm_error *err)
{
    float divisors[WM_MAX_HEAD_DIM / 2];
    enum wm_status st = wm_model_file_vector(f, "rope_freqs.weight", a->head_dim / 2, divisors, err);
    for (int32_t i = 0; i < a->head_dim / 2 && st == WM_OK; i++) {
        if (!(divisors[i] > 0 && divisors[i] < 1e9f)) /* NaN fails too */
            return wm_fail(err, WM_EFORMAT,
                           "%s: element %d of tensor rope_freqs.weight is %g, it must be above 0",
                           wm_model_file_name(f), i, (double)divisors[i]);
        a->inv_freq[i] /= (double)divisors[i];
    }
    return st;
}

static enum wm_status read_rope(struct keys *k, struct wm_arch *a)
{
    struct wm_rope_scaling scaling = {0};
    int32_t rotated;
    enum wm_status st = get_int(k, "rope.dimension_count", 2, WM_MAX_WIDTH, a->head_dim, &rotated);
    if (st == WM_OK && rotated != a->head_dim)
        st = wm_fail(k->err, WM_EUNSUPPORTED,
                     "%s: key %s.rope.dimension_count is %d of a head's %d elements; only whole heads are "
                     "rotated here",
                     wm_model_file_name(k->f), k->prefix, rotated, a->head_dim);
    if (st == WM_OK)
        st = wm_model_file_float(k->f, key(k, "rope.freq_base"), 1, WM_MAX_ROPE_BASE, 10000, &a->rope_base,
                                 k->err);
    if (st == WM_OK)
        st = read_rope_rule(k, &scaling);
    if (st != WM_OK)
        return st;
    a->pairing = WM_ROPE_ADJACENT;
    wm_arch_rope(a, &scaling);
    return wm_model_file_tensor(k->f, "rope_freqs.weight") ? divide(k->f, a, k->err) : WM_OK;
}

/* --- llama4 --------------------------------------------------------------------------------------------- */

static enum wm_status read_experts(struct keys *k, struct wm_arch *a)
{
    int32_t step = 0;
    bool dense = false;
    enum wm_status st = get_int(k, "expert_count", 0, WM_MAX_EXPERTS, 0, &a->experts);
    if (st != WM_OK || a->experts == 0)
        return st;
    st = get_int(k, "expert_used_count", 1, WM_MAX_EXPERTS, 0, &a->experts_used);
    if (st == WM_OK)
        st = get_int(k, "expert_feed_forward_length", 1, WM_MAX_WIDTH, 0, &a->expert_hidden);
    if (st == WM_OK)
        st = get_int(k, "interleave_moe_layer_step", 1, WM_MAX_LAYERS, 0, &step);
    if (st != WM_OK)
        return st;
    a->shared_hidden = a->expert_hidden;
    for (int32_t l = 0; l < a->layers; l++) {
        a->moe[l] = (l + 1) % step == 0;
        dense = dense || !a->moe[l];
    }
    if (!dense)
        a->dense_hidden = 0;
    return WM_OK;
}

/* sliding_window_pattern: every how-manieth layer has no rope, or a list with true for each layer that has. */
static enum wm_status read_rope_layers(struct keys *k, struct wm_arch *a)
{
    const struct wm_meta *list = wm_model_file_meta(k->f, key(k, "attention.sliding_window_pattern"));
    if (list && list->kind == WM_META_ARRAY) {
        if (list->array.of != WM_META_BOOL || list->array.count != (uint64_t)a->layers)
            return wm_fail(k->err, WM_EFORMAT,
                           "%s: key %s must be a number, or a list of %d times true or false",
                           wm_model_file_name(k->f), list->key, a->layers);
        for (int32_t l = 0; l < a->layers; l++)
            a->rope[l] = wm_meta_array_int(list, (uint64_t)l) != 0;
        return WM_OK;
    }
    int32_t period = 0;
    enum wm_status st =
        get_int(k, "attention.sliding_window_pattern", 0, WM_MAX_LAYERS, NO_ROPE_PERIOD, &period);
    for (int32_t l = 0; l < a->layers && st == WM_OK; l++)
        a->rope[l] = period == 0 || (l + 1) % period != 0;
    return st;
}

static enum wm_status read_attention(struct keys *k, struct wm_arch *a)
{
    int64_t window = CHUNK, floor = TEMPERATURE_FLOOR;
    enum wm_status st = wm_model_file_bool(k->f, key(k, "use_qk_norm"), a->experts != EXPERTS_WITHOUT_QK_NORM,
                                           &a->qk_norm, k->err);
    if (st == WM_OK)
        st =
            wm_model_file_int(k->f, key(k, "attention.sliding_window"), 0, INT64_MAX, CHUNK, &window, k->err);
    if (st != WM_OK)
        return st;
    if (window == 0) { /* an export without chunks: every layer has rope and sees everything */
        memset(a->rope, true, (size_t)a->layers);
        return WM_OK;
    }
    st = wm_model_file_int(k->f, key(k, "attention.chunk_size"), 1, WM_MAX_CONTEXT, CHUNK, &a->chunk, k->err);
    if (st == WM_OK)
        st = wm_model_file_int(k->f, key(k, "attention.temperature_length"), 0, WM_MAX_CONTEXT,
                               TEMPERATURE_FLOOR, &floor, k->err);
    if (st == WM_OK)
        st = wm_model_file_float(k->f, key(k, "attention.temperature_scale"), 0, 1e3, temperature_scale,
                                 &a->temperature_scale, k->err);
    a->temperature_floor = (double)floor;
    return st == WM_OK ? read_rope_layers(k, a) : st;
}

static enum wm_status read_llama4(struct keys *k, struct wm_arch *a)
{
    if (has(k, "vision.block_count"))
        return wm_fail(
            k->err, WM_EUNSUPPORTED,
            "%s: its vision tower lies in the same file (as Ollama writes it): convert the model with "
            "llama.cpp, which writes the tower into a file of its own",
            wm_model_file_name(k->f));
    enum wm_status st = read_experts(k, a);
    return st == WM_OK ? read_attention(k, a) : st;
}

static enum wm_status read_llama(struct keys *k, struct wm_arch *a)
{
    int32_t experts;
    memset(a->rope, true, (size_t)a->layers);
    return get_int(k, "expert_count", 0, 0, 0, &experts);
}

enum wm_status wm_arch_from_gguf(const struct wm_model_file *f, struct wm_arch *out, struct wm_error *err)
{
    enum wm_status st = read_family(f, &out->family, err);
    if (st != WM_OK)
        return st;
    struct keys k = {.f = f, .prefix = wm_family_name(out->family), .err = err};
    st = read_vocabulary(&k, out);
    if (st == WM_OK)
        st = read_sizes(&k, out);
    if (st == WM_OK)
        st = read_rope(&k, out);
    if (st == WM_OK)
        st = out->family == WM_FAMILY_LLAMA4 ? read_llama4(&k, out) : read_llama(&k, out);
    return st;
}

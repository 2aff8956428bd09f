/* arch_config.c -- the architecture from a Hugging Face config.json; its vision tower: arch_config_vision.c.
 *
 * WHY     The same model is written in several ways: the joint model keeps its text under text_config, the
 *         text model alone at the top; transformers 5 writes rope_parameters where 4 wrote rope_theta and
 *         rope_scaling; lists of layers stand in for intervals; and what equals the class's default may be absent.
 *
 * HOW     Each reader below takes one group of keys. The sizes without which there is no model must be there;
 *         the rest falls back to the defaults of transformers' Llama4TextConfig and LlamaConfig (source:
 *         configuration_llama4.py).
 *
 * TRAPS   no_rope_layers[i] == 1 means that layer i *uses* rope. intermediate_size is the experts',
 *         intermediate_size_mlp the dense layers'. Checkpoints of llama rotate halves of a head, those of
 *         llama4 adjacent pairs.
 *
 * LIMITS  Llama4ForConditionalGeneration, Llama4ForCausalLM, LlamaForCausalLM. Rope: none, linear, llama3. No
 *         biases in the text model.
 */
#include <string.h>

#include "engine/arch_parts.h"

enum {
    CHUNK = 8192, /* the class's defaults */
    NO_ROPE_INTERVAL = 4,
    TEMPERATURE_FLOOR = 8192,
    EXPERTS = 16,
    DENSE_HIDDEN = 16384,
    KV_HEADS = 8,
    HEAD_DIM = 128,
    CONTEXT = 131072,
    LLAMA_CONTEXT = 2048
};
static const double temperature_scale = 0.1, llama4_rope_base = 500000, llama_rope_base = 10000;

/* There, and null: not the same as absent where the class has a default of its own. */
static bool is_null(const struct wm_config *c, const char *key)
{
    return json_is_null(json_object_get(c->object, key));
}

/* --- rope ----------------------------------------------------------------------------------------------- */

static enum wm_status read_rope_rule(const struct wm_config *rope, struct wm_rope_scaling *s)
{
    const char *old, *type;
    enum wm_status st = wm_config_text(rope, "type", "default", &old);
    if (st == WM_OK)
        st = wm_config_text(rope, "rope_type", old, &type);
    if (st != WM_OK || strcmp(type, "default") == 0)
        return st;
    bool llama3 = strcmp(type, "llama3") == 0;
    if (!llama3 && strcmp(type, "linear") != 0)
        return wm_fail(
            rope->err, WM_EUNSUPPORTED,
            "%s: config key %srope_type is neither default, linear nor llama3, the kinds that this build "
            "has",
            rope->name, rope->path);
    s->rule = llama3 ? WM_ROPE_RULE_LLAMA3 : WM_ROPE_RULE_LINEAR;
    st = wm_config_real(rope, "factor", 1, 1e6, 0, &s->factor);
    if (st == WM_OK && llama3)
        st = wm_config_real(rope, "low_freq_factor", 1e-3, 1e6, 0, &s->low);
    if (st == WM_OK && llama3)
        st = wm_config_real(rope, "high_freq_factor", s->low, 1e6, 0, &s->high);
    if (st == WM_OK && llama3)
        st = wm_config_real(rope, "original_max_position_embeddings", 1, WM_MAX_CONTEXT, 0, &s->original);
    return st;
}

static enum wm_status read_rope(const struct wm_config *text, double default_base, struct wm_arch *a)
{
    struct wm_rope_scaling scaling = {0};
    struct wm_config rope;
    double whole;
    bool newer = wm_config_get(text, "rope_parameters") != NULL;
    enum wm_status st = wm_config_real(text, "rope_theta", 1, WM_MAX_ROPE_BASE, default_base, &a->rope_base);
    if (st == WM_OK)
        st = wm_config_real(text, "partial_rotary_factor", 1, 1, 1, &whole);
    if (st == WM_OK && (newer || wm_config_get(text, "rope_scaling"))) {
        st = wm_config_part(text, newer ? "rope_parameters" : "rope_scaling",
                            newer ? "rope_parameters." : "rope_scaling.", &rope);
        if (st == WM_OK)
            st = wm_config_real(&rope, "rope_theta", 1, WM_MAX_ROPE_BASE, a->rope_base, &a->rope_base);
        if (st == WM_OK)
            st = read_rope_rule(&rope, &scaling);
    }
    if (st == WM_OK)
        wm_arch_rope(a, &scaling);
    return st;
}

/* --- the text model ------------------------------------------------------------------------------------- */

static enum wm_status read_sizes(const struct wm_config *c, int32_t kv_heads, int32_t head_dim,
                                 int32_t context, struct wm_arch *a)
{
    enum wm_status st = wm_config_size(c, "vocab_size", 1, WM_MAX_VOCABULARY, 0, &a->vocabulary);
    if (st == WM_OK)
        st = wm_config_size(c, "max_position_embeddings", 1, WM_MAX_CONTEXT, context, &a->context);
    if (st == WM_OK)
        st = wm_config_size(c, "num_hidden_layers", 1, WM_MAX_LAYERS, 0, &a->layers);
    if (st == WM_OK)
        st = wm_config_size(c, "hidden_size", 1, WM_MAX_WIDTH, 0, &a->width);
    if (st == WM_OK)
        st = wm_config_size(c, "num_attention_heads", 1, WM_MAX_HEADS, 0, &a->heads);
    if (st == WM_OK)
        st = wm_config_size(c, "num_key_value_heads", 1, WM_MAX_HEADS, kv_heads ? kv_heads : a->heads,
                            &a->kv_heads);
    if (st == WM_OK)
        st = wm_config_size(c, "head_dim", 2, WM_MAX_HEAD_DIM, head_dim ? head_dim : a->width / a->heads,
                            &a->head_dim);
    if (st == WM_OK)
        st = wm_config_real(c, "rms_norm_eps", 0, 1, 1e-5, &a->rms_eps);
    if (st == WM_OK)
        st = wm_config_only(c, "hidden_act", "silu");
    return st;
}

/* Biases that some checkpoints of the same class have, and our programs do not. */
static enum wm_status refuse_biases(const struct wm_config *c)
{
    static const char *const keys[] = {"attention_bias", "mlp_bias"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool bias;
        enum wm_status st = wm_config_bool(c, keys[i], false, &bias);
        if (st != WM_OK)
            return st;
        if (bias)
            return wm_fail(c->err, WM_EUNSUPPORTED,
                           "%s: config key %s%s is true; this build has no biases there", c->name, c->path,
                           keys[i]);
    }
    return WM_OK;
}

static enum wm_status read_llama(const struct wm_config *c, struct wm_arch *a)
{
    a->family = WM_FAMILY_LLAMA;
    a->pairing = WM_ROPE_HALVES;
    enum wm_status st = read_sizes(c, 0, 0, LLAMA_CONTEXT, a);
    if (st == WM_OK)
        st = wm_config_size(c, "intermediate_size", 1, WM_MAX_WIDTH, 0, &a->dense_hidden);
    if (st == WM_OK)
        st = wm_config_bool(c, "tie_word_embeddings", false, &a->tied);
    if (st == WM_OK)
        st = refuse_biases(c);
    memset(a->rope, true, (size_t)a->layers);
    return st == WM_OK ? read_rope(c, llama_rope_base, a) : st;
}

/* moe_layers lists them; without it every interleave_moe_layer_step-th layer has experts. */
static enum wm_status read_moe_layers(const struct wm_config *c, struct wm_arch *a)
{
    const json_t *list = wm_config_get(c, "moe_layers");
    int32_t step = 0;
    enum wm_status st = wm_config_size(c, "interleave_moe_layer_step", 0, WM_MAX_LAYERS, 1, &step);
    if (st != WM_OK)
        return st;
    if (list && !json_is_array(list))
        return wm_fail(c->err, WM_EFORMAT, "%s: config key %smoe_layers must be a list", c->name, c->path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *layer = json_array_get(list, i);
        if (!json_is_integer(layer) || json_integer_value(layer) < 0 ||
            json_integer_value(layer) >= a->layers)
            return wm_fail(c->err, WM_EFORMAT,
                           "%s: element %zu of config key %smoe_layers is not one of the %d layers", c->name,
                           i, c->path, a->layers);
        a->moe[json_integer_value(layer)] = true;
    }
    for (int32_t l = 0; l < a->layers && !list && step; l++)
        a->moe[l] = (l + 1) % step == 0;
    return WM_OK;
}

static enum wm_status read_experts(const struct wm_config *c, struct wm_arch *a)
{
    int32_t dense = 0, routed = 0;
    enum wm_status st = read_moe_layers(c, a);
    if (st != WM_OK)
        return st;
    for (int32_t l = 0; l < a->layers; l++)
        (*(a->moe[l] ? &routed : &dense))++;
    if (routed) {
        st = wm_config_size(c, "num_local_experts", 1, WM_MAX_EXPERTS, EXPERTS, &a->experts);
        if (st == WM_OK)
            st = wm_config_size(c, "num_experts_per_tok", 1, WM_MAX_EXPERTS, 1, &a->experts_used);
        if (st == WM_OK)
            st = wm_config_size(c, "intermediate_size", 1, WM_MAX_WIDTH, 0, &a->expert_hidden);
        a->shared_hidden = a->expert_hidden;
    }
    if (dense && st == WM_OK)
        st = wm_config_size(c, "intermediate_size_mlp", 1, WM_MAX_WIDTH, DENSE_HIDDEN, &a->dense_hidden);
    return st;
}

/* no_rope_layers says it layer by layer; empty or absent, every no_rope_layer_interval-th layer goes without rope. */
static enum wm_status read_rope_layers(const struct wm_config *c, struct wm_arch *a)
{
    const json_t *list = wm_config_get(c, "no_rope_layers");
    size_t n = json_array_size(list);
    int32_t interval = 0;
    enum wm_status st =
        wm_config_size(c, "no_rope_layer_interval", 0, WM_MAX_LAYERS, NO_ROPE_INTERVAL, &interval);
    if (st != WM_OK)
        return st;
    if ((list && !json_is_array(list)) || (n && n != (size_t)a->layers))
        return wm_fail(c->err, WM_EFORMAT,
                       "%s: config key %sno_rope_layers must be a list of %d numbers, or empty", c->name,
                       c->path, a->layers);
    for (int32_t l = 0; l < a->layers; l++) {
        const json_t *uses = json_array_get(list, (size_t)l);
        if (n && !json_is_integer(uses) && !json_is_boolean(uses))
            return wm_fail(c->err, WM_EFORMAT, "%s: element %d of config key %sno_rope_layers must be 0 or 1",
                           c->name, l, c->path);
        a->rope[l] = n ? json_is_true(uses) || json_integer_value(uses) != 0
                       : interval == 0 || (l + 1) % interval != 0;
    }
    return WM_OK;
}

/* layer_types, where given, says which layers are chunked. We run those with rope chunked, or none. */
static enum wm_status read_chunk(const struct wm_config *c, struct wm_arch *a)
{
    const json_t *types = wm_config_get(c, "layer_types");
    bool agrees = true;
    size_t n = json_array_size(types), chunked = 0;
    enum wm_status st = wm_config_int(c, "attention_chunk_size", 0, WM_MAX_CONTEXT,
                                      is_null(c, "attention_chunk_size") ? 0 : CHUNK, &a->chunk);
    if (st != WM_OK || !types)
        return st;
    if (!json_is_array(types) || n != (size_t)a->layers)
        return wm_fail(c->err, WM_EFORMAT, "%s: config key %slayer_types must be a list of %d names", c->name,
                       c->path, a->layers);
    for (size_t l = 0; l < n; l++) {
        const char *type = json_string_value(json_array_get(types, l));
        bool is_chunked = type && strcmp(type, "chunked_attention") == 0;
        if (!is_chunked && (!type || strcmp(type, "full_attention") != 0))
            return wm_fail(c->err, WM_EUNSUPPORTED,
                           "%s: element %zu of config key %slayer_types is neither chunked_attention nor "
                           "full_attention",
                           c->name, l, c->path);
        chunked += is_chunked;
        agrees = agrees && is_chunked == a->rope[l];
    }
    if (chunked == 0)
        a->chunk = 0;
    return chunked == 0 || agrees ? WM_OK
                                  : wm_fail(c->err, WM_EUNSUPPORTED,
                                            "%s: config keys %slayer_types and %sno_rope_layers disagree: "
                                            "this build runs the layers "
                                            "with rope chunked and the others whole",
                                            c->name, c->path, c->path);
}

static enum wm_status read_temperature(const struct wm_config *c, struct wm_arch *a)
{
    bool on = false;
    double floor_scale = 0;
    enum wm_status st = wm_config_bool(c, "attn_temperature_tuning", true, &on);
    if (st == WM_OK)
        st = wm_config_real(c, "floor_scale", 1, WM_MAX_CONTEXT, TEMPERATURE_FLOOR, &floor_scale);
    if (st == WM_OK)
        st = wm_config_real(c, "attn_scale", 0, 1e3, temperature_scale, &a->temperature_scale);
    a->temperature_floor = on ? floor_scale : 0;
    return st;
}

static enum wm_status read_llama4_text(const struct wm_config *c, struct wm_arch *a)
{
    a->family = WM_FAMILY_LLAMA4;
    a->pairing = WM_ROPE_ADJACENT;
    /* A null is not the class's default here: it asks for what the other sizes give. */
    enum wm_status st = read_sizes(c, is_null(c, "num_key_value_heads") ? 0 : KV_HEADS,
                                   is_null(c, "head_dim") ? 0 : HEAD_DIM, CONTEXT, a);
    if (st == WM_OK)
        st = refuse_biases(c);
    if (st == WM_OK)
        st = read_experts(c, a);
    if (st == WM_OK)
        st = read_rope_layers(c, a);
    if (st == WM_OK)
        st = read_chunk(c, a);
    if (st == WM_OK)
        st = read_temperature(c, a);
    if (st == WM_OK)
        st = wm_config_bool(c, "use_qk_norm", true, &a->qk_norm);
    return st == WM_OK ? read_rope(c, llama4_rope_base, a) : st;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

/* What the config calls itself: the first of `architectures`, or model_type. */
static enum wm_status read_class(const struct wm_config *c, const char **out)
{
    const char *type;
    const char *class = json_string_value(json_array_get(wm_config_get(c, "architectures"), 0));
    enum wm_status st = wm_config_text(c, "model_type", "", &type);
    if (st != WM_OK)
        return st;
    if (!class)
        class = strcmp(type, "llama4") == 0        ? "Llama4ForConditionalGeneration"
                : strcmp(type, "llama4_text") == 0 ? "Llama4ForCausalLM"
                : strcmp(type, "llama") == 0       ? "LlamaForCausalLM"
                                                   : "";
    *out = class;
    return WM_OK;
}

static enum wm_status read_joint(const struct wm_config *c, struct wm_arch *a)
{
    struct wm_config text, vision;
    bool top = false;
    enum wm_status st = wm_config_part(c, "text_config", "text_config.", &text);
    if (st == WM_OK)
        st = read_llama4_text(&text, a);
    if (st == WM_OK)
        st = wm_config_bool(c, "tie_word_embeddings", false, &top);
    if (st == WM_OK)
        st = wm_config_bool(&text, "tie_word_embeddings", top, &a->tied);
    if (st == WM_OK && wm_config_get(c, "vision_config")) {
        st = wm_config_part(c, "vision_config", "vision_config.", &vision);
        if (st == WM_OK)
            st = wm_arch_vision_from_config(&vision, &a->vision);
    }
    return st;
}

enum wm_status wm_arch_from_config_text(const char *name, const char *text, size_t len, struct wm_arch *out,
                                        struct wm_error *err)
{
    json_t *root = NULL;
    const char *class = "";
    enum wm_status st = wm_config_parse(name, text, len, &root, err);
    if (st != WM_OK)
        return st;
    struct wm_config c = {.name = name, .path = "", .object = root, .err = err};
    st = read_class(&c, &class);
    if (st != WM_OK)
        goto out;
    if (strcmp(class, "Llama4ForConditionalGeneration") == 0) {
        st = read_joint(&c, out);
    } else if (strcmp(class, "Llama4ForCausalLM") == 0) {
        st = read_llama4_text(&c, out);
        if (st == WM_OK)
            st = wm_config_bool(&c, "tie_word_embeddings", false, &out->tied);
    } else if (strcmp(class, "LlamaForCausalLM") == 0) {
        st = read_llama(&c, out);
    } else {
        st = wm_fail(err, WM_EUNSUPPORTED,
                     "%s: its config names an architecture that this build does not run (it runs: "
                     "Llama4ForConditionalGeneration, Llama4ForCausalLM, LlamaForCausalLM)",
                     name);
    }
out:
    json_decref(root);
    return st;
}

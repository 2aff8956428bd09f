/* arch.c -- see arch.h. Chooses the reader, and checks what every reader has to answer for. */
#include "engine/arch.h"

#include <math.h>

#include "engine/arch_parts.h"
#include "engine/parts.h"

const char *wm_family_name(enum wm_family family)
{
    return family == WM_FAMILY_LLAMA4 ? "llama4" : "llama";
}

/* --- rope ----------------------------------------------------------------------------------------------- */

/* The rule of Llama 3.1 (source: Meta's model.py, apply_scaling): pairs that turn more than `high` times over
 * the first training's context keep their speed, those that turn less than `low` times become `factor` times
 * slower, those between are blended. With low == high (Scout) nothing lies between. */
static double scaled_llama3(double freq, const struct wm_rope_scaling *s)
{
    double turns = s->original * freq / (2 * M_PI);
    if (turns > s->high || (s->low == s->high && turns >= s->low))
        return freq;
    if (turns < s->low)
        return freq / s->factor;
    double blend = (turns - s->low) / (s->high - s->low);
    return (1 - blend) * freq / s->factor + blend * freq;
}

void wm_arch_rope(struct wm_arch *a, const struct wm_rope_scaling *scaling)
{
    for (int32_t i = 0; i < a->head_dim / 2; i++) {
        double freq = pow(a->rope_base, -2.0 * i / a->head_dim);
        if (scaling->rule == WM_ROPE_RULE_LINEAR)
            freq /= scaling->factor;
        if (scaling->rule == WM_ROPE_RULE_LLAMA3)
            freq = scaled_llama3(freq, scaling);
        a->inv_freq[i] = freq;
    }
}

/* --- checks --------------------------------------------------------------------------------------------- */

static enum wm_status check_layers(const char *name, const struct wm_arch *a, struct wm_error *err)
{
    if (a->heads % a->kv_heads || a->head_dim % 2 || a->head_dim < 2 || a->head_dim > WM_MAX_HEAD_DIM)
        return wm_fail(
            err, WM_EFORMAT,
            "%s: %d query heads and %d key heads of %d elements do not fit together: query heads are "
            "a multiple of key heads, and a head has an even number of elements up to %d",
            name, a->heads, a->kv_heads, a->head_dim, WM_MAX_HEAD_DIM);
    for (int32_t l = 0; l < a->layers; l++) {
        if (a->moe[l] && (a->experts < 1 || a->expert_hidden < 1))
            return wm_fail(err, WM_EFORMAT, "%s: layer %d has experts, but their number or size is not given",
                           name, l);
        if (!a->moe[l] && a->dense_hidden < 1)
            return wm_fail(err, WM_EFORMAT, "%s: layer %d has no experts and no feed-forward size", name, l);
    }
    if (a->experts_used > a->experts || (a->experts && a->experts_used < 1))
        return wm_fail(err, WM_EFORMAT, "%s: %d of %d experts cannot be used", name, a->experts_used,
                       a->experts);
    return WM_OK;
}

static enum wm_status check_vision(const char *name, const struct wm_vision_arch *v, struct wm_error *err)
{
    if (!v->layers)
        return WM_OK;
    if (v->width % v->heads || v->width / v->heads % 4 || v->width / v->heads > WM_MAX_HEAD_DIM)
        return wm_fail(
            err, WM_EFORMAT,
            "%s: the vision tower's width %d does not divide into %d heads of a multiple of 4 elements "
            "up to %d",
            name, v->width, v->heads, WM_MAX_HEAD_DIM);
    if (v->image % v->patch || v->image / v->patch % v->shuffle)
        return wm_fail(err, WM_EFORMAT,
                       "%s: a tile of %d pixels does not divide into patches of %d, joined %d by %d", name,
                       v->image, v->patch, v->shuffle, v->shuffle);
    if ((int64_t)v->width * v->shuffle * v->shuffle > WM_MAX_WIDTH ||
        (int64_t)3 * v->patch * v->patch > WM_MAX_WIDTH)
        return wm_fail(err, WM_ELIMIT, "%s: the vision tower's rows are longer than %d", name, WM_MAX_WIDTH);
    return WM_OK;
}

/* So that the bytes and the FLOPs of all weights fit 63 bits, whatever their type. */
static enum wm_status check_total(const char *name, const struct wm_arch *a, struct wm_error *err)
{
    int64_t total = 0;
    for (enum wm_part part = 0; part < WM_PARTS; part++) {
        int64_t rows, cols, n;
        wm_part_size(a, part, &rows, &cols);
        if (__builtin_mul_overflow(rows * cols, wm_part_count(a, part), &n) ||
            __builtin_add_overflow(total, n, &total) || total >> 59)
            return wm_fail(err, WM_ELIMIT, "%s: its sizes multiply to more than 2^59 weights", name);
    }
    return WM_OK;
}

enum wm_status wm_arch_check(const char *name, const struct wm_arch *a, struct wm_error *err)
{
    enum wm_status st = check_layers(name, a, err);
    if (st == WM_OK)
        st = check_vision(name, &a->vision, err);
    return st == WM_OK ? check_total(name, a, err) : st;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static enum wm_status read_folder(const struct wm_model_file *f, struct wm_arch *out, struct wm_error *err)
{
    const char *name = wm_model_file_name(f), *text;
    size_t len;
    if (!wm_model_file_document(f, "config.json", &text, &len))
        return wm_fail(
            err, WM_ENOENT,
            "%s: there is no config.json beside the weights, which says how they belong together: give "
            "the folder that holds both",
            name);
    enum wm_status st = wm_arch_from_config_text(name, text, len, out, err);
    if (st != WM_OK || !out->vision.layers)
        return st;
    return wm_model_file_document(f, "preprocessor_config.json", &text, &len)
               ? wm_arch_from_preprocessor(name, text, len, out, err)
               : WM_OK;
}

enum wm_status wm_arch_read(const struct wm_model_file *f, const struct wm_model_file *projector,
                            struct wm_arch *out, struct wm_error *err)
{
    *out = (struct wm_arch){0};
    enum wm_status st = wm_model_file_is_gguf(f) ? wm_arch_from_gguf(f, out, err) : read_folder(f, out, err);
    if (st == WM_OK && projector && out->vision.layers)
        st = wm_fail(err, WM_EINVAL, "%s: it holds its vision tower itself; leave %s out",
                     wm_model_file_name(f), wm_model_file_name(projector));
    if (st == WM_OK && projector)
        st = wm_arch_from_mmproj(projector, out, err);
    return st == WM_OK ? wm_arch_check(wm_model_file_name(f), out, err) : st;
}

enum wm_status wm_arch_from_config(const char *name, const char *text, size_t len, struct wm_arch *out,
                                   struct wm_error *err)
{
    *out = (struct wm_arch){0};
    enum wm_status st = wm_arch_from_config_text(name, text, len, out, err);
    return st == WM_OK ? wm_arch_check(name, out, err) : st;
}

/* arch_mmproj.c -- the vision tower of a GGUF of its own, as llama.cpp's converter writes it
 * (general.architecture clip).
 *
 * The widths of the adapter are no keys: they are read off its tensors. What llama.cpp's own reader assumes
 * is checked where the file says it (source: llama.cpp, conversion/llama4.py): pictures are normalised with
 * mean and deviation 0.5, GELU, rope base 10000.
 */
#include <string.h>

#include "engine/arch_parts.h"

static const double rope_base = 10000, mean = 0.5;

struct size {
    const char *key;
    int64_t min, max, fallback; /* fallback below min: must be there */
    int32_t *out;
};

static enum wm_status read_sizes(const struct wm_model_file *f, const struct size *sizes, size_t n,
                                 struct wm_error *err)
{
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        int64_t value = 0;
        st = wm_model_file_int(f, sizes[i].key, sizes[i].min, sizes[i].max, sizes[i].fallback, &value, err);
        *sizes[i].out = (int32_t)value;
    }
    return st;
}

static enum wm_status check_kind(const struct wm_model_file *f, struct wm_error *err)
{
    const char *name = wm_model_file_name(f), *text = NULL, *kind = NULL;
    size_t len = 0, kind_len = 0;
    enum wm_status st = wm_model_file_text(f, "general.architecture", &text, &len, err);
    if (st == WM_OK)
        st = wm_model_file_text(f, "clip.projector_type", &kind, &kind_len, err);
    if (st == WM_OK && !kind)
        st = wm_model_file_text(f, "clip.vision.projector_type", &kind, &kind_len, err);
    if (st != WM_OK)
        return st;
    if (!text || len != 4 || memcmp(text, "clip", 4) != 0)
        return wm_fail(
            err, WM_EUNSUPPORTED,
            "%s: not a vision tower: its general.architecture is not clip; --projector wants the mmproj "
            "file",
            name);
    if (!kind || kind_len != 6 || memcmp(kind, "llama4", 6) != 0)
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: a vision tower of another family: clip.projector_type must be llama4", name);
    bool gelu;
    st = wm_model_file_bool(f, "clip.use_gelu", true, &gelu, err);
    return st == WM_OK && !gelu
               ? wm_fail(err, WM_EUNSUPPORTED, "%s: key clip.use_gelu is false, Llama 4 uses GELU", name)
               : st;
}

static enum wm_status check_normalisation(const struct wm_model_file *f, struct wm_error *err)
{
    static const char *const keys[] = {"clip.vision.image_mean", "clip.vision.image_std"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct wm_meta *m = wm_model_file_meta(f, keys[i]);
        if (!m)
            continue;
        bool ok = m->kind == WM_META_ARRAY && m->array.of == WM_META_FLOAT && m->array.count == 3;
        for (uint64_t c = 0; ok && c < 3; c++)
            ok = wm_meta_array_float(m, c) == mean;
        if (!ok)
            return wm_fail(err, WM_EUNSUPPORTED, "%s: key %s must be three times 0.5, as Llama 4 has it",
                           wm_model_file_name(f), keys[i]);
    }
    return WM_OK;
}

/* Rows of a matrix of the adapter. */
static enum wm_status read_rows(const struct wm_model_file *f, const char *tensor, int32_t *out,
                                struct wm_error *err)
{
    const struct wm_tensor *t = wm_model_file_tensor(f, tensor);
    if (!t)
        return wm_fail(err, WM_EFORMAT, "%s: tensor %s is missing: convert the vision tower again",
                       wm_model_file_name(f), tensor);
    if (t->dims[1] > WM_MAX_WIDTH)
        return wm_fail(err, WM_ELIMIT, "%s: tensor %s has %lld rows, at most %d are read",
                       wm_model_file_name(f), tensor, (long long)t->dims[1], WM_MAX_WIDTH);
    *out = (int32_t)t->dims[1];
    return WM_OK;
}

enum wm_status wm_arch_from_mmproj(const struct wm_model_file *f, struct wm_arch *out, struct wm_error *err)
{
    struct wm_vision_arch v = {.rope_base = rope_base, .max_tiles = WM_DEFAULT_MAX_TILES};
    int32_t projection = 0;
    const struct size sizes[] = {
        {"clip.vision.block_count", 1, WM_MAX_LAYERS, 0, &v.layers},
        {"clip.vision.embedding_length", 1, WM_MAX_WIDTH, 0, &v.width},
        {"clip.vision.feed_forward_length", 1, WM_MAX_WIDTH, 0, &v.hidden},
        {"clip.vision.attention.head_count", 1, WM_MAX_HEADS, 0, &v.heads},
        {"clip.vision.image_size", 1, WM_MAX_TILE_SIDE, 0, &v.image},
        {"clip.vision.patch_size", 1, WM_MAX_TILE_SIDE, 0, &v.patch},
        {"clip.vision.projector.scale_factor", 1, WM_MAX_TILE_SIDE, 2, &v.shuffle},
        {"clip.vision.projection_dim", 1, WM_MAX_WIDTH, out->width, &projection},
    };
    enum wm_status st = check_kind(f, err);
    if (st == WM_OK)
        st = check_normalisation(f, err);
    if (st == WM_OK)
        st = read_sizes(f, sizes, sizeof sizes / sizeof *sizes, err);
    if (st == WM_OK)
        st = wm_model_file_float(f, "clip.vision.attention.layer_norm_epsilon", 0, 1, 1e-5, &v.eps, err);
    if (st == WM_OK)
        st = read_rows(f, "mm.model.mlp.1.weight", &v.adapter_hidden, err);
    if (st == WM_OK)
        st = read_rows(f, "mm.model.mlp.2.weight", &v.out, err);
    if (st == WM_OK && projection != out->width)
        st = wm_fail(
            err, WM_EFORMAT,
            "%s: it is made for a text model of width %d, the text model's is %d: the two files do not "
            "belong together",
            wm_model_file_name(f), projection, out->width);
    if (st == WM_OK)
        out->vision = v;
    return st;
}

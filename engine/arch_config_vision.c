/* arch_config_vision.c -- the vision tower from the vision_config of a Hugging Face config.json, and how
 * pictures are cut into its tiles from preprocessor_config.json.
 *
 * Sizes must be there: the defaults of transformers' class are of no model that was released (source:
 * configuration_llama4.py).
 */
#include <math.h>

#include "engine/arch_parts.h"

static const double default_rope_base = 10000;

/* pixel_shuffle_ratio 0.5 joins 2 x 2 patches. */
static enum wm_status read_shuffle(const struct wm_config *c, struct wm_vision_arch *v)
{
    double ratio = 0;
    enum wm_status st = wm_config_real(c, "pixel_shuffle_ratio", 1.0 / WM_MAX_TILE_SIDE, 1, 0.5, &ratio);
    if (st != WM_OK)
        return st;
    v->shuffle = (int32_t)lround(1 / ratio);
    return fabs(ratio * v->shuffle - 1) < 1e-6
               ? WM_OK
               : wm_fail(c->err, WM_EUNSUPPORTED,
                         "%s: config key %spixel_shuffle_ratio is %g, not one part of a whole", c->name,
                         c->path, ratio);
}

static enum wm_status read_vision_sizes(const struct wm_config *c, struct wm_vision_arch *v)
{
    int32_t channels, again;
    enum wm_status st = wm_config_size(c, "num_hidden_layers", 1, WM_MAX_LAYERS, 0, &v->layers);
    if (st == WM_OK)
        st = wm_config_size(c, "hidden_size", 1, WM_MAX_WIDTH, 0, &v->width);
    if (st == WM_OK)
        st = wm_config_size(c, "num_attention_heads", 1, WM_MAX_HEADS, 0, &v->heads);
    if (st == WM_OK)
        st = wm_config_size(c, "intermediate_size", 1, WM_MAX_WIDTH, 0, &v->hidden);
    if (st == WM_OK)
        st = wm_config_size(c, "image_size", 1, WM_MAX_TILE_SIDE, 0, &v->image);
    if (st == WM_OK)
        st = wm_config_size(c, "patch_size", 1, WM_MAX_TILE_SIDE, 0, &v->patch);
    if (st == WM_OK)
        st = wm_config_size(c, "num_channels", 3, 3, 3, &channels);
    if (st == WM_OK)
        st = wm_config_size(c, "projector_input_dim", 1, WM_MAX_WIDTH, 0, &v->adapter_hidden);
    if (st == WM_OK)
        st = wm_config_size(c, "projector_output_dim", 1, WM_MAX_WIDTH, 0, &v->out);
    if (st == WM_OK)
        st = wm_config_size(c, "vision_output_dim", v->out, v->out, v->out, &again);
    return st;
}

enum wm_status wm_arch_vision_from_config(const struct wm_config *c, struct wm_vision_arch *v)
{
    struct wm_config rope;
    bool bias = false;
    enum wm_status st = read_vision_sizes(c, v);
    if (st == WM_OK)
        st = read_shuffle(c, v);
    if (st == WM_OK)
        st = wm_config_real(c, "norm_eps", 0, 1, 1e-5, &v->eps);
    if (st == WM_OK)
        st = wm_config_real(c, "rope_theta", 1, WM_MAX_ROPE_BASE, default_rope_base, &v->rope_base);
    if (st == WM_OK && wm_config_get(c, "rope_parameters")) {
        st = wm_config_part(c, "rope_parameters", "vision_config.rope_parameters.", &rope);
        if (st == WM_OK)
            st = wm_config_real(&rope, "rope_theta", 1, WM_MAX_ROPE_BASE, v->rope_base, &v->rope_base);
    }
    if (st == WM_OK)
        st = wm_config_only(c, "hidden_act", "gelu");
    if (st == WM_OK)
        st = wm_config_bool(c, "multi_modal_projector_bias", false, &bias);
    if (st == WM_OK && bias)
        st = wm_fail(c->err, WM_EUNSUPPORTED,
                     "%s: config key %smulti_modal_projector_bias is true; this build has no bias there",
                     c->name, c->path);
    if (st == WM_OK && v->hidden != (int64_t)v->width * v->shuffle * v->shuffle)
        st = wm_fail(
            c->err, WM_EUNSUPPORTED,
            "%s: config key %sintermediate_size is %d where the adapter takes %lld (hidden_size x %d x %d)",
            c->name, c->path, v->hidden, (long long)v->width * v->shuffle * v->shuffle, v->shuffle,
            v->shuffle);
    v->max_tiles = WM_DEFAULT_MAX_TILES;
    return st;
}

enum wm_status wm_arch_from_preprocessor(const char *name, const char *text, size_t len, struct wm_arch *out,
                                         struct wm_error *err)
{
    static const char *const sides[] = {"height", "width"};
    json_t *root = NULL;
    enum wm_status st = wm_config_parse(name, text, len, &root, err);
    if (st != WM_OK)
        return st;
    struct wm_config c = {.name = name, .path = "(preprocessor) ", .object = root, .err = err}, size;
    st = wm_config_size(&c, "max_patches", 1, WM_MAX_TILES, WM_DEFAULT_MAX_TILES, &out->vision.max_tiles);
    if (st == WM_OK && wm_config_get(&c, "size"))
        st = wm_config_part(&c, "size", "(preprocessor) size.", &size);
    for (int i = 0; i < 2 && st == WM_OK && wm_config_get(&c, "size"); i++) {
        int32_t side = 0;
        st = wm_config_size(&size, sides[i], 1, WM_MAX_TILE_SIDE, out->vision.image, &side);
        if (st == WM_OK && side != out->vision.image)
            st = wm_fail(
                err, WM_EFORMAT,
                "%s: preprocessor_config.json cuts tiles of %d pixels, the vision tower of config.json takes "
                "%d",
                name, side, out->vision.image);
    }
    json_decref(root);
    return st;
}

/* vision_layers.h -- a loaded vision tower from inside. Private to vision.c, which runs it, and
 * vision_load.c, which makes it. */
#ifndef WM_ENGINE_VISION_LAYERS_H
#define WM_ENGINE_VISION_LAYERS_H

#include "engine/vision.h"

/* A matrix of the tower and what belongs to it. */
struct wm_vision_product {
    struct wm_weight *w;
    float *bias; /* NULL: none */
};

struct wm_vision_norm {
    float *scale, *bias;
};

struct wm_vision_layer {
    struct wm_vision_norm norm_1, norm_2;
    struct wm_vision_product qkv, o, fc1, fc2;
};

struct wm_vision {
    const struct wm_vision_arch *arch;
    const struct wm_ops *ops;
    struct wm_backend *be;
    int32_t side, patches, tokens; /* patches per side and tile; with the class token */
    int32_t tile_tokens;
    struct wm_vision_product patch, adapter_1, adapter_2, projector;
    struct wm_vision_norm pre, post;
    struct wm_vision_layer *layers;
    float *start;     /* [tokens, width] positions, the class token added to the last */
    float *pixels;    /* [patches, 3 * patch * patch] of the tile at hand */
    float *cos, *sin; /* [tokens, head_dim / 2] */
    /* Activations of one tile */
    struct wm_act *patch_rows;          /* [patches, 3 * patch * patch] */
    struct wm_act *x, *attended;        /* [tokens, width] */
    struct wm_act *qkv;                 /* [tokens, 3 * width] */
    struct wm_act *hidden;              /* [tokens, hidden] */
    struct wm_act *joined;              /* [tile_tokens, width * shuffle^2] */
    struct wm_act *adapted_1, *adapted; /* [tile_tokens, adapter_hidden], [tile_tokens, out] */
    struct wm_act *projected;           /* [tile_tokens, width of the text model] */
};

#endif

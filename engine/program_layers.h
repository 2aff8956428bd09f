/* program_layers.h -- a loaded program from inside. Private to program.c, which runs it, and program_load.c,
 * which makes it. */
#ifndef WM_ENGINE_PROGRAM_LAYERS_H
#define WM_ENGINE_PROGRAM_LAYERS_H

#include "engine/program.h"

struct wm_layer {
    struct wm_weight *qkv, *o;
    struct wm_weight *gate_up,
        *down;                  /* the dense feed-forward, or the expert that all tokens share; may be NULL */
    struct wm_weight *router;   /* NULL in a layer without experts, */
    struct wm_experts *experts; /* as is this */
    float *attn_norm, *ffn_norm; /* [width] */
    int32_t pool_layer;          /* its place in the pool of its group */
};

struct wm_program {
    const struct wm_arch *arch; /* borrowed */
    const struct wm_ops *ops;
    struct wm_backend *be;
    int32_t max_rows;
    struct wm_weight *embedding, *output;
    float *output_norm;
    struct wm_layer *layers;
    /* Activations of one run, [max_rows, ...] */
    struct wm_act *x;             /* width: what flows from layer to layer */
    struct wm_act *qkv;           /* (heads + 2 kv_heads) * head_dim */
    struct wm_act *attended;      /* heads * head_dim */
    struct wm_act *gate_up;       /* 2 * hidden of the widest feed-forward that all tokens go through */
    struct wm_act *router_logits; /* experts; NULL without, */
    struct wm_routes *routes;     /* as is this */
};

#endif

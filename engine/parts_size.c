/* parts_size.c -- what parts an architecture has: which layers, how many, how large. */
#include "engine/parts.h"

/* Where a part occurs. */
enum where {
    ONCE,        /* in the text model */
    EACH_LAYER,  /* of the text model */
    EACH_DENSE,  /* layer without experts */
    EACH_MOE,    /* layer with experts */
    EACH_EXPERT, /* of each layer with experts */
    TOWER,       /* once, when there is a vision tower */
    EACH_TOWER   /* layer of the tower */
};

static const struct {
    const char *name;
    enum where where;
    bool vector, bias;
} parts[WM_PARTS] = {
    [WM_PART_EMBEDDING] = {"embeddings", ONCE},
    [WM_PART_OUTPUT] = {"output", ONCE},
    [WM_PART_OUTPUT_NORM] = {"output norm", ONCE, .vector = true},
    [WM_PART_ATTN_NORM] = {"attention norm", EACH_LAYER, .vector = true},
    [WM_PART_Q] = {"attention q", EACH_LAYER},
    [WM_PART_K] = {"attention k", EACH_LAYER},
    [WM_PART_V] = {"attention v", EACH_LAYER},
    [WM_PART_O] = {"attention out", EACH_LAYER},
    [WM_PART_FFN_NORM] = {"feed-forward norm", EACH_LAYER, .vector = true},
    [WM_PART_GATE] = {"dense gate", EACH_DENSE},
    [WM_PART_UP] = {"dense up", EACH_DENSE},
    [WM_PART_DOWN] = {"dense down", EACH_DENSE},
    [WM_PART_ROUTER] = {"router", EACH_MOE},
    [WM_PART_SHARED_GATE] = {"shared expert gate", EACH_MOE},
    [WM_PART_SHARED_UP] = {"shared expert up", EACH_MOE},
    [WM_PART_SHARED_DOWN] = {"shared expert down", EACH_MOE},
    [WM_PART_EXPERT_GATE] = {"routed experts gate", EACH_EXPERT},
    [WM_PART_EXPERT_UP] = {"routed experts up", EACH_EXPERT},
    [WM_PART_EXPERT_DOWN] = {"routed experts down", EACH_EXPERT},
    [WM_PART_PATCH] = {"vision patches", TOWER},
    [WM_PART_CLASS] = {"vision class token", TOWER, .vector = true},
    [WM_PART_POSITIONS] = {"vision positions", TOWER},
    [WM_PART_PRE_NORM] = {"vision first norm", TOWER, .vector = true, .bias = true},
    [WM_PART_POST_NORM] = {"vision last norm", TOWER, .vector = true, .bias = true},
    [WM_PART_ADAPTER_1] = {"vision adapter 1", TOWER},
    [WM_PART_ADAPTER_2] = {"vision adapter 2", TOWER},
    [WM_PART_PROJECTOR] = {"projector", TOWER},
    [WM_PART_V_NORM_1] = {"vision attention norm", EACH_TOWER, .vector = true, .bias = true},
    [WM_PART_V_Q] = {"vision q", EACH_TOWER, .bias = true},
    [WM_PART_V_K] = {"vision k", EACH_TOWER, .bias = true},
    [WM_PART_V_V] = {"vision v", EACH_TOWER, .bias = true},
    [WM_PART_V_O] = {"vision out", EACH_TOWER, .bias = true},
    [WM_PART_V_NORM_2] = {"vision feed-forward norm", EACH_TOWER, .vector = true, .bias = true},
    [WM_PART_V_FC1] = {"vision fc1", EACH_TOWER, .bias = true},
    [WM_PART_V_FC2] = {"vision fc2", EACH_TOWER, .bias = true},
};

const char *wm_part_name(enum wm_part part)
{
    return parts[part].name;
}

bool wm_part_is_vector(enum wm_part part)
{
    return parts[part].vector;
}

bool wm_part_has_bias(enum wm_part part)
{
    return parts[part].bias;
}

bool wm_part_is_vision(enum wm_part part)
{
    return parts[part].where == TOWER || parts[part].where == EACH_TOWER;
}

int32_t wm_part_layers(const struct wm_arch *a, enum wm_part part)
{
    switch (parts[part].where) {
    case ONCE:
        return 1;
    case TOWER:
        return a->vision.layers > 0;
    case EACH_TOWER:
        return a->vision.layers;
    default:
        return a->layers;
    }
}

int32_t wm_part_copies(const struct wm_arch *a, enum wm_part part, int32_t layer)
{
    bool shared = part >= WM_PART_SHARED_GATE && part <= WM_PART_SHARED_DOWN;
    if (part == WM_PART_OUTPUT && a->tied)
        return 0;
    switch (parts[part].where) {
    case EACH_DENSE:
        return !a->moe[layer];
    case EACH_MOE:
        return a->moe[layer] && (!shared || a->shared_hidden);
    case EACH_EXPERT:
        return a->moe[layer] ? a->experts : 0;
    default:
        return 1;
    }
}

int64_t wm_part_count(const struct wm_arch *a, enum wm_part part)
{
    int64_t count = 0;
    for (int32_t l = 0; l < wm_part_layers(a, part); l++)
        count += wm_part_copies(a, part, l);
    return count;
}

void wm_part_size(const struct wm_arch *a, enum wm_part part, int64_t *rows, int64_t *cols)
{
    const struct wm_vision_arch *v = &a->vision;
    int64_t q = (int64_t)a->heads * a->head_dim, kv = (int64_t)a->kv_heads * a->head_dim, width = a->width;
    int64_t side = v->layers ? v->image / v->patch : 0;
    const struct {
        int64_t rows, cols;
    } sizes[WM_PARTS] = {
        [WM_PART_EMBEDDING] = {a->vocabulary, width},
        [WM_PART_OUTPUT] = {a->vocabulary, width},
        [WM_PART_OUTPUT_NORM] = {1, width},
        [WM_PART_ATTN_NORM] = {1, width},
        [WM_PART_Q] = {q, width},
        [WM_PART_K] = {kv, width},
        [WM_PART_V] = {kv, width},
        [WM_PART_O] = {width, q},
        [WM_PART_FFN_NORM] = {1, width},
        [WM_PART_GATE] = {a->dense_hidden, width},
        [WM_PART_UP] = {a->dense_hidden, width},
        [WM_PART_DOWN] = {width, a->dense_hidden},
        [WM_PART_ROUTER] = {a->experts, width},
        [WM_PART_SHARED_GATE] = {a->shared_hidden, width},
        [WM_PART_SHARED_UP] = {a->shared_hidden, width},
        [WM_PART_SHARED_DOWN] = {width, a->shared_hidden},
        [WM_PART_EXPERT_GATE] = {a->expert_hidden, width},
        [WM_PART_EXPERT_UP] = {a->expert_hidden, width},
        [WM_PART_EXPERT_DOWN] = {width, a->expert_hidden},
        [WM_PART_PATCH] = {v->width, (int64_t)3 * v->patch * v->patch},
        [WM_PART_CLASS] = {1, v->width},
        [WM_PART_POSITIONS] = {side * side + 1, v->width},
        [WM_PART_PRE_NORM] = {1, v->width},
        [WM_PART_POST_NORM] = {1, v->width},
        [WM_PART_ADAPTER_1] = {v->adapter_hidden, (int64_t)v->width * v->shuffle * v->shuffle},
        [WM_PART_ADAPTER_2] = {v->out, v->adapter_hidden},
        [WM_PART_PROJECTOR] = {width, v->out},
        [WM_PART_V_NORM_1] = {1, v->width},
        [WM_PART_V_Q] = {v->width, v->width},
        [WM_PART_V_K] = {v->width, v->width},
        [WM_PART_V_V] = {v->width, v->width},
        [WM_PART_V_O] = {v->width, v->width},
        [WM_PART_V_NORM_2] = {1, v->width},
        [WM_PART_V_FC1] = {v->hidden, v->width},
        [WM_PART_V_FC2] = {v->width, v->hidden},
    };
    *rows = sizes[part].rows;
    *cols = sizes[part].cols;
}

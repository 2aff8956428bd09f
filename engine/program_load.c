/* program_load.c -- makes a program: takes each part of a model from its files and has the face pack it.
 *
 * ALWAYS  (1) Nothing here knows a tensor's name or a file's format: parts.h answers by what a weight is for.
 *         (2) Experts are handed over as matrices that lie in the files. A face packs one when a token first
 *             goes there, so a model of four hundred gigabytes opens in the time that its other weights take.
 */
#include <stdlib.h>

#include "engine/program_layers.h"

enum { MAX_STACK = 3 };

static enum wm_status load_vector(const struct wm_parts *parts, enum wm_part part, int32_t layer, float **out,
                                  struct wm_error *err)
{
    *out = malloc((size_t)parts->arch->width * sizeof **out);
    if (!*out)
        return wm_fail(err, WM_ENOMEM, "no memory for the %s of layer %d", wm_part_name(part), layer);
    return wm_part_vector(parts, part, layer, false, *out, err);
}

/* Parts [first, first + count) of a layer, stacked by rows. */
static enum wm_status load_stack(struct wm_program *p, const struct wm_parts *parts, enum wm_part first,
                                 int count, int32_t layer, enum wm_use use, struct wm_weight **out,
                                 struct wm_error *err)
{
    struct wm_matrix m[MAX_STACK];
    enum wm_status st = WM_OK;
    for (int i = 0; i < count && st == WM_OK; i++)
        st = wm_part_matrix(parts, (enum wm_part)((int)first + i), layer, 0, &m[i], err);
    return st == WM_OK ? p->ops->weight_new(p->be, m, count, use, out, err) : st;
}

static enum wm_status load_experts(struct wm_program *p, const struct wm_parts *parts, int32_t l,
                                   struct wm_error *err)
{
    int32_t n = p->arch->experts;
    struct wm_expert_matrices *m = calloc((size_t)n, sizeof *m);
    enum wm_status st = m ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for the %d experts of layer %d", n, l);
    for (int32_t e = 0; e < n && st == WM_OK; e++) {
        st = wm_part_matrix(parts, WM_PART_EXPERT_GATE, l, e, &m[e].gate, err);
        if (st == WM_OK)
            st = wm_part_matrix(parts, WM_PART_EXPERT_UP, l, e, &m[e].up, err);
        if (st == WM_OK)
            st = wm_part_matrix(parts, WM_PART_EXPERT_DOWN, l, e, &m[e].down, err);
    }
    if (st == WM_OK)
        st = p->ops->experts_new(p->be, m, n, &p->layers[l].experts, err);
    free(m);
    return st;
}

static enum wm_status load_feed_forward(struct wm_program *p, const struct wm_parts *parts, int32_t l,
                                        struct wm_error *err)
{
    const struct wm_arch *a = p->arch;
    struct wm_layer *layer = &p->layers[l];
    enum wm_part gate = a->moe[l] ? WM_PART_SHARED_GATE : WM_PART_GATE;
    enum wm_part last = a->moe[l] ? WM_PART_SHARED_DOWN : WM_PART_DOWN;
    enum wm_status st = WM_OK;
    if (!a->moe[l] || a->shared_hidden) {
        st = load_stack(p, parts, gate, 2, l, WM_USE_MATMUL, &layer->gate_up, err);
        if (st == WM_OK)
            st = load_stack(p, parts, last, 1, l, WM_USE_MATMUL, &layer->down, err);
    }
    if (st != WM_OK || !a->moe[l])
        return st;
    st = load_stack(p, parts, WM_PART_ROUTER, 1, l, WM_USE_ROUTER, &layer->router, err);
    return st == WM_OK ? load_experts(p, parts, l, err) : st;
}

static enum wm_status load_layer(struct wm_program *p, const struct wm_parts *parts, int32_t l,
                                 struct wm_error *err)
{
    struct wm_layer *layer = &p->layers[l];
    for (int32_t before = 0; before < l; before++)
        layer->pool_layer += wm_layer_group(p->arch, before) == wm_layer_group(p->arch, l);
    enum wm_status st = load_stack(p, parts, WM_PART_Q, 3, l, WM_USE_MATMUL, &layer->qkv, err);
    if (st == WM_OK)
        st = load_stack(p, parts, WM_PART_O, 1, l, WM_USE_MATMUL, &layer->o, err);
    if (st == WM_OK)
        st = load_vector(parts, WM_PART_ATTN_NORM, l, &layer->attn_norm, err);
    if (st == WM_OK)
        st = load_vector(parts, WM_PART_FFN_NORM, l, &layer->ffn_norm, err);
    return st == WM_OK ? load_feed_forward(p, parts, l, err) : st;
}

static enum wm_status load_ends(struct wm_program *p, const struct wm_parts *parts, struct wm_error *err)
{
    enum wm_status st = load_stack(p, parts, WM_PART_EMBEDDING, 1, 0, WM_USE_LOOKUP, &p->embedding, err);
    if (st == WM_OK)
        st = load_stack(p, parts, WM_PART_OUTPUT, 1, 0, WM_USE_MATMUL, &p->output, err);
    return st == WM_OK ? load_vector(parts, WM_PART_OUTPUT_NORM, 0, &p->output_norm, err) : st;
}

static enum wm_status new_activations(struct wm_program *p, struct wm_error *err)
{
    const struct wm_arch *a = p->arch;
    int32_t hidden = a->dense_hidden > a->shared_hidden ? a->dense_hidden : a->shared_hidden;
    struct {
        struct wm_act **act;
        int32_t width; /* 0: the model needs none */
    } acts[] = {
        {&p->x, a->width},
        {&p->qkv, (a->heads + 2 * a->kv_heads) * a->head_dim},
        {&p->attended, a->heads * a->head_dim},
        {&p->gate_up, 2 * hidden},
        {&p->router_logits, a->experts},
    };
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < sizeof acts / sizeof *acts && st == WM_OK; i++)
        if (acts[i].width)
            st = p->ops->act_new(p->be, p->max_rows, acts[i].width, acts[i].act, err);
    if (st == WM_OK && a->experts)
        st = p->ops->routes_new(p->be, p->max_rows, a->experts_used, &p->routes, err);
    return st;
}

enum wm_status wm_program_load(const struct wm_parts *parts, const struct wm_ops *ops, struct wm_backend *be,
                               int32_t max_rows, void (*progress)(void *arg, int percent), void *arg,
                               struct wm_program **out, struct wm_error *err)
{
    int32_t layers = parts->arch->layers;
    struct wm_program *p = calloc(1, sizeof *p);
    if (!p)
        return wm_fail(err, WM_ENOMEM, "no memory to load a model");
    *p = (struct wm_program){.arch = parts->arch, .ops = ops, .be = be, .max_rows = max_rows};
    p->layers = calloc((size_t)layers, sizeof *p->layers);
    enum wm_status st =
        p->layers ? new_activations(p, err) : wm_fail(err, WM_ENOMEM, "no memory for %d layers", layers);
    for (int32_t l = 0; l < layers && st == WM_OK; l++) {
        if (progress)
            progress(arg, 100 * l / (layers + 1));
        st = load_layer(p, parts, l, err);
    }
    if (st == WM_OK)
        st = load_ends(p, parts, err);
    if (st != WM_OK) {
        wm_program_free(p);
        return st;
    }
    if (progress)
        progress(arg, 100);
    *out = p;
    return WM_OK;
}

static void free_layer(struct wm_program *p, struct wm_layer *layer)
{
    p->ops->weight_free(p->be, layer->qkv);
    p->ops->weight_free(p->be, layer->o);
    p->ops->weight_free(p->be, layer->gate_up);
    p->ops->weight_free(p->be, layer->down);
    p->ops->weight_free(p->be, layer->router);
    if (layer->experts)
        p->ops->experts_free(p->be, layer->experts);
    free(layer->attn_norm);
    free(layer->ffn_norm);
}

void wm_program_free(struct wm_program *p)
{
    if (!p)
        return;
    for (int32_t l = 0; p->layers && l < p->arch->layers; l++)
        free_layer(p, &p->layers[l]);
    p->ops->weight_free(p->be, p->embedding);
    p->ops->weight_free(p->be, p->output);
    p->ops->act_free(p->be, p->x);
    p->ops->act_free(p->be, p->qkv);
    p->ops->act_free(p->be, p->attended);
    p->ops->act_free(p->be, p->gate_up);
    p->ops->act_free(p->be, p->router_logits);
    if (p->routes)
        p->ops->routes_free(p->be, p->routes);
    free(p->output_norm);
    free(p->layers);
    free(p);
}

/* weight_bytes of a weight that a layer may not have. */
static size_t bytes_of(const struct wm_program *p, const struct wm_weight *w)
{
    return w ? p->ops->weight_bytes(w) : 0;
}

size_t wm_program_weight_bytes(const struct wm_program *p)
{
    size_t bytes = bytes_of(p, p->embedding) + bytes_of(p, p->output);
    for (int32_t l = 0; l < p->arch->layers; l++) {
        const struct wm_layer *layer = &p->layers[l];
        bytes += bytes_of(p, layer->qkv) + bytes_of(p, layer->o) + bytes_of(p, layer->gate_up) +
                 bytes_of(p, layer->down) + bytes_of(p, layer->router) +
                 (layer->experts ? p->ops->experts_bytes(layer->experts) : 0);
    }
    return bytes;
}

/* vision_load.c -- makes a vision tower: takes its parts from the model's files and has the face pack them;
 * works out the tables that do not depend on a picture (positions, angles). */
#include <math.h>
#include <stdlib.h>

#include "engine/vision_layers.h"
#include "kernels/matrix.h"

static enum wm_status new_floats(size_t n, float **out, struct wm_error *err)
{
    *out = calloc(n, sizeof **out);
    return *out ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for %zu numbers of the vision tower", n);
}

static enum wm_status load_norm(const struct wm_parts *parts, enum wm_part part, int32_t layer,
                                struct wm_vision_norm *out, struct wm_error *err)
{
    size_t width = (size_t)parts->arch->vision.width;
    enum wm_status st = new_floats(width, &out->scale, err);
    if (st == WM_OK)
        st = new_floats(width, &out->bias, err);
    if (st == WM_OK)
        st = wm_part_vector(parts, part, layer, false, out->scale, err);
    return st == WM_OK ? wm_part_vector(parts, part, layer, true, out->bias, err) : st;
}

/* Parts [first, first + count), stacked by rows, with their biases behind each other. */
static enum wm_status load_product(struct wm_vision *v, const struct wm_parts *parts, enum wm_part first,
                                   int count, int32_t layer, bool biased, struct wm_vision_product *out,
                                   struct wm_error *err)
{
    enum { MAX_STACK = 3 };
    struct wm_matrix m[MAX_STACK];
    size_t rows = 0;
    enum wm_status st = WM_OK;
    for (int i = 0; i < count && st == WM_OK; i++) {
        st = wm_part_matrix(parts, (enum wm_part)((int)first + i), layer, 0, &m[i], err);
        if (st == WM_OK)
            rows += (size_t)m[i].rows;
    }
    if (st == WM_OK)
        st = v->ops->weight_new(v->be, m, count, WM_USE_MATMUL, &out->w, err);
    if (st != WM_OK || !biased)
        return st;
    st = new_floats(rows, &out->bias, err);
    for (int i = 0, at = 0; i < count && st == WM_OK; at += (int)m[i++].rows)
        st = wm_part_vector(parts, (enum wm_part)((int)first + i), layer, true, out->bias + at, err);
    return st;
}

static enum wm_status load_layer(struct wm_vision *v, const struct wm_parts *parts, int32_t l,
                                 struct wm_error *err)
{
    struct wm_vision_layer *layer = &v->layers[l];
    enum wm_status st = load_norm(parts, WM_PART_V_NORM_1, l, &layer->norm_1, err);
    if (st == WM_OK)
        st = load_norm(parts, WM_PART_V_NORM_2, l, &layer->norm_2, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_V_Q, 3, l, true, &layer->qkv, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_V_O, 1, l, true, &layer->o, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_V_FC1, 1, l, true, &layer->fc1, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_V_FC2, 1, l, true, &layer->fc2, err);
    return st;
}

static enum wm_status load_ends(struct wm_vision *v, const struct wm_parts *parts, struct wm_error *err)
{
    enum wm_status st = load_product(v, parts, WM_PART_PATCH, 1, 0, false, &v->patch, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_ADAPTER_1, 1, 0, false, &v->adapter_1, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_ADAPTER_2, 1, 0, false, &v->adapter_2, err);
    if (st == WM_OK)
        st = load_product(v, parts, WM_PART_PROJECTOR, 1, 0, false, &v->projector, err);
    if (st == WM_OK)
        st = load_norm(parts, WM_PART_PRE_NORM, 0, &v->pre, err);
    return st == WM_OK ? load_norm(parts, WM_PART_POST_NORM, 0, &v->post, err) : st;
}

static enum wm_status load_start(struct wm_vision *v, const struct wm_parts *parts, struct wm_error *err)
{
    size_t width = (size_t)v->arch->width;
    struct wm_matrix positions;
    float *class_token = NULL;
    enum wm_status st = new_floats((size_t)v->tokens * width, &v->start, err);
    if (st == WM_OK)
        st = new_floats(width, &class_token, err);
    if (st == WM_OK)
        st = wm_part_matrix(parts, WM_PART_POSITIONS, 0, 0, &positions, err);
    if (st == WM_OK)
        st = wm_part_vector(parts, WM_PART_CLASS, 0, false, class_token, err);
    if (st == WM_OK) {
        for (int32_t t = 0; t < v->tokens; t++)
            wm_matrix_row(&positions, t, v->start + (size_t)t * width);
        float *last = v->start + (size_t)v->patches * width;
        for (size_t i = 0; i < width; i++)
            last[i] += class_token[i];
    }
    free(class_token);
    return st;
}

/* Angles of each token: pairs [0, head_dim / 4) by its column, the rest by its row. */
static enum wm_status make_rope(struct wm_vision *v, struct wm_error *err)
{
    int32_t pairs = v->arch->width / v->arch->heads / 2, each = pairs / 2;
    size_t n = (size_t)v->tokens * (size_t)pairs;
    enum wm_status st = new_floats(n, &v->cos, err);
    if (st == WM_OK)
        st = new_floats(n, &v->sin, err);
    if (st != WM_OK)
        return st;
    for (int32_t t = 0; t < v->tokens; t++)
        for (int32_t i = 0; i < pairs; i++) {
            int32_t place = 1 + (i < each ? t % v->side : t / v->side);
            double angle = t == v->patches ? 0 : place * pow(v->arch->rope_base, -(double)(i % each) / each);
            v->cos[t * pairs + i] = (float)cos(angle);
            v->sin[t * pairs + i] = (float)sin(angle);
        }
    return WM_OK;
}

static enum wm_status new_activations(struct wm_vision *v, int32_t text_width, struct wm_error *err)
{
    const struct wm_vision_arch *a = v->arch;
    int32_t patch_values = 3 * a->patch * a->patch;
    struct {
        struct wm_act **act;
        int32_t rows, width;
    } acts[] = {
        {&v->patch_rows, v->patches, patch_values},
        {&v->x, v->tokens, a->width},
        {&v->attended, v->tokens, a->width},
        {&v->qkv, v->tokens, 3 * a->width},
        {&v->hidden, v->tokens, a->hidden},
        {&v->joined, v->tile_tokens, a->width * a->shuffle * a->shuffle},
        {&v->adapted_1, v->tile_tokens, a->adapter_hidden},
        {&v->adapted, v->tile_tokens, a->out},
        {&v->projected, v->tile_tokens, text_width},
    };
    enum wm_status st = new_floats((size_t)v->patches * (size_t)patch_values, &v->pixels, err);
    for (size_t i = 0; i < sizeof acts / sizeof *acts && st == WM_OK; i++)
        st = v->ops->act_new(v->be, acts[i].rows, acts[i].width, acts[i].act, err);
    return st;
}

enum wm_status wm_vision_load(const struct wm_parts *parts, const struct wm_ops *ops, struct wm_backend *be,
                              struct wm_vision **out, struct wm_error *err)
{
    const struct wm_vision_arch *a = &parts->arch->vision;
    struct wm_vision *v = calloc(1, sizeof *v);
    if (!v)
        return wm_fail(err, WM_ENOMEM, "no memory for a vision tower");
    *v = (struct wm_vision){
        .arch = a, .ops = ops, .be = be, .side = a->image / a->patch, .tile_tokens = wm_tile_tokens(a)};
    v->patches = v->side * v->side;
    v->tokens = v->patches + 1;
    v->layers = calloc((size_t)a->layers, sizeof *v->layers);
    enum wm_status st =
        v->layers ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for a vision tower of %d layers", a->layers);
    if (st == WM_OK)
        st = new_activations(v, parts->arch->width, err);
    if (st == WM_OK)
        st = make_rope(v, err);
    if (st == WM_OK)
        st = load_start(v, parts, err);
    if (st == WM_OK)
        st = load_ends(v, parts, err);
    for (int32_t l = 0; l < a->layers && st == WM_OK; l++)
        st = load_layer(v, parts, l, err);
    if (st != WM_OK) {
        wm_vision_free(v);
        return st;
    }
    *out = v;
    return WM_OK;
}

static void free_norm(struct wm_vision_norm *n)
{
    free(n->scale);
    free(n->bias);
}

static void free_product(struct wm_vision *v, struct wm_vision_product *p)
{
    v->ops->weight_free(v->be, p->w);
    free(p->bias);
}

void wm_vision_free(struct wm_vision *v)
{
    if (!v)
        return;
    for (int32_t l = 0; v->layers && l < v->arch->layers; l++) {
        struct wm_vision_layer *layer = &v->layers[l];
        free_norm(&layer->norm_1);
        free_norm(&layer->norm_2);
        free_product(v, &layer->qkv);
        free_product(v, &layer->o);
        free_product(v, &layer->fc1);
        free_product(v, &layer->fc2);
    }
    free_norm(&v->pre);
    free_norm(&v->post);
    free_product(v, &v->patch);
    free_product(v, &v->adapter_1);
    free_product(v, &v->adapter_2);
    free_product(v, &v->projector);
    struct wm_act *acts[] = {v->patch_rows, v->x,         v->attended, v->qkv,      v->hidden,
                             v->joined,     v->adapted_1, v->adapted,  v->projected};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        v->ops->act_free(v->be, acts[i]);
    free(v->layers);
    free(v->start);
    free(v->pixels);
    free(v->cos);
    free(v->sin);
    free(v);
}

size_t wm_vision_weight_bytes(const struct wm_vision *v)
{
    const struct wm_vision_product *ends[] = {&v->patch, &v->adapter_1, &v->adapter_2, &v->projector};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        bytes += v->ops->weight_bytes(ends[i]->w);
    for (int32_t l = 0; l < v->arch->layers; l++) {
        const struct wm_vision_layer *layer = &v->layers[l];
        bytes += v->ops->weight_bytes(layer->qkv.w) + v->ops->weight_bytes(layer->o.w) +
                 v->ops->weight_bytes(layer->fc1.w) + v->ops->weight_bytes(layer->fc2.w);
    }
    return bytes;
}

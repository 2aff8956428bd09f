/* vision.c -- the vision tower of Llama 4 as a forward program over the operations of kernels/ops.h.
 *
 * HOW     One tile at a time (source: Meta's vision/encoder.py and embedding.py):
 *
 *             x = patches Wpatch + positions, and behind them the class token
 *             x = norm(x); for each layer
 *                 x += attend(rope(norm(x) Wqkv + b)) Wo + b
 *                 x += gelu(norm(x) Wfc1 + b) Wfc2 + b
 *             u = joined squares of norm(x), without the class token
 *             rows = gelu(gelu(u Wadapter1) Wadapter2) Wprojector
 *
 *         Norms and gelu are prologues of the product behind them.
 *
 *         Positions and class token do not depend on the picture, so they are one table in host memory: it is written into x, and
 *         the patches' product is added to it.
 *
 * ALWAYS  (1) The class token is the last one and is not rotated.
 *         (2) The first half of a head's pairs turns with the column, the second with the row; both count from 1.
 *         (3) gelu is the exact one, and stands behind *both* products of the adapter.
 *
 * LIMITS  Memory for activations is that of one tile, whatever the picture: some 30 MB for the published models.
 */
#include "engine/vision.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/matrix.h"

/* A matrix of the tower and what belongs to it. */
struct product {
    struct wm_weight *w;
    float *bias; /* NULL: none */
};

struct norm {
    float *scale, *bias;
};

struct vision_layer {
    struct norm norm_1, norm_2;
    struct product qkv, o, fc1, fc2;
};

struct wm_vision {
    const struct wm_vision_arch *arch;
    const struct wm_ops *ops;
    struct wm_backend *be;
    int32_t side, patches, tokens; /* patches per side and tile; with the class token */
    int32_t tile_tokens;
    struct product patch, adapter_1, adapter_2, projector;
    struct norm pre, post;
    struct vision_layer *layers;
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

/* --- loading ----------------------------------------------------------------------------------------------------- */

static enum wm_status new_floats(size_t n, float **out, struct wm_error *err)
{
    *out = calloc(n, sizeof **out);
    return *out ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for %zu numbers of the vision tower", n);
}

static enum wm_status load_norm(const struct wm_parts *parts, enum wm_part part, int32_t layer,
                                struct norm *out, struct wm_error *err)
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
                                   int count, int32_t layer, bool biased, struct product *out,
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
    struct vision_layer *layer = &v->layers[l];
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

static void free_norm(struct norm *n)
{
    free(n->scale);
    free(n->bias);
}

static void free_product(struct wm_vision *v, struct product *p)
{
    v->ops->weight_free(v->be, p->w);
    free(p->bias);
}

void wm_vision_free(struct wm_vision *v)
{
    if (!v)
        return;
    for (int32_t l = 0; v->layers && l < v->arch->layers; l++) {
        struct vision_layer *layer = &v->layers[l];
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
    const struct product *ends[] = {&v->patch, &v->adapter_1, &v->adapter_2, &v->projector};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        bytes += v->ops->weight_bytes(ends[i]->w);
    for (int32_t l = 0; l < v->arch->layers; l++) {
        const struct vision_layer *layer = &v->layers[l];
        bytes += v->ops->weight_bytes(layer->qkv.w) + v->ops->weight_bytes(layer->o.w) +
                 v->ops->weight_bytes(layer->fc1.w) + v->ops->weight_bytes(layer->fc2.w);
    }
    return bytes;
}

/* --- one tile ---------------------------------------------------------------------------------------------------- */

/* y (+)= x W + b. */
static enum wm_status multiply(struct wm_vision *v, const struct wm_act *x, int32_t rows,
                               enum wm_prologue prologue, const struct product *p, struct wm_act *y, bool add,
                               struct wm_error *err)
{
    return v->ops->matmul(
        v->be,
        &(struct wm_matmul){
            .x = x, .rows = rows, .prologue = prologue, .w = p->w, .bias = p->bias, .y = y, .add = add},
        err);
}

/* y = norm(x) W + b. */
static enum wm_status normed(struct wm_vision *v, const struct norm *n, const struct product *p,
                             struct wm_act *y, bool precise, struct wm_error *err)
{
    return v->ops->matmul(v->be,
                          &(struct wm_matmul){.x = v->x,
                                              .rows = v->tokens,
                                              .prologue = WM_PROLOGUE_LAYER_NORM,
                                              .norm = n->scale,
                                              .norm_bias = n->bias,
                                              .eps = (float)v->arch->eps,
                                              .w = p->w,
                                              .bias = p->bias,
                                              .y = y,
                                              .precise = precise},
                          err);
}

static enum wm_status run_layer(struct wm_vision *v, const struct vision_layer *layer, struct wm_error *err)
{
    int32_t heads = v->arch->heads, head_dim = v->arch->width / heads;
    enum wm_status st = normed(v, &layer->norm_1, &layer->qkv, v->qkv, true, err);
    if (st == WM_OK)
        st = v->ops->tile_attention(v->be,
                                    &(struct wm_tile_attention){.qkv = v->qkv,
                                                                .out = v->attended,
                                                                .tiles = 1,
                                                                .tokens = v->tokens,
                                                                .heads = heads,
                                                                .head_dim = head_dim,
                                                                .scale = (float)(1 / sqrt(head_dim)),
                                                                .cos = v->cos,
                                                                .sin = v->sin},
                                    err);
    if (st == WM_OK)
        st = multiply(v, v->attended, v->tokens, WM_PROLOGUE_NONE, &layer->o, v->x, true, err);
    if (st == WM_OK)
        st = normed(v, &layer->norm_2, &layer->fc1, v->hidden, false, err);
    if (st == WM_OK)
        st = multiply(v, v->hidden, v->tokens, WM_PROLOGUE_GELU, &layer->fc2, v->x, true, err);
    return st;
}

static enum wm_status layer_norm(struct wm_vision *v, const struct norm *n, struct wm_error *err)
{
    return v->ops->layer_norm(v->be, v->x, v->tokens, n->scale, n->bias, (float)v->arch->eps, err);
}

/* Patches, positions and the class token into x. */
static enum wm_status begin(struct wm_vision *v, const struct wm_tiles *tiles, int32_t tile,
                            struct wm_error *err)
{
    wm_tile_patches(v->arch, tiles, tile, v->pixels);
    enum wm_status st = v->ops->act_write(v->be, v->patch_rows, 0, v->patches, v->pixels, err);
    if (st == WM_OK)
        st = v->ops->act_write(v->be, v->x, 0, v->tokens, v->start, err);
    if (st == WM_OK)
        st = multiply(v, v->patch_rows, v->patches, WM_PROLOGUE_NONE, &v->patch, v->x, true, err);
    return st == WM_OK ? layer_norm(v, &v->pre, err) : st;
}

/* From the last layer to rows of the text model's width. */
static enum wm_status end(struct wm_vision *v, struct wm_error *err)
{
    enum wm_status st = layer_norm(v, &v->post, err);
    if (st == WM_OK)
        st = v->ops->pixel_shuffle(v->be,
                                   &(struct wm_pixel_shuffle){.in = v->x,
                                                              .out = v->joined,
                                                              .tiles = 1,
                                                              .tokens = v->tokens,
                                                              .side = v->side,
                                                              .factor = v->arch->shuffle,
                                                              .width = v->arch->width},
                                   err);
    if (st == WM_OK)
        st =
            multiply(v, v->joined, v->tile_tokens, WM_PROLOGUE_NONE, &v->adapter_1, v->adapted_1, false, err);
    if (st == WM_OK)
        st = multiply(v, v->adapted_1, v->tile_tokens, WM_PROLOGUE_GELU, &v->adapter_2, v->adapted, false,
                      err);
    if (st == WM_OK)
        st = multiply(v, v->adapted, v->tile_tokens, WM_PROLOGUE_GELU, &v->projector, v->projected, false,
                      err);
    return st;
}

enum wm_status wm_vision_encode(struct wm_vision *v, const struct wm_tiles *tiles, int32_t tile,
                                struct wm_act *out, int32_t row, struct wm_error *err)
{
    enum wm_status st = begin(v, tiles, tile, err);
    for (int32_t l = 0; l < v->arch->layers && st == WM_OK; l++)
        st = run_layer(v, &v->layers[l], err);
    if (st == WM_OK)
        st = end(v, err);
    return st == WM_OK ? v->ops->copy_rows(v->be, v->projected, 0, out, row, v->tile_tokens, err) : st;
}

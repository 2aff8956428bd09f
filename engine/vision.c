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
 *         Positions and class token do not depend on the picture, so they are one table in host memory: it is
 *         written into x, and the patches' product is added to it.
 *
 * ALWAYS  (1) The class token is the last one and is not rotated.
 *         (2) The first half of a head's pairs turns with the column, the second with the row; both count
 *             from 1.
 *         (3) gelu is the exact one, and stands behind *both* products of the adapter.
 *
 * LIMITS  Memory for activations is that of one tile, whatever the picture: some 30 MB for the published
 *         models.
 */
#include "engine/vision_layers.h"

#include <math.h>

/* y (+)= x W + b. */
static enum wm_status multiply(struct wm_vision *v, const struct wm_act *x, int32_t rows,
                               enum wm_prologue prologue, const struct wm_vision_product *p, struct wm_act *y,
                               bool add, struct wm_error *err)
{
    return v->ops->matmul(
        v->be,
        &(struct wm_matmul){
            .x = x, .rows = rows, .prologue = prologue, .w = p->w, .bias = p->bias, .y = y, .add = add},
        err);
}

/* y = norm(x) W + b. */
static enum wm_status normed(struct wm_vision *v, const struct wm_vision_norm *n,
                             const struct wm_vision_product *p, struct wm_act *y, bool precise,
                             struct wm_error *err)
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

static enum wm_status run_layer(struct wm_vision *v, const struct wm_vision_layer *layer,
                                struct wm_error *err)
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

static enum wm_status layer_norm(struct wm_vision *v, const struct wm_vision_norm *n, struct wm_error *err)
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

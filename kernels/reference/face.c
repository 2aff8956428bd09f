/* face.c -- the reference face: double precision, one thread, plain loops.
 *
 * WHY     The other faces need a twin that is right for reasons one can see. It is not meant to be fast, yet a 135M
 *         model scores a page of text with it in well under a minute, so that it can be used in every test run.
 *
 * HOW     Activations and the KV cache are doubles. Weights stay in the file's mapping; a row of a matrix is
 *         dequantised once per call and used for all rows of the batch. Sums run in index order: a row's result
 *         cannot depend on its neighbours.
 */
#include "kernels/reference/face.h"

#include <assert.h>
#include <stdlib.h>

#include "kernels/routes.h"

double *reference_scratch(struct wm_backend *be, size_t count)
{
    if (count > be->scratch_count) {
        double *grown = realloc(be->scratch, count * sizeof *grown);
        if (!grown)
            return NULL;
        be->scratch = grown;
        be->scratch_count = count;
    }
    return be->scratch;
}

static enum wm_status open_backend(const struct wm_backend_options *options, struct wm_backend **out,
                                   struct wm_error *err)
{
    (void)options;
    struct wm_backend *be = calloc(1, sizeof *be);
    if (!be)
        return wm_fail(err, WM_ENOMEM, "no memory for the reference backend");
    *out = be;
    return WM_OK;
}

static void close_backend(struct wm_backend *be)
{
    if (!be)
        return;
    free(be->scratch);
    free(be);
}

static const char *describe(const struct wm_backend *be)
{
    (void)be;
    return "reference: double precision, 1 thread";
}

static enum wm_status act_new(struct wm_backend *be, int32_t rows, int32_t width, struct wm_act **out,
                              struct wm_error *err)
{
    (void)be;
    assert(rows >= 0 && width > 0);
    struct wm_act *act = calloc(1, sizeof *act);
    double *data = calloc((size_t)rows * (size_t)width + 1, sizeof *data);
    if (!act || !data) {
        free(act);
        free(data);
        return wm_fail(err, WM_ENOMEM, "no memory for %d x %d activations", rows, width);
    }
    *act = (struct wm_act){rows, width, data};
    *out = act;
    return WM_OK;
}

static void act_free(struct wm_backend *be, struct wm_act *act)
{
    (void)be;
    if (!act)
        return;
    free(act->data);
    free(act);
}

static enum wm_status act_read(struct wm_backend *be, const struct wm_act *act, int32_t row, int32_t rows,
                               float *out, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(row >= 0 && rows >= 0 && row + rows <= act->rows);
    const double *from = act->data + (size_t)row * (size_t)act->width;
    for (size_t i = 0; i < (size_t)rows * (size_t)act->width; i++)
        out[i] = (float)from[i];
    return WM_OK;
}

static enum wm_status act_write(struct wm_backend *be, struct wm_act *act, int32_t row, int32_t rows,
                                const float *in, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(row >= 0 && rows >= 0 && row + rows <= act->rows);
    double *to = act->data + (size_t)row * (size_t)act->width;
    for (size_t i = 0; i < (size_t)rows * (size_t)act->width; i++)
        to[i] = in[i];
    return WM_OK;
}

const struct wm_ops wm_ops_reference = {
    .name = "reference",
    .open = open_backend,
    .close = close_backend,
    .describe = describe,
    .act_new = act_new,
    .act_free = act_free,
    .act_read = act_read,
    .act_write = act_write,
    .weight_new = reference_weight_new,
    .weight_free = reference_weight_free,
    .weight_bytes = reference_weight_bytes,
    .experts_new = reference_experts_new,
    .experts_free = reference_experts_free,
    .experts_bytes = reference_experts_bytes,
    .routes_new = wm_routes_new,
    .routes_free = wm_routes_free,
    .routes_read = wm_routes_read,
    .routes_write = wm_routes_write,
    .kv_block_bytes = reference_kv_block_bytes,
    .kv_new = reference_kv_new,
    .kv_free = reference_kv_free,
    .kv_discard = reference_kv_discard,
    .embed = reference_embed,
    .copy_rows = reference_copy_rows,
    .matmul = reference_matmul,
    .route = reference_route,
    .expert_run = reference_expert_run,
    .layer_norm = reference_layer_norm,
    .tile_attention = reference_tile_attention,
    .pixel_shuffle = reference_pixel_shuffle,
    .qkv_post = reference_qkv_post,
    .attention = reference_attention,
    .sample = reference_sample,
};

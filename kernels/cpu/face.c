/* face.c -- the cpu face: opens a backend for the machine that it finds, and holds activations.
 *
 * The fast code of every path is in the program; which one runs is decided here, from what the processor says of
 * itself. WM_CPU_PATH=portable, avx2 or avx512 in the environment forces one: for tests, and for finding out
 * whether a path is at fault.
 */
#include "kernels/cpu/face.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/routes.h"

void *cpu_scratch(struct scratch *s, size_t bytes)
{
    if (bytes > s->bytes) {
        size_t rounded = (bytes + bytes / 4 + 63) / 64 * 64;
        void *memory = aligned_alloc(64, rounded);
        if (!memory)
            return NULL;
        free(s->memory);
        s->memory = memory;
        s->bytes = rounded;
    }
    return s->memory;
}

#ifdef WM_X86_PATHS
static bool has_avx2(void)
{
    /* every processor with AVX2 has F16C, which not all compilers can ask for */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

static bool has_portable(void)
{
    return true;
}

/* Best first. */
static const struct {
    const struct wm_cpu_path *path;
    bool (*runs_here)(void);
} paths[] = {
#ifdef WM_X86_PATHS
    {&wm_path_avx512, has_avx512},
    {&wm_path_avx2, has_avx2},
#endif
    {&wm_path_portable, has_portable},
};

enum wm_status cpu_path(const struct wm_cpu_path **out, struct wm_error *err)
{
    const char *wanted = getenv("WM_CPU_PATH");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (wanted && *wanted && strcmp(wanted, paths[i].path->name) != 0)
            continue;
        if (paths[i].runs_here()) {
            *out = paths[i].path;
            return WM_OK;
        }
    }
    return wm_fail(
        err, WM_EUNSUPPORTED,
        "WM_CPU_PATH is '%.20s': this machine has no such path; use portable, avx2 or avx512, or unset it",
        wanted);
}

static void close_backend(struct wm_backend *be)
{
    if (!be)
        return;
    wm_workers_free(be->workers);
    free(be->groups.memory);
    free(be->floats.memory);
    free(be->routing.memory);
    free(be->hidden.memory);
    free(be->sums.memory);
    free(be->angles.memory);
    free(be->items.memory);
    free(be->parts.memory);
    free(be->tiles.memory);
    free(be->pictures.memory);
    free(be->candidates.memory);
    free(be);
}

static enum wm_status open_backend(const struct wm_backend_options *options, struct wm_backend **out,
                                   struct wm_error *err)
{
    struct wm_backend *be = calloc(1, sizeof *be);
    if (!be)
        return wm_fail(err, WM_ENOMEM, "no memory for the cpu backend");
    enum wm_status st = cpu_path(&be->path, err);
    if (st != WM_OK)
        goto fail;
    st = wm_workers_new(options->threads, &be->workers, err);
    if (st != WM_OK)
        goto fail;
    snprintf(be->text, sizeof be->text, "cpu: %s, %d thread%s", be->path->text,
             wm_workers_threads(be->workers), wm_workers_threads(be->workers) == 1 ? "" : "s");
    *out = be;
    return WM_OK;

fail:
    close_backend(be);
    return st;
}

static const char *describe(const struct wm_backend *be)
{
    return be->text;
}

static enum wm_status act_new(struct wm_backend *be, int32_t rows, int32_t width, struct wm_act **out,
                              struct wm_error *err)
{
    (void)be;
    assert(rows >= 0 && width > 0);
    size_t stride = ((size_t)width + 15) / 16 * 16, bytes = ((size_t)rows * stride + 16) * sizeof(float);
    struct wm_act *act = calloc(1, sizeof *act);
    float *data = aligned_alloc(64, bytes);
    if (!act || !data) {
        free(act);
        free(data);
        return wm_fail(err, WM_ENOMEM, "no memory for %d x %d activations", rows, width);
    }
    *act = (struct wm_act){rows, width, stride, data};
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
    for (int32_t r = 0; r < rows; r++)
        memcpy(out + (size_t)r * (size_t)act->width, act_row(act, row + r), (size_t)act->width * sizeof *out);
    return WM_OK;
}

static enum wm_status act_write(struct wm_backend *be, struct wm_act *act, int32_t row, int32_t rows,
                                const float *in, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(row >= 0 && rows >= 0 && row + rows <= act->rows);
    for (int32_t r = 0; r < rows; r++)
        memcpy(act_row(act, row + r), in + (size_t)r * (size_t)act->width, (size_t)act->width * sizeof *in);
    return WM_OK;
}

const struct wm_ops wm_ops_cpu = {
    .name = "cpu",
    .open = open_backend,
    .close = close_backend,
    .describe = describe,
    .act_new = act_new,
    .act_free = act_free,
    .act_read = act_read,
    .act_write = act_write,
    .weight_new = cpu_weight_new,
    .weight_free = cpu_weight_free,
    .weight_bytes = cpu_weight_bytes,
    .experts_new = cpu_experts_new,
    .experts_free = cpu_experts_free,
    .experts_bytes = cpu_experts_bytes,
    .routes_new = wm_routes_new,
    .routes_free = wm_routes_free,
    .routes_read = wm_routes_read,
    .routes_write = wm_routes_write,
    .kv_block_bytes = cpu_kv_block_bytes,
    .kv_new = cpu_kv_new,
    .kv_free = cpu_kv_free,
    .kv_discard = cpu_kv_discard,
    .embed = cpu_embed,
    .copy_rows = cpu_copy_rows,
    .matmul = cpu_matmul,
    .route = cpu_route,
    .expert_run = cpu_expert_run,
    .layer_norm = cpu_layer_norm,
    .tile_attention = cpu_tile_attention,
    .pixel_shuffle = cpu_pixel_shuffle,
    .qkv_post = cpu_qkv_post,
    .attention = cpu_attention,
    .sample = cpu_sample,
};

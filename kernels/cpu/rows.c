/* rows.c -- operations on whole rows: copies, the layer norm in place, pixel shuffle. */
#include <assert.h>
#include <string.h>

#include "kernels/cpu/face.h"

enum { ROWS_ALONE = 4, ROWS_PER_CHUNK = 8 };

enum wm_status cpu_copy_rows(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                             struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(from != to && from->width == to->width && from_row >= 0 && to_row >= 0);
    assert(from_row + rows <= from->rows && to_row + rows <= to->rows);
    for (int32_t r = 0; r < rows; r++)
        memcpy(act_row(to, to_row + r), act_row(from, from_row + r), (size_t)to->width * sizeof *to->data);
    return WM_OK;
}

struct norm_job {
    const struct wm_cpu_path *path;
    struct wm_act *x;
    int32_t rows;
    const float *norm, *norm_bias;
    float eps;
};

static void norm_rows(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct norm_job *job = arg;
    int32_t row = chunk * ROWS_PER_CHUNK;
    int32_t end = row + ROWS_PER_CHUNK < job->rows ? row + ROWS_PER_CHUNK : job->rows;
    for (; row < end; row++)
        job->path->layer_norm(act_row(job->x, row), (size_t)job->x->width, job->norm, job->norm_bias,
                              job->eps);
}

enum wm_status cpu_layer_norm(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                              const float *norm_bias, float eps, struct wm_error *err)
{
    (void)err;
    assert(rows >= 0 && rows <= x->rows);
    struct norm_job job = {be->path, x, rows, norm, norm_bias, eps};
    if (rows <= ROWS_ALONE)
        norm_rows(&job, 0, 0);
    else
        wm_workers_run(be->workers, norm_rows, &job, (rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK);
    return WM_OK;
}

enum wm_status cpu_pixel_shuffle(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                 struct wm_error *err)
{
    (void)be;
    (void)err;
    int32_t factor = op->factor, side = op->side / factor;
    assert(op->side % factor == 0 && op->side * op->side <= op->tokens);
    assert(op->in->width >= op->width && op->out->width >= op->width * factor * factor);
    assert((int64_t)op->tiles * op->tokens <= op->in->rows &&
           (int64_t)op->tiles * side * side <= op->out->rows);
    size_t width = (size_t)op->width;
    for (int32_t r = 0; r < op->tiles * side * side; r++) {
        int32_t tile = r / (side * side), y = r / side % side * factor, x = r % side * factor;
        float *out = act_row(op->out, r);
        for (int32_t i = 0; i < factor; i++)
            for (int32_t j = 0; j < factor; j++, out += width)
                memcpy(out, act_row(op->in, tile * op->tokens + (y + i) * op->side + x + j),
                       width * sizeof *out);
    }
    return WM_OK;
}

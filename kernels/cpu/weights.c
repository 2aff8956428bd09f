/* weights.c -- a weight of several parts: packed for products, or left in the file for lookups. */
#include <assert.h>
#include <stdlib.h>

#include "kernels/cpu/face.h"
#include "kernels/matrix.h"
#include "kernels/pages.h"

void cpu_weight_free(struct wm_backend *be, struct wm_weight *w)
{
    (void)be;
    if (!w)
        return;
    for (int i = 0; w->panels && i < w->n_parts; i++)
        wm_pages_free(w->panels[i].data, w->panels[i].bytes);
    free(w->panels);
    free(w->parts);
    free(w);
}

enum wm_status cpu_weight_new(struct wm_backend *be, const struct wm_matrix *parts, int n_parts,
                              enum wm_use use, struct wm_weight **out, struct wm_error *err)
{
    assert(n_parts >= 1);
    enum wm_status st = WM_OK;
    struct wm_weight *w = calloc(1, sizeof *w);
    if (!w)
        return wm_fail(err, WM_ENOMEM, "no memory for a weight");
    w->cols = parts[0].cols;
    w->n_parts = n_parts;
    w->parts = calloc((size_t)n_parts, sizeof *w->parts);
    w->panels = calloc((size_t)n_parts, sizeof *w->panels);
    if (!w->parts || !w->panels) {
        st = wm_fail(err, WM_ENOMEM, "no memory for a weight of %d parts", n_parts);
        goto fail;
    }
    for (int i = 0; i < n_parts; i++) {
        assert(parts[i].cols == w->cols && wm_type_info(parts[i].type));
        w->parts[i] = parts[i];
        w->panels[i].first_out = w->rows;
        w->rows += parts[i].rows;
        if (use == WM_USE_LOOKUP)
            continue;
        st = cpu_pack(be, &parts[i], use, &w->panels[i], err);
        if (st != WM_OK)
            goto fail;
        bool is_float = wm_format_is_float(w->panels[i].format);
        w->any_floats |= is_float;
        w->any_codes |= !is_float;
    }
    *out = w;
    return WM_OK;

fail:
    cpu_weight_free(be, w);
    return st;
}

size_t cpu_weight_bytes(const struct wm_weight *w)
{
    size_t bytes = sizeof *w + (size_t)w->n_parts * (sizeof *w->parts + sizeof *w->panels);
    for (int i = 0; i < w->n_parts; i++)
        bytes += w->panels[i].bytes;
    return bytes;
}

enum wm_status cpu_embed(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                         int32_t rows, struct wm_act *x, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(x->width == table->cols && rows <= x->rows);
    for (int32_t r = 0; r < rows; r++) {
        assert(ids[r] >= 0 && ids[r] < table->rows);
        int64_t row = ids[r];
        const struct wm_matrix *part = table->parts;
        for (; row >= part->rows; part++)
            row -= part->rows;
        wm_matrix_row(part, row, act_row(x, r));
    }
    return WM_OK;
}

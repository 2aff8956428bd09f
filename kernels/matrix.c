/* matrix.c -- reads a matrix as a file holds it. */
#include "kernels/matrix.h"

#include <assert.h>

#include "kernels/pages.h"

/* Bytes of `elements` elements of a line: a multiple of the block, or the place of one. */
static size_t line_bytes(const struct wm_type_info *type, int64_t elements)
{
    assert(elements % type->block == 0);
    return (size_t)(elements / type->block) * type->bytes;
}

static int64_t line_length(const struct wm_matrix *m)
{
    return m->transposed ? m->rows : m->cols;
}

const uint8_t *wm_matrix_line(const struct wm_matrix *m, int64_t i)
{
    int64_t step = m->stride ? m->stride : line_length(m);
    return (const uint8_t *)m->data + (size_t)i * line_bytes(wm_type_info(m->type), step);
}

float wm_matrix_scale(const struct wm_matrix *m, int64_t row, int64_t col)
{
    const struct wm_scales *s = &m->scales;
    if (!s->data)
        return 1;
    int64_t at = row / s->row_group * s->row_step + col / s->col_group * s->col_step;
    float scale;
    wm_dequantize(s->type, (const uint8_t *)s->data + (size_t)at * wm_type_info(s->type)->bytes, 1, &scale);
    return scale;
}

static void apply_scales(const struct wm_matrix *m, int64_t row, float *out)
{
    int64_t group = m->scales.col_step ? m->scales.col_group : m->cols;
    for (int64_t i = 0; i < m->cols; i += group) {
        float scale = wm_matrix_scale(m, row, i);
        for (int64_t end = i + group < m->cols ? i + group : m->cols, j = i; j < end; j++)
            out[j] *= scale;
    }
}

void wm_matrix_row(const struct wm_matrix *m, int64_t row, float *out)
{
    assert(row >= 0 && row < m->rows);
    const struct wm_type_info *type = wm_type_info(m->type);
    if (m->transposed) {
        assert(type->block == 1);
        for (int64_t i = 0; i < m->cols; i++)
            wm_dequantize(m->type, wm_matrix_line(m, i) + line_bytes(type, row), 1, &out[i]);
    } else {
        wm_dequantize(m->type, wm_matrix_line(m, row), (size_t)m->cols, out);
    }
    if (m->scales.data)
        apply_scales(m, row, out);
}

void wm_matrix_drop(const struct wm_matrix *m)
{
    if (!m->mapped)
        return;
    int64_t lines = m->transposed ? m->cols : m->rows;
    const uint8_t *end = wm_matrix_line(m, lines - 1) + line_bytes(wm_type_info(m->type), line_length(m));
    wm_pages_drop(m->data, (size_t)(end - (const uint8_t *)m->data));
}

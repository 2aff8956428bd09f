/* pack.c -- puts matrices into panels.
 *
 * WHY     A file stores a weight row by row. A product wants the same four inputs of sixteen outputs side by side, so
 *         that one load meets one broadcast of the activations and nothing is ever summed across lanes.
 *
 * HOW     Three ways, by format (path.h has them):
 *           codes   blocks are taken apart and put together again: pack_codes.c
 *           floats  are copied as they are; transposed ones lie in a panel's order already
 *           any     what has no format of its own (a router of blocks, odd scales) becomes floats, value by value
 *
 * ALWAYS  Codes and scales are the file's own: packing loses nothing.
 *
 * LIMITS  The packed copy is the only one that stays in memory: pages of a mapped file are given back. A new type is a
 *         case in choose, what pack_codes.c asks for, and, rarely, a format.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/face.h"
#include "kernels/matrix.h"
#include "kernels/pages.h"

enum {
    PANELS_PER_CHUNK =
        8 /* neighbours in the lines of a transposed matrix, which so are read in long pieces */
};

/* --- which format --------------------------------------------------------------------------------------- */

static bool scaled_by_segment(const struct wm_matrix *m)
{
    return m->scales.data && m->scales.col_step;
}

/* The format of a matrix and the length of its segments. */
static enum wm_cpu_format choose(const struct wm_matrix *m, enum wm_use use, size_t *segment)
{
    *segment = (size_t)m->cols;
    if (scaled_by_segment(m))
        *segment = (size_t)m->scales.col_group;
    if (m->type == WM_TYPE_F8_E4M3)
        return WM_FORMAT_F8;
    if (m->type == WM_TYPE_I4 && use != WM_USE_ROUTER && !m->transposed &&
        (!scaled_by_segment(m) || *segment % WM_GROUP == 0))
        return WM_FORMAT_S4;
    *segment = (size_t)m->cols;
    if (m->scales.data)
        return WM_FORMAT_F32;
    if (m->type == WM_TYPE_F16)
        return WM_FORMAT_F16;
    if (m->type == WM_TYPE_BF16)
        return WM_FORMAT_BF16;
    if (use == WM_USE_ROUTER)
        return WM_FORMAT_F32;
    if (wm_type_info(m->type)->block == 256)
        *segment = 256;
    switch (m->type) {
    case WM_TYPE_Q4_0:
        return WM_FORMAT_U4;
    case WM_TYPE_Q4_1:
        return WM_FORMAT_U4_MIN;
    case WM_TYPE_Q5_0:
        return WM_FORMAT_U5;
    case WM_TYPE_Q5_1:
        return WM_FORMAT_U5_MIN;
    case WM_TYPE_Q8_0:
        return WM_FORMAT_U8;
    case WM_TYPE_Q2_K:
    case WM_TYPE_Q3_K:
        return WM_FORMAT_K4_16;
    case WM_TYPE_Q4_K:
        return WM_FORMAT_K4;
    case WM_TYPE_Q5_K:
        return WM_FORMAT_K5;
    case WM_TYPE_Q6_K:
        return WM_FORMAT_K6_16;
    case WM_TYPE_IQ4_NL:
        return WM_FORMAT_T4;
    case WM_TYPE_IQ4_XS:
        return WM_FORMAT_KT4;
    default:
        return WM_FORMAT_F32;
    }
}

/* --- floats --------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void spread_of(uint8_t *out, const uint8_t *in, size_t n,
                                                            size_t size)
{
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * WM_PANEL * size, in + i * size, size);
}

/* `n` elements, each to its place among sixteen: with a size that the compiler knows, or each would be a call. */
static void spread(uint8_t *out, const uint8_t *in, size_t n, size_t size)
{
    if (size == 1)
        spread_of(out, in, n, 1);
    else if (size == 2)
        spread_of(out, in, n, 2);
    else
        spread_of(out, in, n, 4);
}

/* The rows of a panel, element by element into their place of each input's sixteen; a stretch of all rows
 * before the next stretch, so that what is written stays near. */
static void pack_rows(const struct wm_matrix *m, const struct panels *to, int64_t panel, size_t size)
{
    enum { STRETCH = 64 /* inputs */ };
    int64_t row = panel * WM_PANEL, rows = m->rows - row < WM_PANEL ? m->rows - row : WM_PANEL;
    size_t cols = (size_t)m->cols;
    for (size_t from = 0; from < cols; from += to->segment) {
        uint8_t *out = to->data + (size_t)panel * to->panel_bytes +
                       wm_segment_at(to->format, to->segment, from) + wm_format_head(to->format);
        size_t n = cols - from < to->segment ? cols - from : to->segment;
        for (size_t first = 0; first < n; first += STRETCH)
            for (int64_t o = 0; o < rows; o++) {
                const uint8_t *line = wm_matrix_line(m, row + o) + (from + first) * size;
                spread(out + (first * WM_PANEL + (size_t)o) * size, line,
                       n - first < STRETCH ? n - first : STRETCH, size);
            }
    }
}

/* Line `i` of a transposed matrix, sixteen rows at a time. */
static void pack_line(const struct wm_matrix *m, const struct panels *to, int64_t first_row, int64_t end_row,
                      size_t i, size_t size)
{
    const uint8_t *line = wm_matrix_line(m, (int64_t)i);
    size_t from = i / to->segment * to->segment;
    size_t at = wm_segment_at(to->format, to->segment, from) + wm_format_head(to->format) +
                (i - from) * WM_PANEL * size;
    for (int64_t r = first_row; r < end_row; r += WM_PANEL) {
        size_t n = end_row - r < WM_PANEL ? (size_t)(end_row - r) : WM_PANEL;
        memcpy(to->data + (size_t)(r / WM_PANEL) * to->panel_bytes + at, line + (size_t)r * size, n * size);
    }
}

/* Panels [first, end) of a matrix of floats, in the order of the file. */
static void pack_floats(const struct wm_matrix *m, const struct panels *to, int64_t first, int64_t end)
{
    size_t size = wm_type_info(m->type)->bytes;
    int64_t first_row = first * WM_PANEL, end_row = end * WM_PANEL < m->rows ? end * WM_PANEL : m->rows;
    if (m->transposed)
        for (size_t i = 0; i < (size_t)m->cols; i++)
            pack_line(m, to, first_row, end_row, i, size);
    else
        for (int64_t panel = first; panel < end; panel++)
            pack_rows(m, to, panel, size);
}

/* The heads of F8, which hold 256 times the scale. A code of the panel that is NaN makes its scale NaN: so it
 * need not be looked for in the products. */
static void put_f8_heads(const struct wm_matrix *m, const struct panels *to, int64_t first, int64_t end)
{
    for (int64_t r = first * WM_PANEL; r < end * WM_PANEL && r < m->rows; r++) {
        uint8_t *panel = to->data + (size_t)(r / WM_PANEL) * to->panel_bytes;
        for (size_t from = 0; from < (size_t)m->cols; from += to->segment) {
            uint8_t *out = panel + wm_segment_at(to->format, to->segment, from);
            size_t left = (size_t)m->cols - from, n = left < to->segment ? left : to->segment;
            bool nan = false;
            for (size_t i = 0; i < n; i++)
                nan |= (out[64 + i * WM_PANEL + (size_t)(r % WM_PANEL)] & 0x7f) == 0x7f;
            float factor = nan ? NAN : 256 * wm_matrix_scale(m, r, (int64_t)from);
            memcpy(out + (size_t)(r % WM_PANEL) * sizeof factor, &factor, sizeof factor);
        }
    }
}

/* Any matrix, value by value; `values` holds a row. */
static void pack_values(const struct wm_matrix *m, const struct panels *to, int64_t first, int64_t end,
                        float *values)
{
    for (int64_t r = first * WM_PANEL; r < end * WM_PANEL && r < m->rows; r++) {
        uint8_t *panel = to->data + (size_t)(r / WM_PANEL) * to->panel_bytes;
        wm_matrix_row(m, r, values);
        for (size_t i = 0; i < (size_t)m->cols; i++)
            memcpy(panel + (i * WM_PANEL + (size_t)(r % WM_PANEL)) * sizeof *values, &values[i],
                   sizeof *values);
    }
}

/* --- all of it ------------------------------------------------------------------------------------------ */

struct packing {
    const struct wm_matrix *m;
    const struct panels *to;
    float *values; /* a row for each worker */
};

/* Outputs that do not exist keep the zeros of fresh pages. */
static void pack_panels(void *arg, int chunk, int worker)
{
    const struct packing *p = arg;
    const struct wm_matrix *m = p->m;
    const struct panels *to = p->to;
    int64_t first = (int64_t)chunk * PANELS_PER_CHUNK, panels = (m->rows + WM_PANEL - 1) / WM_PANEL;
    int64_t end = first + PANELS_PER_CHUNK < panels ? first + PANELS_PER_CHUNK : panels;
    if (!wm_format_is_float(to->format)) {
        for (int64_t r = first * WM_PANEL; r < end * WM_PANEL && r < m->rows; r++)
            cpu_pack_codes(m, to, r);
    } else if (to->format == WM_FORMAT_F32 && (m->type != WM_TYPE_F32 || m->scales.data)) {
        pack_values(m, to, first, end, p->values + (size_t)worker * (size_t)m->cols);
    } else {
        pack_floats(m, to, first, end);
        if (to->format == WM_FORMAT_F8)
            put_f8_heads(m, to, first, end);
    }
}

enum wm_status cpu_pack(struct wm_backend *be, const struct wm_matrix *m, enum wm_use use, struct panels *out,
                        struct wm_error *err)
{
    int64_t count = (m->rows + WM_PANEL - 1) / WM_PANEL;
    if (count / PANELS_PER_CHUNK >= WM_WORKERS_CHUNKS)
        return wm_fail(err, WM_ELIMIT, "a matrix of %lld rows: the cpu face packs at most %lld",
                       (long long)m->rows, (long long)WM_WORKERS_CHUNKS * PANELS_PER_CHUNK * WM_PANEL);
    out->format = choose(m, use, &out->segment);
    out->rows = m->rows;
    out->panel_bytes = wm_segment_at(out->format, out->segment, (size_t)m->cols);
    out->bytes = (size_t)count * out->panel_bytes;
    void *memory;
    enum wm_status st = wm_pages_new(out->bytes, &memory, err);
    if (st != WM_OK)
        return st;
    out->data = memory;
    float *values = malloc((size_t)wm_workers_threads(be->workers) * (size_t)m->cols * sizeof *values);
    if (!values)
        return wm_fail(err, WM_ENOMEM, "no memory to pack a matrix of %lld columns", (long long)m->cols);
    struct packing packing = {m, out, values};
    wm_workers_run(be->workers, pack_panels, &packing,
                   (int)((count + PANELS_PER_CHUNK - 1) / PANELS_PER_CHUNK));
    free(values);
    wm_matrix_drop(m);
    return WM_OK;
}

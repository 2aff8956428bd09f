/* weights.c -- packs matrices into panels at load, and looks up rows of those that stay in the file.
 *
 * WHY     A file stores a weight row by row. A product wants the same four inputs of sixteen outputs side by side, so
 *         that one load meets one broadcast of the activations and nothing is ever summed across lanes.
 *
 * HOW     Each block type is taken apart into a group of 32 codes and their scales (the functions group_*), and one
 *         function per format puts sixteen groups together (path.h has the formats). Codes and scales are the
 *         file's own: packing loses nothing. 4-bit codes stay at 4 bits.
 *
 * LIMITS  The packed copy is the only one that stays in memory: pages of a mapped file are given back part by part.
 *         A new type is a line in format_of, a group_ function, and, rarely, a format.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/face.h"
#include "kernels/half.h"
#include "kernels/matrix.h"
#include "kernels/pages.h"

/* 32 inputs of one output. */
struct group {
    uint8_t codes[WM_GROUP];
    uint16_t scale, min; /* f16 */
    float scales[2];     /* of WM_FORMAT_U8_16 */
};

static enum wm_cpu_format format_of(const struct wm_matrix *m, enum wm_use use)
{
    if (use == WM_USE_ROUTER || m->transposed || m->stride || m->scales.data)
        return WM_FORMAT_F32;
    switch (m->type) {
    case WM_TYPE_F32:
        return WM_FORMAT_F32;
    case WM_TYPE_F16:
        return WM_FORMAT_F16;
    case WM_TYPE_BF16:
        return WM_FORMAT_BF16;
    case WM_TYPE_Q4_0:
        return WM_FORMAT_U4;
    case WM_TYPE_Q4_1:
        return WM_FORMAT_U4_MIN;
    case WM_TYPE_Q8_0:
        return WM_FORMAT_U8;
    case WM_TYPE_Q6_K:
        return WM_FORMAT_U8_16;
    default:
        return WM_FORMAT_F32;
    }
}

/* --- taking blocks apart ------------------------------------------------------------------------------------ */

static void split_nibbles(const uint8_t *packed, uint8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = packed[i] & 15;
        codes[i + 16] = packed[i] >> 4;
    }
}

static void group_Q6_K(const uint8_t *block, size_t part, struct group *out)
{
    /* `part` of eight: which half of 128, and which quarter of it (types.c describes the block) */
    const uint8_t *low = block + 64 * (part / 4) + 32 * (part & 1), *high = block + 128 + 32 * (part / 4);
    float scale = wm_f16_to_float(wm_load_u16(block + 208));
    for (int i = 0; i < WM_GROUP; i++)
        out->codes[i] =
            (uint8_t)((low[i] >> (part & 2 ? 4 : 0) & 15) | (high[i] >> (2 * (part % 4)) & 3) << 4);
    for (int half = 0; half < 2; half++)
        out->scales[half] = scale * (float)(int8_t)block[192 + 2 * part + (size_t)half];
}

/* Group `g` of a row. */
static void group_of(enum wm_type type, const uint8_t *row, size_t g, struct group *out)
{
    switch (type) {
    case WM_TYPE_Q4_0:
        out->scale = wm_load_u16(row + 18 * g);
        split_nibbles(row + 18 * g + 2, out->codes);
        break;
    case WM_TYPE_Q4_1:
        out->scale = wm_load_u16(row + 20 * g);
        out->min = wm_load_u16(row + 20 * g + 2);
        split_nibbles(row + 20 * g + 4, out->codes);
        break;
    case WM_TYPE_Q8_0:
        out->scale = wm_load_u16(row + 34 * g);
        for (int i = 0; i < WM_GROUP; i++)
            out->codes[i] = row[34 * g + 2 + (size_t)i] ^ 0x80; /* signed to offset 128 */
        break;
    case WM_TYPE_Q6_K:
        group_Q6_K(row + 210 * (g / 8), g % 8, out);
        break;
    default:
        assert(!"a float type has no groups");
    }
}

/* --- putting panels together ------------------------------------------------------------------------------------ */

/* Output `o` of a packed group. */
static void put_group(enum wm_cpu_format format, const struct group *in, int o, uint8_t *out)
{
    if (format == WM_FORMAT_U4 || format == WM_FORMAT_U4_MIN) {
        for (int i = 0; i < WM_GROUP; i++)
            out[64 * (i / 8) + 4 * o + i % 4] |= (uint8_t)(in->codes[i] << (i & 4));
        memcpy(out + 256 + 2 * o, &in->scale, 2);
        if (format == WM_FORMAT_U4_MIN)
            memcpy(out + 288 + 2 * o, &in->min, 2);
        return;
    }
    for (int i = 0; i < WM_GROUP; i++)
        out[64 * (i / 4) + 4 * o + i % 4] = in->codes[i];
    if (format == WM_FORMAT_U8) {
        memcpy(out + 512 + 2 * o, &in->scale, 2);
    } else {
        memcpy(out + 512 + 4 * o, &in->scales[0], 4);
        memcpy(out + 576 + 4 * o, &in->scales[1], 4);
    }
}

static void pack_codes(const struct wm_matrix *m, enum wm_cpu_format format, int64_t row, int o,
                       uint8_t *panel)
{
    const struct wm_type_info *type = wm_type_info(m->type);
    const uint8_t *from =
        (const uint8_t *)m->data + (size_t)row * (size_t)(m->cols / type->block) * type->bytes;
    for (size_t g = 0; g < (size_t)m->cols / WM_GROUP; g++) {
        struct group group = {0};
        group_of(m->type, from, g, &group);
        put_group(format, &group, o, panel + g * wm_format_bytes(format));
    }
}

static void pack_floats(const struct wm_matrix *m, enum wm_cpu_format format, int64_t row, int o,
                        uint8_t *panel)
{
    size_t size = wm_format_bytes(format) / WM_PANEL, cols = (size_t)m->cols;
    const uint8_t *from = (const uint8_t *)m->data + (size_t)row * cols * size;
    for (size_t i = 0; i < cols; i++)
        memcpy(panel + (i * WM_PANEL + (size_t)o) * size, from + i * size, size);
}

/* Any matrix, as floats; `values` holds a row. */
static void pack_values(const struct wm_matrix *m, int64_t row, int o, float *values, uint8_t *panel)
{
    wm_matrix_row(m, row, values);
    for (size_t i = 0; i < (size_t)m->cols; i++)
        memcpy(panel + (i * WM_PANEL + (size_t)o) * sizeof *values, &values[i], sizeof *values);
}

struct packing {
    const struct wm_matrix *m;
    const struct panels *to;
    float *values; /* a row for each worker */
};

static void pack_panel(void *arg, int chunk, int worker)
{
    const struct packing *p = arg;
    uint8_t *panel = p->to->data + (size_t)chunk * p->to->panel_bytes;
    for (int o = 0; o < WM_PANEL; o++) {
        int64_t row = (int64_t)chunk * WM_PANEL + o;
        if (row >= p->m->rows)
            break; /* outputs that do not exist keep the zeros of fresh pages */
        if (p->to->format == WM_FORMAT_F32)
            pack_values(p->m, row, o, p->values + (size_t)worker * (size_t)p->m->cols, panel);
        else if (wm_format_is_float(p->to->format))
            pack_floats(p->m, p->to->format, row, o, panel);
        else
            pack_codes(p->m, p->to->format, row, o, panel);
    }
}

static enum wm_status pack(struct wm_backend *be, const struct wm_matrix *m, enum wm_use use,
                           struct panels *out, struct wm_error *err)
{
    int64_t count = (m->rows + WM_PANEL - 1) / WM_PANEL;
    if (count > WM_WORKERS_CHUNKS)
        return wm_fail(err, WM_ELIMIT, "a matrix of %lld rows: the cpu face packs at most %d",
                       (long long)m->rows, WM_WORKERS_CHUNKS * WM_PANEL);
    out->format = format_of(m, use);
    out->rows = m->rows;
    size_t units = (size_t)(wm_format_is_float(out->format) ? m->cols : m->cols / WM_GROUP);
    out->panel_bytes = units * wm_format_bytes(out->format);
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
    wm_workers_run(be->workers, pack_panel, &packing, (int)count);
    free(values);
    wm_matrix_drop(m);
    return WM_OK;
}

/* --- the operations ------------------------------------------------------------------------------------------------ */

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
        st = pack(be, &parts[i], use, &w->panels[i], err);
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

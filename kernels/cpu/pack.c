/* pack.c -- puts matrices into panels.
 *
 * WHY     A file stores a weight row by row. A product wants the same four inputs of sixteen outputs side by side, so
 *         that one load meets one broadcast of the activations and nothing is ever summed across lanes.
 *
 * HOW     Three ways, by format (path.h has them):
 *           codes   each block type is taken apart into a group of 32 codes and what scales them (take_*), and one
 *                   function per half of the job, put_head and put_group, puts sixteen of them together
 *           floats  are copied as they are; transposed ones lie in a panel's order already
 *           any     what has no format of its own (a transposed matrix with scales for groups, a router of blocks)
 *                   becomes floats, value by value
 *
 * ALWAYS  Codes and scales are the file's own: packing loses nothing. A product of scale and sub-scale is made in a
 *         register, where it is exact. 4-bit codes stay at 4 bits, 5-bit ones at 5.
 *
 * LIMITS  The packed copy is the only one that stays in memory: pages of a mapped file are given back. A new type is a
 *         case in choose, a take_ function, and, rarely, a format.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/face.h"
#include "kernels/half.h"
#include "kernels/matrix.h"
#include "kernels/pages.h"

enum {
    PANELS_PER_CHUNK =
        8 /* neighbours in the lines of a transposed matrix, which so are read in long pieces */
};

/* 32 inputs of one output. */
struct group {
    uint8_t codes[WM_GROUP];
    uint16_t scale, min; /* f16, of formats without a head */
    int8_t parts[2];     /* of the scale: see path.h */
    int8_t min_parts[2];
};

/* What scales a whole segment of one output. */
struct head {
    uint16_t scale, min; /* f16 */
    float factor;        /* f32, of S4 and F8 */
};

/* --- which format --------------------------------------------------------------------------------------------- */

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
        return WM_FORMAT_K8_16;
    case WM_TYPE_IQ4_NL:
        return WM_FORMAT_T4;
    case WM_TYPE_IQ4_XS:
        return WM_FORMAT_KT4;
    default:
        return WM_FORMAT_F32;
    }
}

/* --- taking blocks apart: types.c describes each ---------------------------------------------------------------- */

static void take_nibbles(const uint8_t *packed, uint8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = packed[i] & 15;
        codes[i + 16] = packed[i] >> 4;
    }
}

/* Nibbles of a 256-block: of each 32 bytes first the low ones. */
static void take_k_nibbles(const uint8_t *packed, int part, uint8_t *codes)
{
    for (int i = 0; i < WM_GROUP; i++)
        codes[i] = packed[32 * (part / 2) + i] >> (part % 2 * 4) & 15;
}

/* Bit i of four bytes to code i. */
static void add_fifths(const uint8_t *bits, uint8_t *codes)
{
    for (int i = 0; i < WM_GROUP; i++)
        codes[i] |= (uint8_t)((bits[i / 8] >> (i % 8) & 1) << 4);
}

static void take_pairs(const uint8_t *pairs, int part, uint8_t *codes)
{
    for (int i = 0; i < WM_GROUP; i++)
        codes[i] = pairs[32 * (part / 4) + i] >> (2 * (part % 4)) & 3;
}

static void take_Q2_K(const uint8_t *block, int part, struct group *out)
{
    take_pairs(block + 16, part, out->codes);
    for (int half = 0; half < 2; half++) {
        out->parts[half] = block[2 * part + half] & 15;
        out->min_parts[half] = (int8_t)(block[2 * part + half] >> 4);
    }
}

/* A code of -4..3 is one of 0..7 and a min of -4 scales. */
static void take_Q3_K(const uint8_t *block, int part, struct group *out)
{
    take_pairs(block + 32, part, out->codes);
    for (int i = 0; i < WM_GROUP; i++)
        out->codes[i] |= (uint8_t)((block[i] >> part & 1) << 2);
    for (int half = 0; half < 2; half++) {
        int scale = wm_q3_k_scale(block, 2 * part + half);
        out->parts[half] = (int8_t)scale;
        out->min_parts[half] = (int8_t)(4 * scale);
    }
}

static void take_Q4_K(const uint8_t *block, int part, struct group *out)
{
    uint8_t scale, min;
    wm_k_scale(block + 4, part, &scale, &min);
    out->parts[0] = (int8_t)scale;
    out->min_parts[0] = (int8_t)min;
    take_k_nibbles(block + 16, part, out->codes);
}

static void take_Q5_K(const uint8_t *block, int part, struct group *out)
{
    take_Q4_K(block, part, out);
    take_k_nibbles(block + 48, part, out->codes);
    for (int i = 0; i < WM_GROUP; i++)
        out->codes[i] |= (uint8_t)((block[16 + i] >> part & 1) << 4);
}

static void take_Q6_K(const uint8_t *block, int part, struct group *out)
{
    /* which half of 128, and which quarter of it */
    const uint8_t *low = block + 64 * (part / 4) + 32 * (part & 1), *high = block + 128 + 32 * (part / 4);
    for (int i = 0; i < WM_GROUP; i++)
        out->codes[i] =
            (uint8_t)((low[i] >> (part & 2 ? 4 : 0) & 15) | (high[i] >> (2 * (part % 4)) & 3) << 4);
    memcpy(out->parts, block + 192 + 2 * part, 2);
}

/* Group `g` of a line; a last one of I4 may be shorter, and is filled up with codes for 0. */
static void take_group(const struct wm_matrix *m, const uint8_t *line, size_t g, struct group *out)
{
    const struct wm_type_info *type = wm_type_info(m->type);
    const uint8_t *block = line + g * WM_GROUP / type->block * type->bytes;
    int part = (int)(g % 8); /* of a block of 256 */
    out->scale = wm_load_u16(block);
    switch (m->type) {
    case WM_TYPE_Q4_1:
        out->min = wm_load_u16(block + 2);
        take_nibbles(block + 4, out->codes);
        break;
    case WM_TYPE_Q5_0:
        take_nibbles(block + 6, out->codes);
        add_fifths(block + 2, out->codes);
        break;
    case WM_TYPE_Q5_1:
        out->min = wm_load_u16(block + 2);
        take_nibbles(block + 8, out->codes);
        add_fifths(block + 4, out->codes);
        break;
    case WM_TYPE_Q8_0:
        for (int i = 0; i < WM_GROUP; i++)
            out->codes[i] = block[2 + i] ^ 0x80; /* signed to offset 128 */
        break;
    case WM_TYPE_Q2_K:
        take_Q2_K(block, part, out);
        break;
    case WM_TYPE_Q3_K:
        take_Q3_K(block, part, out);
        break;
    case WM_TYPE_Q4_K:
        take_Q4_K(block, part, out);
        break;
    case WM_TYPE_Q5_K:
        take_Q5_K(block, part, out);
        break;
    case WM_TYPE_Q6_K:
        take_Q6_K(block, part, out);
        break;
    case WM_TYPE_IQ4_XS:
        take_nibbles(block + 8 + 16 * part, out->codes);
        out->parts[0] = (int8_t)wm_iq4_xs_scale(block, part);
        break;
    case WM_TYPE_I4:
        for (size_t i = 0; i < WM_GROUP; i++)
            out->codes[i] = g * WM_GROUP + i < (size_t)m->cols ? block[i / 2] >> (i % 2 * 4) & 15 : 8;
        break;
    default: /* Q4_0, IQ4_NL */
        take_nibbles(block + 2, out->codes);
    }
}

/* Row `row`'s scales for the segment from input `from` on, which lies in `line`. A min is subtracted in the file's formulas,
 * and added in ours. */
static struct head take_head(const struct wm_matrix *m, const uint8_t *line, int64_t row, size_t from)
{
    const struct wm_type_info *type = wm_type_info(m->type);
    const uint8_t *block = line + from / type->block * type->bytes;
    switch (m->type) {
    case WM_TYPE_Q2_K:
        return (struct head){wm_load_u16(block + 80), wm_load_u16(block + 82) ^ 0x8000, 0};
    case WM_TYPE_Q3_K:
        return (struct head){wm_load_u16(block + 108), wm_load_u16(block + 108) ^ 0x8000, 0};
    case WM_TYPE_Q4_K:
    case WM_TYPE_Q5_K:
        return (struct head){wm_load_u16(block), wm_load_u16(block + 2) ^ 0x8000, 0};
    case WM_TYPE_Q6_K:
        return (struct head){wm_load_u16(block + 208), 0, 0};
    case WM_TYPE_IQ4_XS:
        return (struct head){wm_load_u16(block), 0, 0};
    default:
        return (struct head){0, 0, wm_matrix_scale(m, row, (int64_t)from)};
    }
}

/* --- putting panels together ------------------------------------------------------------------------------------ */

static void put_head(enum wm_cpu_format format, struct head head, int o, uint8_t *out)
{
    if (wm_format_head(format) == 0)
        return;
    if (format == WM_FORMAT_S4 || format == WM_FORMAT_F8) {
        memcpy(out + 4 * o, &head.factor, 4);
        return;
    }
    memcpy(out + 2 * o, &head.scale, 2);
    if (wm_format_head(format) == 64)
        memcpy(out + 32 + 2 * o, &head.min, 2);
}

/* The codes of output `o`; returns where they end. */
static uint8_t *put_codes(enum wm_cpu_format format, const uint8_t *codes, int o, uint8_t *out)
{
    bool fives = format == WM_FORMAT_U5 || format == WM_FORMAT_U5_MIN || format == WM_FORMAT_K5;
    if (format == WM_FORMAT_U8 || format == WM_FORMAT_K8_16) {
        for (int i = 0; i < WM_GROUP; i++)
            out[64 * (i / 4) + 4 * o + i % 4] = codes[i];
        return out + 512;
    }
    for (int i = 0; i < WM_GROUP; i++) {
        out[64 * (i / 8) + 4 * o + i % 4] |= (uint8_t)((codes[i] & 15) << (i & 4));
        if (fives)
            out[256 + 4 * o + i % 4] |= (uint8_t)((codes[i] >> 4) << (i / 4));
    }
    return out + (fives ? 320 : 256);
}

static void put_group(enum wm_cpu_format format, const struct group *in, int o, uint8_t *out)
{
    out = put_codes(format, in->codes, o, out);
    switch (format) {
    case WM_FORMAT_U4_MIN:
    case WM_FORMAT_U5_MIN:
        memcpy(out + 32 + 2 * o, &in->min, 2);
        memcpy(out + 2 * o, &in->scale, 2);
        break;
    case WM_FORMAT_K4:
    case WM_FORMAT_K5:
        out[o] = (uint8_t)in->parts[0];
        out[16 + o] = (uint8_t)in->min_parts[0];
        break;
    case WM_FORMAT_K4_16:
        out[32 + o] = (uint8_t)in->min_parts[0];
        out[48 + o] = (uint8_t)in->min_parts[1];
        out[o] = (uint8_t)in->parts[0];
        out[16 + o] = (uint8_t)in->parts[1];
        break;
    case WM_FORMAT_K8_16:
        out[o] = (uint8_t)in->parts[0];
        out[16 + o] = (uint8_t)in->parts[1];
        break;
    case WM_FORMAT_KT4:
        out[o] = (uint8_t)in->parts[0];
        break;
    case WM_FORMAT_S4:
        break;
    default:
        memcpy(out + 2 * o, &in->scale, 2);
    }
}

static void pack_codes(const struct wm_matrix *m, const struct panels *to, int64_t row, int o, uint8_t *panel)
{
    const uint8_t *line = wm_matrix_line(m, row);
    size_t cols = (size_t)m->cols, bytes = wm_format_group(to->format);
    for (size_t from = 0; from < cols; from += to->segment) {
        uint8_t *out = panel + wm_segment_at(to->format, to->segment, from);
        put_head(to->format, take_head(m, line, row, from), o, out);
        out += wm_format_head(to->format);
        size_t end = from + to->segment < cols ? from + to->segment : cols;
        for (size_t i = from; i < end; i += WM_GROUP, out += bytes) {
            struct group group = {0};
            take_group(m, line, i / WM_GROUP, &group);
            put_group(to->format, &group, o, out);
        }
    }
}

/* --- floats ------------------------------------------------------------------------------------------------------- */

/* Where input `i` of a panel lies. */
static uint8_t *input_at(const struct panels *to, uint8_t *panel, size_t i)
{
    size_t segment = i / to->segment * to->segment;
    return panel + wm_segment_at(to->format, to->segment, segment) + wm_format_head(to->format) +
           (i - segment) * wm_format_group(to->format);
}

/* Panels [first, end) of a matrix of floats, line by line: what is next to each other in the file stays together. */
static void pack_floats(const struct wm_matrix *m, const struct panels *to, int64_t first, int64_t end)
{
    size_t size = wm_type_info(m->type)->bytes;
    int64_t first_row = first * WM_PANEL, end_row = end * WM_PANEL < m->rows ? end * WM_PANEL : m->rows;
    if (m->transposed) {
        for (int64_t i = 0; i < m->cols; i++) {
            const uint8_t *line = wm_matrix_line(m, i);
            for (int64_t r = first_row; r < end_row; r += WM_PANEL) {
                size_t n = end_row - r < WM_PANEL ? (size_t)(end_row - r) : WM_PANEL;
                uint8_t *panel = to->data + (size_t)(r / WM_PANEL) * to->panel_bytes;
                memcpy(input_at(to, panel, (size_t)i), line + (size_t)r * size, n * size);
            }
        }
        return;
    }
    for (int64_t r = first_row; r < end_row; r++) {
        const uint8_t *line = wm_matrix_line(m, r);
        uint8_t *panel = to->data + (size_t)(r / WM_PANEL) * to->panel_bytes;
        for (size_t i = 0; i < (size_t)m->cols; i++)
            memcpy(input_at(to, panel, i) + (size_t)(r % WM_PANEL) * size, line + i * size, size);
    }
}

/* The heads of F8, which hold 256 times the scale. A code of the panel that is NaN makes its scale NaN: so it need not be
 * looked for in the products. */
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
            put_head(to->format, (struct head){.factor = factor}, (int)(r % WM_PANEL), out);
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

/* --- all of it ------------------------------------------------------------------------------------------------------ */

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
            pack_codes(m, to, r, (int)(r % WM_PANEL), to->data + (size_t)(r / WM_PANEL) * to->panel_bytes);
    } else if (to->format == WM_FORMAT_F32) {
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

/* pack_codes.c -- blocks of codes, taken apart and put together again as panels.
 *
 * A block type becomes a group of 32 codes and what scales them (the functions take_*); a format's head and
 * group are put together from sixteen of those (put_*). Codes and scales are the file's own. Where a file has
 * a scale of scales, both are kept and multiplied in a register: there the product is exact, as a half float
 * it would not be.
 */
#include <string.h>

#include "kernels/cpu/face.h"
#include "kernels/half.h"
#include "kernels/matrix.h"

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

/* --- taking blocks apart: types.c describes each -------------------------------------------------------- */

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

/* Row `row`'s scales for the segment from input `from` on, which lies in `line`. A min is subtracted in the
 * file's formulas, and added in ours. */
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

/* --- putting panels together ---------------------------------------------------------------------------- */

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

/* The codes of output `o`. */
static void put_codes(enum wm_cpu_codes how, const uint8_t *codes, int o, uint8_t *out)
{
    uint8_t *rest = out + WM_CODES_NIBBLES; /* of the codes of five and six bits */
    for (int i = 0; i < WM_GROUP; i++) {
        int line = i / 4, at = 4 * o + i % 4;
        if (how == WM_CODES_BYTES) {
            out[64 * line + at] = codes[i];
            continue;
        }
        out[64 * (line / 2) + at] |= (uint8_t)((codes[i] & 15) << (line % 2 * 4));
        if (how == WM_CODES_FIVES)
            rest[at] |= (uint8_t)((codes[i] >> 4) << line);
        if (how == WM_CODES_SIXES)
            rest[64 * (line / 4) + at] |= (uint8_t)((codes[i] >> 4) << (line % 4 * 2));
    }
}

static void put_group(enum wm_cpu_format format, const struct group *in, int o, uint8_t *out)
{
    put_codes(wm_format_codes(format), in->codes, o, out);
    out += wm_format_codes(format);
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
    case WM_FORMAT_K6_16:
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

void cpu_pack_codes(const struct wm_matrix *m, const struct panels *to, int64_t row)
{
    int o = (int)(row % WM_PANEL);
    uint8_t *panel = to->data + (size_t)(row / WM_PANEL) * to->panel_bytes;
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

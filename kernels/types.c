/* types.c -- the exact values of every weight format.
 *
 * WHY     Every face starts from these values: `reference` multiplies by them, `cpu` packs codes that must
 *         mean the same. So they are written once, plainly, and checked against blocks whose values are known.
 *
 * HOW     One function per type, named by the type table in types.h. All multi-byte fields are little-endian
 *         and unaligned. Scale times code is exact in float for every type here (11 bits of a half, at most 6
 *         of a sub-scale and 8 of a code fit, or 8 and 6), and so is a minimum: each value is rounded at most
 *         once, as the formats define it.
 *
 * LIMITS  A new type is one line in WM_TYPES and one function here.
 */
#include "kernels/types.h"

#include <assert.h>
#include <string.h>

#include "kernels/half.h"

static void dequantize_F32(const uint8_t *blocks, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)wm_load_u16(blocks + 4 * i) | (uint32_t)wm_load_u16(blocks + 4 * i + 2)
                                                                    << 16;
        out[i] = wm_float_of_bits(bits);
    }
}

static void dequantize_F16(const uint8_t *blocks, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = wm_f16_to_float(wm_load_u16(blocks + 2 * i));
}

static void dequantize_BF16(const uint8_t *blocks, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = wm_bf16_to_float(wm_load_u16(blocks + 2 * i));
}

/* f16 scale, 16 bytes of nibbles: byte i holds elements i (low) and i + 16 (high), each minus 8. */
static void dequantize_Q4_0(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 18, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int i = 0; i < 16; i++) {
            out[i] = scale * (float)((block[2 + i] & 15) - 8);
            out[i + 16] = scale * (float)((block[2 + i] >> 4) - 8);
        }
    }
}

/* f16 scale, f16 minimum, nibbles as above but from 0. */
static void dequantize_Q4_1(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 20, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        float min = wm_f16_to_float(wm_load_u16(block + 2));
        for (int i = 0; i < 16; i++) {
            out[i] = scale * (float)(block[4 + i] & 15) + min;
            out[i + 16] = scale * (float)(block[4 + i] >> 4) + min;
        }
    }
}

/* The fifth bits of 32 codes, bit i of element i, in front of the nibbles. */
static int five_bits(const uint8_t *high, const uint8_t *nibbles, int i)
{
    int low = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    return low | (high[i / 8] >> (i % 8) & 1) << 4;
}

/* f16 scale, fifth bits, nibbles as above; each minus 16. */
static void dequantize_Q5_0(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 22, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int i = 0; i < 32; i++)
            out[i] = scale * (float)(five_bits(block + 2, block + 6, i) - 16);
    }
}

/* f16 scale, f16 minimum, fifth bits, nibbles; from 0. */
static void dequantize_Q5_1(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 24, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        float min = wm_f16_to_float(wm_load_u16(block + 2));
        for (int i = 0; i < 32; i++)
            out[i] = scale * (float)five_bits(block + 4, block + 8, i) + min;
    }
}

/* f16 scale, 32 signed bytes. */
static void dequantize_Q8_0(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 34, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int i = 0; i < 32; i++)
            out[i] = scale * (float)(int8_t)block[2 + i];
    }
}

/* Pairs of bits: element e of 256 is in byte 32 (e / 128) + e % 32, pair e / 32 % 4. */
static int two_bits(const uint8_t *pairs, int e)
{
    return pairs[32 * (e / 128) + e % 32] >> (2 * (e / 32 % 4)) & 3;
}

/* 16 bytes for 16 elements each: 4 bits of scale, 4 of minimum; pairs of bits; f16 scale of the scales and of
 * the minima. */
static void dequantize_Q2_K(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 84, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block + 80));
        float min = wm_f16_to_float(wm_load_u16(block + 82));
        for (int e = 0; e < 256; e++) {
            uint8_t both = block[e / 16];
            out[e] = scale * (float)(both & 15) * (float)two_bits(block + 16, e) - min * (float)(both >> 4);
        }
    }
}

int wm_q3_k_scale(const uint8_t *block, int j)
{
    const uint8_t *scales = block + 96;
    int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4, high = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
    return (low | high << 4) - 32;
}

/* 32 bytes of third bits (bit e / 32 of byte e % 32), pairs of bits, 12 bytes of sixteen 6-bit scales (four bits of
 * each in the first eight bytes, two in the last four), f16 scale of those. A clear third bit means minus 4. */
static void dequantize_Q3_K(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 110, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block + 108));
        for (int e = 0; e < 256; e++) {
            int code = two_bits(block + 32, e) - (block[e % 32] >> (e / 32) & 1 ? 0 : 4);
            out[e] = scale * (float)wm_q3_k_scale(block, e / 16) * (float)code;
        }
    }
}

void wm_k_scale(const uint8_t *scales, int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = scales[j] & 63;
        *min = scales[j + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4);
        *min = (uint8_t)((scales[j + 4] >> 4) | (scales[j] >> 6) << 4);
    }
}

/* f16 scale of the scales and of the minima, scales and minima of eight times 32 elements, 128 bytes of nibbles: of
 * each 32 bytes first the low ones. */
static void dequantize_Q4_K(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 144, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        float min = wm_f16_to_float(wm_load_u16(block + 2));
        for (int e = 0; e < 256; e++) {
            uint8_t s, m;
            wm_k_scale(block + 4, e / 32, &s, &m);
            int code = block[16 + 32 * (e / 64) + e % 32] >> (e / 32 % 2 * 4) & 15;
            out[e] = scale * (float)s * (float)code - min * (float)m;
        }
    }
}

/* The same with 32 bytes of fifth bits (bit e / 32 of byte e % 32) before the nibbles. */
static void dequantize_Q5_K(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 176, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        float min = wm_f16_to_float(wm_load_u16(block + 2));
        for (int e = 0; e < 256; e++) {
            uint8_t s, m;
            wm_k_scale(block + 4, e / 32, &s, &m);
            int low = block[48 + 32 * (e / 64) + e % 32] >> (e / 32 % 2 * 4) & 15;
            int code = low | (block[16 + e % 32] >> (e / 32) & 1) << 4;
            out[e] = scale * (float)s * (float)code - min * (float)m;
        }
    }
}

/* 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 signed scales of 16 elements each, f16 scale of those.
 * Each half of 128 elements takes 64 low bytes and 32 high bytes; element 32 q + i of a half is quarter q. */
static void dequantize_Q6_K(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 210, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block + 208));
        for (int e = 0; e < 256; e++) {
            int half = e / 128, quarter = e % 128 / 32, i = e % 32;
            int low = block[64 * half + 32 * (quarter & 1) + i] >> (quarter >= 2 ? 4 : 0) & 15;
            int high = block[128 + 32 * half + i] >> (2 * quarter) & 3;
            int8_t group_scale = (int8_t)block[192 + e / 16];
            out[e] = scale * (float)group_scale * (float)((low | high << 4) - 32);
        }
    }
}

#define X(value) value,
static const int8_t iq4_values[16] = {WM_IQ4_VALUES(X)};
#undef X

/* As Q4_0, but a code stands for one of sixteen uneven steps. */
static void dequantize_IQ4_NL(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 18, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int i = 0; i < 16; i++) {
            out[i] = scale * (float)iq4_values[block[2 + i] & 15];
            out[i + 16] = scale * (float)iq4_values[block[2 + i] >> 4];
        }
    }
}

int wm_iq4_xs_scale(const uint8_t *block, int j)
{
    int low = block[4 + j / 2] >> (4 * (j % 2)) & 15, high = wm_load_u16(block + 2) >> (2 * j) & 3;
    return (low | high << 4) - 32;
}

/* f16 scale of the scales, 6-bit scales of eight times 32 elements, then 16 bytes of nibbles for each. */
static void dequantize_IQ4_XS(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 256, block += 136, out += 256) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int e = 0; e < 256; e++) {
            int code = block[8 + 16 * (e / 32) + e % 16] >> (e % 32 / 16 * 4) & 15;
            out[e] = scale * (float)wm_iq4_xs_scale(block, e / 32) * (float)iq4_values[code];
        }
    }
}

static void dequantize_F8_E4M3(const uint8_t *blocks, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = wm_f8_to_float(blocks[i]);
}

/* Eight nibbles of a 32-bit word, lowest first, each minus 8: compressed-tensors' "pack-quantized". The scales are in
 * another tensor. */
static void dequantize_I4(const uint8_t *blocks, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)((blocks[i / 2] >> (i % 2 * 4) & 15) - 8);
}

static const struct type {
    struct wm_type_info info;
    void (*dequantize)(const uint8_t *blocks, size_t count, float *out);
} types[] = {
#define X(id, number, name, block, bytes) {{WM_TYPE_##id, name, block, bytes}, dequantize_##id},
    WM_TYPES(X)
#undef X
};

static const struct type *find(uint32_t number)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)types[i].info.type == number)
            return &types[i];
    return NULL;
}

const struct wm_type_info *wm_type_info(uint32_t number)
{
    const struct type *t = find(number);
    return t ? &t->info : NULL;
}

void wm_dequantize(enum wm_type type, const void *blocks, size_t count, float *out)
{
    const struct type *t = find(type);
    assert(t && count % t->info.block == 0);
    t->dequantize(blocks, count, out);
}

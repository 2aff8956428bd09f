/* types.c -- the exact values of every weight format.
 *
 * WHY     Every face starts from these values: `reference` multiplies by them, `cpu` packs codes that must mean the
 *         same. So they are written once, plainly, and checked against blocks whose values are known.
 *
 * HOW     One function per type, named by the type table in types.h. All multi-byte fields are little-endian and
 *         unaligned. Scale times code is exact in float for every type here (11 bits x 4, x 8 or x 8 + 6), so
 *         each value is rounded at most once, as the formats define it.
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

/* f16 scale, 32 signed bytes. */
static void dequantize_Q8_0(const uint8_t *block, size_t count, float *out)
{
    for (; count; count -= 32, block += 34, out += 32) {
        float scale = wm_f16_to_float(wm_load_u16(block));
        for (int i = 0; i < 32; i++)
            out[i] = scale * (float)(int8_t)block[2 + i];
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

/* half.h -- floats of 16 and of 8 bits, read from unaligned little-endian bytes. Exact; any thread. */
#ifndef WM_KERNELS_HALF_H
#define WM_KERNELS_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t wm_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline float wm_float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float wm_bf16_to_float(uint16_t h)
{
    return wm_float_of_bits((uint32_t)h << 16);
}

/* A half is 1 sign, 5 exponent (bias 15) and 10 fraction bits. Shifted into a float's place its exponent is too small
 * by 112, which one exact product with 2^112 puts right, subnormals included; infinity and NaN get theirs by hand. */
static inline float wm_f16_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    if (rest >= 0x0f800000)
        return wm_float_of_bits(sign | 0x7f800000 | (rest & 0x007fffff));
    float magnitude = wm_float_of_bits(rest) * 0x1p112f;
    return sign ? -magnitude : magnitude;
}

/* E4M3: 1 sign, 4 exponent (bias 7) and 3 fraction bits, no infinities; all ones are NaN. The same trick, 2^120. */
static inline float wm_f8_to_float(uint8_t code)
{
    if ((code & 0x7f) == 0x7f)
        return NAN;
    float magnitude = wm_float_of_bits((uint32_t)(code & 0x7f) << 20) * 0x1p120f;
    return code & 0x80 ? -magnitude : magnitude;
}

#endif

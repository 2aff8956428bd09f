/* lanes_portable.h -- sixteen lanes in the compiler's own vectors: any machine. Contract: lanes.h. */
#include <math.h>

#include "kernels/half.h"

#define LANES_NAME      "portable"
#define LANES_TEXT      "portable C"
#define LANES_COUNTS(X) X(1) X(2)
enum { LANES_ROWS = 2 };

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint8_t vb __attribute__((vector_size(64)));
typedef int16_t vw __attribute__((vector_size(64)));

#define EACH(i) for (int i = 0; i < 16; i++)

/* Copies of a quarter, which every machine has registers for: element by element they would go through memory. */
typedef int32_t quarter __attribute__((vector_size(16)));
LANE vi vi_set(int32_t x)
{
    quarter q = {x, x, x, x}, all[4] = {q, q, q, q};
    vi v;
    memcpy(&v, all, sizeof v);
    return v;
}
LANE vf vf_set(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    vi v = vi_set(bits);
    vf f;
    memcpy(&f, &v, sizeof f);
    return f;
}
LANE vf vf_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
LANE void vf_store(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}
LANE vf vf_add(vf a, vf b)
{
    return a + b;
}
LANE vf vf_sub(vf a, vf b)
{
    return a - b;
}
LANE vf vf_mul(vf a, vf b)
{
    return a * b;
}
LANE vf vf_div(vf a, vf b)
{
    return a / b;
}
LANE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
/* Bits of a where `mask` is set, else of b. */
LANE vf choose(vi mask, vf a, vf b)
{
    vi x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    x = (x & mask) | (y & ~mask);
    memcpy(&a, &x, sizeof a);
    return a;
}
LANE vf vf_max(vf a, vf b)
{
    return choose(a > b, a, b);
}
LANE vf vf_min(vf a, vf b)
{
    return choose(a < b, a, b);
}
LANE vf vf_abs(vf a)
{
    return choose(a < 0, -a, a);
}
LANE float vf_sum(vf a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            a[i] += a[i + half];
    return a[0];
}
LANE float vf_top(vf a)
{
    float top = a[0];
    EACH(i) top = a[i] > top ? a[i] : top;
    return top;
}
LANE vf vf_keep(vf a, int first, int last)
{
    vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return choose((lane >= first) & (lane <= last), a, (vf){0} - INFINITY);
}
LANE vf vf_of_int(vi a)
{
    return __builtin_convertvector(a, vf);
}
LANE vf vf_power_of_2(vi n)
{
    n = (n + 127) * (1 << 23);
    vf x;
    memcpy(&x, &n, sizeof x);
    return x;
}
LANE vf vf_load_f16(const void *p)
{
    vf x;
    EACH(i) x[i] = wm_f16_to_float(wm_load_u16((const uint8_t *)p + 2 * i));
    return x;
}
LANE vf vf_load_bf16(const void *p)
{
    vf x;
    EACH(i) x[i] = wm_bf16_to_float(wm_load_u16((const uint8_t *)p + 2 * i));
    return x;
}
LANE vf vf_load_s8(const void *p)
{
    vf x;
    EACH(i) x[i] = ((const int8_t *)p)[i];
    return x;
}
LANE vf vf_load_f8(const void *p)
{
    /* seven bits up, E4M3 is a half float with an exponent too small by 8 */
    vf x;
    EACH(i)
    {
        uint8_t code = ((const uint8_t *)p)[i];
        x[i] = wm_f16_to_float((uint16_t)((code & 0x80) << 8 | (code & 0x7f) << 7));
    }
    return x;
}

/* To nearest, ties to even: adding 1.5 x 2^23 leaves no room for a fraction. What does not fit in 22 bits, NaN
 * included, becomes some number: only the other paths' saturation would have been as wrong. */
LANE vi vi_round(vf a)
{
    vf shifted = a + 0x1.8p23f;
    vi bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}
LANE int32_t vi_sum(vi a)
{
    int32_t sum = 0;
    EACH(i) sum += a[i];
    return sum;
}
LANE void vi_store_s8(int8_t *p, vi a)
{
    EACH(i) p[i] = (int8_t)(a[i] < -128 ? -128 : a[i] > 127 ? 127 : a[i]);
}
LANE void vi_store_s16(int16_t *p, vi a)
{
    EACH(i) p[i] = (int16_t)(a[i] < -32768 ? -32768 : a[i] > 32767 ? 32767 : a[i]);
}

LANE vb vb_load(const uint8_t *p)
{
    vb x;
    memcpy(&x, p, sizeof x);
    return x;
}
LANE vb vb_low_nibbles(vb a)
{
    return a & 15;
}
LANE vb vb_high_nibbles(vb a)
{
    return a >> 4;
}
LANE vb vb_with_fifth(vb a, vb bits, int i)
{
    return a | ((bits >> i & 1) << 4);
}
LANE vb vb_with_pair(vb a, vb bits, int i)
{
    return a | ((bits >> 2 * i & 3) << 4);
}
LANE vb vb_of_table(const uint8_t *table, vb a)
{
    for (int i = 0; i < 64; i++)
        a[i] = table[a[i]];
    return a;
}
/* Bytes 0 and 2 of each lane, then 1 and 3, in 16-bit products (255 x 128 fits), whose halves are then added. */
LANE vi add_halves(vi sum, vw products)
{
    vi both;
    memcpy(&both, &products, sizeof both);
    return sum + ((both << 16) >> 16) + (both >> 16);
}
LANE vi vi_dot4(vi sum, vb codes, int32_t x)
{
    vi words;
    memcpy(&words, &codes, sizeof words);
    vi even = words & 0x00ff00ff, odd = (words >> 8) & 0x00ff00ff;
    vi x_even = vi_set(((int32_t)(int8_t)x & 0xffff) | (int32_t)(int8_t)(x >> 16) * 65536);
    vi x_odd = vi_set(((int32_t)(int8_t)(x >> 8) & 0xffff) | (int32_t)(int8_t)(x >> 24) * 65536);
    vw w[4];
    memcpy(&w[0], &even, sizeof even);
    memcpy(&w[1], &odd, sizeof odd);
    memcpy(&w[2], &x_even, sizeof x_even);
    memcpy(&w[3], &x_odd, sizeof x_odd);
    return add_halves(add_halves(sum, w[0] * w[2]), w[1] * w[3]);
}
LANE vi vi_dot4_small(vi sum, vb codes, int32_t x)
{
    return vi_dot4(sum, codes, x);
}

LANE vw vw_load_s8(const int8_t *p)
{
    int8_t bytes __attribute__((vector_size(32)));
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, vw);
}
LANE vi vi_dot2(vi sum, vw codes, int32_t pair)
{
    vi both;
    memcpy(&both, &codes, sizeof both);
    return sum + ((both << 16) >> 16) * vi_set((int16_t)pair) + (both >> 16) * vi_set(pair >> 16);
}

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

LANE vf vf_set(float x)
{
    return (vf){0} + x;
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
LANE vf vf_max(vf a, vf b)
{
    EACH(i) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
LANE vf vf_min(vf a, vf b)
{
    EACH(i) b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}
LANE vf vf_abs(vf a)
{
    EACH(i) a[i] = fabsf(a[i]);
    return a;
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
    EACH(i) a[i] = i < first || i > last ? -INFINITY : a[i];
    return a;
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

LANE vi vi_set(int32_t x)
{
    return (vi){0} + x;
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
LANE vi vi_dot4(vi sum, vb codes, int32_t x)
{
    int8_t xs[4];
    memcpy(xs, &x, sizeof xs);
    EACH(i)
    sum[i] +=
        codes[4 * i] * xs[0] + codes[4 * i + 1] * xs[1] + codes[4 * i + 2] * xs[2] + codes[4 * i + 3] * xs[3];
    return sum;
}
LANE vi vi_dot4_small(vi sum, vb codes, int32_t x)
{
    return vi_dot4(sum, codes, x);
}

LANE vw vw_load_s8(const int8_t *p)
{
    vw x;
    for (int i = 0; i < 32; i++)
        x[i] = p[i];
    return x;
}
LANE vi vi_dot2(vi sum, vw codes, int32_t pair)
{
    int16_t p[2];
    memcpy(p, &pair, sizeof p);
    EACH(i) sum[i] += codes[2 * i] * p[0] + codes[2 * i + 1] * p[1];
    return sum;
}

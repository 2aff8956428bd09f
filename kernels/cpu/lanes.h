/* lanes.h -- sixteen lanes, three ways: the vocabulary in which the hot loops are written once.
 *
 * WHY     The hot loops differ between machines only in what a vector is. Written three times they would drift
 *         apart; written once upon these few functions they cannot.
 *
 * HOW     path_avx512.c, path_avx2.c and path_portable.c each define one LANES_* macro, include this file and then
 *         the loops (products.h, rows.h, attend.h), and are compiled with their own flags. This is the only
 *         place that includes a machine's intrinsics; everything is static, so the three never meet.
 *
 *   vf   16 floats          vi   16 32-bit integers
 *   vb   64 bytes           vw   32 16-bit integers
 *
 *   vf_set, vf_load (no alignment needed), vf_store, vf_add, vf_sub, vf_mul, vf_div
 *   vf_fma(a, b, c)         a b + c, rounded once where the machine can
 *   vf_max(a, b)            a > b ? a : b, so b when a is NaN; vf_min alike
 *   vf_sum, vf_top          over the lanes, in an order that is always the same
 *   vf_keep(a, i, j)        lanes i..j as they are, -infinity in the others; 0 <= i <= j <= 15
 *   vf_power_of_2(n)        2^n for -126 <= n <= 127
 *   vf_load_f16, _bf16      from 32 bytes
 *   vf_load_s8              from 16 signed bytes
 *   vf_load_f8              from 16 bytes E4M3, each 1/256 of its value (NaN becomes 480 / 256)
 *   vi_round                to nearest, ties to even; right for |x| < 2^22
 *   vi_store_s8, _s16       saturated
 *   vi_dot4(sum, codes, x)  sum + for each lane its four unsigned codes times the four signed bytes of x;
 *                           vi_dot4_small needs codes below 128 and is faster on some
 *   vb_low_nibbles, vb_high_nibbles
 *   vb_with_fifth(a, b, i)  a, plus 16 in each byte where bit i of the byte of b is set; a below 16
 *   vb_with_pair(a, b, i)   a, plus 16 times the pair of bits 2i, 2i + 1 of each byte of b; a below 16, i below 4
 *   vb_of_table(t, a)       t[a], a table of sixteen bytes; a below 16
 *   vw_load_s8              32 signed bytes, widened
 *   vi_dot2(sum, c, pair)   sum + for each lane its two words times the two words of pair
 *
 *   LANES_ROWS              rows of a product whose sums fit the registers
 *   LANES_COUNTS(X)         X(1) X(2) ... X(LANES_ROWS): cases that make a count a constant
 */
#ifndef WM_KERNELS_CPU_LANES_H
#define WM_KERNELS_CPU_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANE static inline __attribute__((always_inline, unused))

/* Loops over rows must vanish, or their sums live in memory. A sanitized build wants them checked, not fast: unrolled,
 * every access with its checks, they take minutes to compile. The bits are the same. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LANES_ROLLED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LANES_ROLLED
#endif
#endif

#ifdef LANES_ROLLED
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(LANES_AVX512)
#include "kernels/cpu/lanes_avx512.h"
#elif defined(LANES_AVX2)
#include "kernels/cpu/lanes_avx2.h"
#else
#include "kernels/cpu/lanes_portable.h"
#endif

LANE int32_t load_32(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Sixteen floats from p, of which `left` exist; zeros behind them. */
LANE vf load_some(const float *p, size_t left)
{
    if (left >= 16)
        return vf_load(p);
    float some[16] = {0};
    memcpy(some, p, left * sizeof *p);
    return vf_load(some);
}

/* e^x within 2 units in the last place, 1 exactly at 0. Below -87 it stays at the smallest normal float's size. */
LANE vf vf_exp(vf x)
{
    x = vf_max(vf_min(x, vf_set(88)), vf_set(-87));
    vi n = vi_round(vf_mul(x, vf_set(0x1.715476p+0f)));
    vf whole = vf_of_int(n);
    /* r = x - n ln 2, ln 2 in two parts; |r| <= ln 2 / 2 */
    vf r = vf_fma(whole, vf_set(-0x1.62e4p-1f), x);
    r = vf_fma(whole, vf_set(-0x1.7f7d1cp-20f), r);
    vf sum = vf_set(1.0f / 5040); /* the series of e^r: what is cut off is below 5e-9 */
    sum = vf_fma(sum, r, vf_set(1.0f / 720));
    sum = vf_fma(sum, r, vf_set(1.0f / 120));
    sum = vf_fma(sum, r, vf_set(1.0f / 24));
    sum = vf_fma(sum, r, vf_set(1.0f / 6));
    sum = vf_fma(sum, r, vf_set(1.0f / 2));
    sum = vf_fma(sum, r, vf_set(1));
    sum = vf_fma(sum, r, vf_set(1));
    return vf_mul(sum, vf_power_of_2(n));
}

#endif

/* lanes_avx512.h -- sixteen lanes in one register: AVX-512 F, BW, VL, DQ and VNNI. Contract: lanes.h. */
#include <immintrin.h>

#define LANES_NAME      "avx512"
#define LANES_TEXT      "AVX-512 VNNI"
#define LANES_COUNTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
enum { LANES_ROWS = 12 }; /* 12 sums, 12 integer sums and the weights fit 32 registers */

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vb;
typedef __m512i vw;

LANE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
LANE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
LANE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
LANE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
LANE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
LANE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
LANE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
LANE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
LANE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
LANE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
LANE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
LANE float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
LANE float vf_top(vf a)
{
    return _mm512_reduce_max_ps(a);
}
LANE vf vf_keep(vf a, int first, int last)
{
    __mmask16 keep = (__mmask16)((0xffffu >> (15 - last)) & (0xffffu << first));
    return _mm512_mask_blend_ps(keep, _mm512_set1_ps(-INFINITY), a);
}
LANE vf vf_of_int(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
LANE vf vf_power_of_2(vi n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}
LANE vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
LANE vf vf_load_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
LANE vf vf_load_s8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
/* Seven bits up, E4M3 is a half float with an exponent too small by 8: its sign, copied twice, must be one. */
LANE vf vf_load_f8(const void *p)
{
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 7);
    return _mm512_cvtph_ps(_mm256_and_si256(wide, _mm256_set1_epi16((int16_t)0xbfff)));
}

LANE vi vi_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}
LANE vi vi_round(vf a)
{
    return _mm512_cvtps_epi32(a);
}
LANE int32_t vi_sum(vi a)
{
    return _mm512_reduce_add_epi32(a);
}
LANE void vi_store_s8(int8_t *p, vi a)
{
    _mm_storeu_si128((void *)p, _mm512_cvtsepi32_epi8(a));
}
LANE void vi_store_s16(int16_t *p, vi a)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtsepi32_epi16(a));
}

LANE vb vb_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}
LANE vb vb_low_nibbles(vb a)
{
    return _mm512_and_si512(a, _mm512_set1_epi8(15));
}
LANE vb vb_high_nibbles(vb a)
{
    return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15));
}
LANE vb vb_with_fifth(vb a, vb bits, int i)
{
    __mmask64 set = _mm512_test_epi8_mask(bits, _mm512_set1_epi8((char)(1 << i)));
    return _mm512_mask_add_epi8(a, set, a, _mm512_set1_epi8(16));
}
/* The pair is moved to bits 4 and 5; what comes over from the byte beside is masked away. */
LANE vb vb_with_pair(vb a, vb bits, int i)
{
    __m512i moved = i == 0   ? _mm512_slli_epi16(bits, 4)
                    : i == 1 ? _mm512_slli_epi16(bits, 2)
                    : i == 2 ? bits
                             : _mm512_srli_epi16(bits, 2);
    return _mm512_or_si512(a, _mm512_and_si512(moved, _mm512_set1_epi8(0x30)));
}
LANE vb vb_of_table(const uint8_t *table, vb a)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table)), a);
}
LANE vi vi_dot4_small(vi sum, vb codes, int32_t x)
{
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x));
}
LANE vi vi_dot4(vi sum, vb codes, int32_t x)
{
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x));
}

LANE vw vw_load_s8(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p));
}
LANE vi vi_dot2(vi sum, vw codes, int32_t pair)
{
    return _mm512_dpwssd_epi32(sum, codes, _mm512_set1_epi32(pair));
}

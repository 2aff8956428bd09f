/* lanes_avx2.h -- sixteen lanes in two registers: AVX2, FMA and F16C. Contract: lanes.h. */
#include <immintrin.h>

#define LANES_NAME      "avx2"
#define LANES_TEXT      "AVX2"
#define LANES_COUNTS(X) X(1) X(2) X(3)
enum {
    LANES_ROWS = 3
}; /* 3 x 2 sums and 3 x 2 integer sums leave four of the sixteen registers for weights */

typedef struct {
    __m256 lo, hi;
} vf;
typedef struct {
    __m256i lo, hi;
} vi;
typedef vi vb;
typedef vi vw;

/* A function of one or two operands, done for either half. */
#define BOTH(type, name, operation)                                                                          \
    LANE type name(type a, type b)                                                                           \
    {                                                                                                        \
        return (type){operation(a.lo, b.lo), operation(a.hi, b.hi)};                                         \
    }
BOTH(vf, vf_add, _mm256_add_ps)
BOTH(vf, vf_sub, _mm256_sub_ps)
BOTH(vf, vf_mul, _mm256_mul_ps)
BOTH(vf, vf_div, _mm256_div_ps)
BOTH(vf, vf_max, _mm256_max_ps)
BOTH(vf, vf_min, _mm256_min_ps)
BOTH(vi, vi_add, _mm256_add_epi32)
#undef BOTH

LANE vf vf_set(float x)
{
    return (vf){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
LANE vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
LANE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
LANE vf vf_fma(vf a, vf b, vf c)
{
    return (vf){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
LANE vf vf_abs(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
LANE float vf_sum(vf a)
{
    __m256 eight = _mm256_add_ps(a.lo, a.hi);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
LANE float vf_top(vf a)
{
    __m256 eight = _mm256_max_ps(a.lo, a.hi);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
LANE __m256 keep_half(__m256 a, __m256i lane, int first, int last)
{
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane);
    __m256i above = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(last));
    return _mm256_blendv_ps(a, _mm256_set1_ps(-INFINITY), _mm256_castsi256_ps(_mm256_or_si256(below, above)));
}
LANE vf vf_keep(vf a, int first, int last)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vf){keep_half(a.lo, lane, first, last),
                keep_half(a.hi, _mm256_add_epi32(lane, _mm256_set1_epi32(8)), first, last)};
}
LANE vf vf_of_int(vi a)
{
    return (vf){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
LANE __m256 power_of_2_half(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
LANE vf vf_power_of_2(vi n)
{
    return (vf){power_of_2_half(n.lo), power_of_2_half(n.hi)};
}
LANE vf vf_load_f16(const void *p)
{
    const __m128i *h = p;
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1))};
}
LANE __m256 load_bf16_half(const __m128i *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
LANE vf vf_load_bf16(const void *p)
{
    const __m128i *h = p;
    return (vf){load_bf16_half(h), load_bf16_half(h + 1)};
}
LANE __m256 load_s8_half(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}
LANE vf vf_load_s8(const void *p)
{
    return (vf){load_s8_half(p), load_s8_half((const char *)p + 8)};
}
/* Seven bits up, E4M3 is a half float with an exponent too small by 8: its sign, copied twice, must be one. */
LANE vf vf_load_f8(const void *p)
{
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 7);
    wide = _mm256_and_si256(wide, _mm256_set1_epi16((int16_t)0xbfff));
    return (vf){_mm256_cvtph_ps(_mm256_castsi256_si128(wide)),
                _mm256_cvtph_ps(_mm256_extracti128_si256(wide, 1))};
}

LANE vi vi_set(int32_t x)
{
    return (vi){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
LANE vi vi_round(vf a)
{
    return (vi){_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
LANE int32_t vi_sum(vi a)
{
    __m256i eight = _mm256_add_epi32(a.lo, a.hi);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
LANE __m256i pack_s16(vi a)
{
    /* packs works within 128-bit lanes: put the four quarters back in order */
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
}
LANE void vi_store_s8(int8_t *p, vi a)
{
    __m256i words = pack_s16(a);
    _mm_storeu_si128((void *)p,
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
LANE void vi_store_s16(int16_t *p, vi a)
{
    _mm256_storeu_si256((void *)p, pack_s16(a));
}

LANE vb vb_load(const uint8_t *p)
{
    const __m256i *h = (const void *)p;
    return (vb){_mm256_loadu_si256(h), _mm256_loadu_si256(h + 1)};
}
LANE vb vb_low_nibbles(vb a)
{
    __m256i mask = _mm256_set1_epi8(15);
    return (vb){_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)};
}
LANE vb vb_high_nibbles(vb a)
{
    return vb_low_nibbles((vb){_mm256_srli_epi16(a.lo, 4), _mm256_srli_epi16(a.hi, 4)});
}
LANE __m256i fifth_half(__m256i a, __m256i bits, __m256i mask)
{
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, mask), mask);
    return _mm256_or_si256(a, _mm256_and_si256(set, _mm256_set1_epi8(16)));
}
LANE vb vb_with_fifth(vb a, vb bits, int i)
{
    __m256i mask = _mm256_set1_epi8((char)(1 << i));
    return (vb){fifth_half(a.lo, bits.lo, mask), fifth_half(a.hi, bits.hi, mask)};
}
/* The pair is moved to bits 4 and 5; what comes over from the byte beside is masked away. */
LANE __m256i pair_half(__m256i a, __m256i bits, int i)
{
    __m256i moved = i == 0   ? _mm256_slli_epi16(bits, 4)
                    : i == 1 ? _mm256_slli_epi16(bits, 2)
                    : i == 2 ? bits
                             : _mm256_srli_epi16(bits, 2);
    return _mm256_or_si256(a, _mm256_and_si256(moved, _mm256_set1_epi8(0x30)));
}
LANE vb vb_with_pair(vb a, vb bits, int i)
{
    return (vb){pair_half(a.lo, bits.lo, i), pair_half(a.hi, bits.hi, i)};
}
LANE vb vb_of_table(const uint8_t *table, vb a)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
    return (vb){_mm256_shuffle_epi8(t, a.lo), _mm256_shuffle_epi8(t, a.hi)};
}
/* u8 x s8 in pairs saturates at 16 bits: two products of a code below 128 fit, of a larger one they need not. */
LANE __m256i dot4_half(__m256i codes, __m256i x, int16_t weight)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(weight));
}
LANE vi vi_dot4_small(vi sum, vb codes, int32_t x)
{
    __m256i xs = _mm256_set1_epi32(x);
    return vi_add(sum, (vi){dot4_half(codes.lo, xs, 1), dot4_half(codes.hi, xs, 1)});
}
LANE vi vi_dot4(vi sum, vb codes, int32_t x)
{
    __m256i xs = _mm256_set1_epi32(x), low = _mm256_set1_epi8(127), top = _mm256_set1_epi8(1);
    vb rest = {_mm256_and_si256(codes.lo, low), _mm256_and_si256(codes.hi, low)};
    vb tops = {_mm256_and_si256(_mm256_srli_epi16(codes.lo, 7), top),
               _mm256_and_si256(_mm256_srli_epi16(codes.hi, 7), top)};
    sum = vi_add(sum, (vi){dot4_half(rest.lo, xs, 1), dot4_half(rest.hi, xs, 1)});
    return vi_add(sum, (vi){dot4_half(tops.lo, xs, 128), dot4_half(tops.hi, xs, 128)});
}

LANE vw vw_load_s8(const int8_t *p)
{
    const __m128i *h = (const void *)p;
    return (vw){_mm256_cvtepi8_epi16(_mm_loadu_si128(h)), _mm256_cvtepi8_epi16(_mm_loadu_si128(h + 1))};
}
LANE vi vi_dot2(vi sum, vw codes, int32_t pair)
{
    __m256i p = _mm256_set1_epi32(pair);
    return vi_add(sum, (vi){_mm256_madd_epi16(codes.lo, p), _mm256_madd_epi16(codes.hi, p)});
}

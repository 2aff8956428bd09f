/* attend.h -- one KV block against the queries that share its head.
 *
 * WHY     A long conversation's cost is here: every new token reads K and V of all positions before it. The
 *         cache is held in 8 bits, and the query heads of one KV head go through it together.
 *
 * HOW     Scores: K widened to 16 bits, 16 positions a time, against queries of 16 bits; exact in 32-bit integers. The
 *         softmax runs along (largest score so far, sum so far; both corrected when a larger one comes). The weights
 *         times the scales of V become 16-bit integers once more, with one scale per block, and meet V the same way.
 *         16 bits on one side keep what matters: the only loss is that of the 8-bit cache itself.
 *
 * ALWAYS  What is done for one query does not depend on the others of its tile, nor on their number.
 *
 * Included by the path_*.c files, after lanes.h.
 */
#include "kernels/cpu/path.h"

static void attend_start(struct wm_attend *a, int v, const float *q, float scale)
{
    float padded[WM_MAX_HEAD_DIM + 16];
    int n = a->head_dim;
    memcpy(padded, q, (size_t)n * sizeof *q);
    memset(padded + n, 0, 16 * sizeof *q);
    vf most = vf_set(0);
    for (int i = 0; i < n; i += 16)
        most = vf_max(vf_abs(vf_load(padded + i)), most);
    float top = vf_top(most);
    vf inverse = vf_set(top > 0 ? 32767 / top : 0);
    for (int i = 0; i < n; i += 16) {
        int16_t codes[16];
        vi_store_s16(codes, vi_round(vf_mul(vf_load(padded + i), inverse)));
        for (int j = 0; j < 16 && i + j < n; j += 2)
            a->q[(i + j) / 2][v] = load_32(codes + j);
    }
    a->q_scale[v] = top / 32767 * scale;
    a->max[v] = -INFINITY;
    a->sum[v] = 0;
    memset(a->acc[v], 0, sizeof a->acc[v]);
}

/* scores[v][0..31] of `vectors` queries from q on. */
LANE void score(int vectors, int head_dim, const int32_t *q, const uint8_t *k, float (*scores)[32])
{
    for (int half = 0; half < 2; half++) {
        const int8_t *codes = (const int8_t *)k + half * head_dim * 16;
        vi dot[LANES_ROWS];
        UNROLL for (int v = 0; v < vectors; v++) dot[v] = vi_set(0);
        for (int i = 0; i < head_dim / 2; i++) {
            vw pair = vw_load_s8(codes + 32 * i);
            UNROLL for (int v = 0; v < vectors; v++) dot[v] = vi_dot2(dot[v], pair, q[i * WM_TILE_ROWS + v]);
        }
        UNROLL for (int v = 0; v < vectors; v++) vf_store(scores[v] + 16 * half, vf_of_int(dot[v]));
    }
}

/* acc[v] = acc[v] * correction[v] + weight_scale[v] * (weights of v . V) */
LANE void mix(int vectors, int head_dim, const int16_t (*weights)[32], const uint8_t *values,
              const float *correction, const float *weight_scale, float (*acc)[WM_MAX_HEAD_DIM])
{
    int width = (head_dim + 15) / 16 * 16;
    for (int d = 0; d < width; d += 16) {
        vi dot[LANES_ROWS];
        UNROLL for (int v = 0; v < vectors; v++) dot[v] = vi_set(0);
        for (int i = 0; i < WM_KV_BLOCK / 2; i++) {
            vw pair = vw_load_s8((const int8_t *)values + (i * width + d) * 2);
            UNROLL for (int v = 0; v < vectors; v++) dot[v] =
                vi_dot2(dot[v], pair, load_32(weights[v] + 2 * i));
        }
        UNROLL for (int v = 0; v < vectors; v++)
            vf_store(acc[v] + d, vf_fma(vf_of_int(dot[v]), vf_set(weight_scale[v]),
                                        vf_mul(vf_load(acc[v] + d), vf_set(correction[v]))));
    }
}

/* Vector v sees positions low..high of the block: its weights, and what the past is multiplied by. */
LANE void soften(struct wm_attend *a, int v, float *scores, const float *k_scale, const float *v_scale,
                 int low, int high, int16_t *weights, float *correction, float *weight_scale)
{
    vf scale = vf_set(a->q_scale[v]);
    vf s0 = vf_mul(vf_load(scores), vf_mul(scale, vf_load(k_scale)));
    vf s1 = vf_mul(vf_load(scores + 16), vf_mul(scale, vf_load(k_scale + 16)));
    if (low > 0 || high < 31) {
        s0 = low > 15 ? vf_set(-INFINITY) : vf_keep(s0, low, high < 15 ? high : 15);
        s1 = high < 16 ? vf_set(-INFINITY) : vf_keep(s1, low > 16 ? low - 16 : 0, high - 16);
    }
    float top = vf_top(vf_max(s0, s1));
    float max = a->max[v] > top ? a->max[v] : top;
    vf p0 = vf_exp(vf_sub(s0, vf_set(max))), p1 = vf_exp(vf_sub(s1, vf_set(max)));
    float before[16];
    vf_store(before, vf_exp(vf_set(a->max[v] - max)));
    *correction = before[0];
    a->sum[v] = a->sum[v] * *correction + vf_sum(vf_add(p0, p1));
    a->max[v] = max;

    p0 = vf_mul(p0, vf_load(v_scale));
    p1 = vf_mul(p1, vf_load(v_scale + 16));
    float most = vf_top(vf_max(p0, p1));
    vf inverse = vf_set(most > 0 ? 32767 / most : 0);
    vi_store_s16(weights, vi_round(vf_mul(p0, inverse)));
    vi_store_s16(weights + 16, vi_round(vf_mul(p1, inverse)));
    *weight_scale = most / 32767;
}

/* Vectors [first, first + vectors) of the tile. */
LANE void attend_some(struct wm_attend *a, int first, int vectors, const uint8_t *k, const uint8_t *v,
                      int low, const int *high)
{
    float scores[LANES_ROWS][32], correction[LANES_ROWS], weight_scale[LANES_ROWS];
    int16_t weights[LANES_ROWS][32];
    const float *k_scale = (const float *)(k + wm_k_scales(a->head_dim));
    const float *v_scale = (const float *)(v + wm_v_scales(a->head_dim));
    score(vectors, a->head_dim, &a->q[0][first], k, scores);
    for (int i = 0; i < vectors; i++)
        soften(a, first + i, scores[i], k_scale, v_scale, low, high[first + i], weights[i], &correction[i],
               &weight_scale[i]);
    mix(vectors, a->head_dim, weights, v, correction, weight_scale, &a->acc[first]);
}

static void attend_block(struct wm_attend *a, int first, const uint8_t *k, const uint8_t *v, int low,
                         const int *high)
{
    for (; first < a->vectors; first += LANES_ROWS) {
        int vectors = a->vectors - first < LANES_ROWS ? a->vectors - first : LANES_ROWS;
#ifdef LANES_ROLLED
        attend_some(a, first, vectors, k, v, low, high);
#else
        switch (vectors) {
#define X(n)                                                                                                 \
    case n:                                                                                                  \
        attend_some(a, first, n, k, v, low, high);                                                           \
        break;
            LANES_COUNTS(X)
#undef X
        }
#endif
    }
}

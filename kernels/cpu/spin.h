/* spin.h -- nothing but multiplications, or nothing but loads: what this machine could do at most (peaks.c).
 * Included by the path_*.c files, after lanes.h. */
#include "kernels/cpu/path.h"

static int32_t spin_dot4(int64_t rounds)
{
    static const uint8_t line[64] = {1, 2, 3};
    vb codes = vb_load(line);
    vi sum[LANES_ROWS];
    UNROLL for (int r = 0; r < LANES_ROWS; r++) sum[r] = vi_set(r);
    for (int64_t i = 0; i < rounds; i++)
        UNROLL for (int r = 0; r < LANES_ROWS; r++) sum[r] = vi_dot4_small(sum[r], codes, (int32_t)i);
    int32_t total = 0;
    UNROLL for (int r = 0; r < LANES_ROWS; r++) total ^= vi_sum(sum[r]);
    return total;
}

static float spin_fma(int64_t rounds)
{
    vf sum[LANES_ROWS], factor = vf_set(0.5f);
    UNROLL for (int r = 0; r < LANES_ROWS; r++) sum[r] = vf_set((float)r);
    for (int64_t i = 0; i < rounds; i++)
        UNROLL for (int r = 0; r < LANES_ROWS; r++) sum[r] = vf_fma(sum[r], factor, factor);
    float total = 0;
    UNROLL for (int r = 0; r < LANES_ROWS; r++) total += vf_sum(sum[r]);
    return total;
}

static int32_t read_memory(const uint8_t *memory, size_t bytes)
{
    vi a = vi_set(0), b = a, c = a, d = a;
    for (size_t i = 0; i < bytes; i += 256) {
        a = vi_dot4_small(a, vb_load(memory + i), 1);
        b = vi_dot4_small(b, vb_load(memory + i + 64), 1);
        c = vi_dot4_small(c, vb_load(memory + i + 128), 1);
        d = vi_dot4_small(d, vb_load(memory + i + 192), 1);
    }
    return vi_sum(a) ^ vi_sum(b) ^ vi_sum(c) ^ vi_sum(d);
}

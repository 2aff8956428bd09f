/* kv_size.c -- how the memory for KV is divided between the layer groups.
 *
 * WHY     A conversation needs global blocks for its whole history, and local ones for a chunk at most. Which
 *         pool runs dry first depends on how long conversations are; pools of fixed sizes are what every face
 *         can have.
 *
 * HOW     The rule: the pools are to each other as the needs of one conversation that fills its context. So
 *         both end together when conversations are long, and, while the context is no longer than a chunk,
 *         always. When the ceiling does not hold one such conversation the context shrinks to what it does
 *         hold: admission never fails midway.
 */
#include "engine/kv_size.h"

enum { MAX_BLOCKS = 1 << 24 };

static size_t bytes_for(const size_t block_bytes[WM_KV_GROUPS], const struct wm_kv_cache_options *o,
                        int64_t positions)
{
    size_t bytes = 0;
    for (int g = 0; g < WM_KV_GROUPS; g++)
        bytes += (size_t)wm_kv_cache_most_blocks(o, g, positions) * block_bytes[g];
    return bytes;
}

bool wm_kv_size(size_t ceiling, const size_t block_bytes[WM_KV_GROUPS], struct wm_kv_cache_options *options,
                int32_t *context)
{
    for (int g = 0; g < WM_KV_GROUPS; g++)
        options->blocks[g] = block_bytes[g] ? 1 : 0;           /* tells most_blocks that the group is there */
    int64_t fits = (*context + WM_KV_BLOCK - 1) / WM_KV_BLOCK; /* in blocks of positions: the most that fit */
    if (bytes_for(block_bytes, options, fits * WM_KV_BLOCK) > ceiling || fits > MAX_BLOCKS) {
        int64_t too_many = fits < MAX_BLOCKS ? fits : MAX_BLOCKS;
        for (fits = 0; fits + 1 < too_many;) {
            int64_t middle = fits + (too_many - fits) / 2;
            if (bytes_for(block_bytes, options, middle * WM_KV_BLOCK) <= ceiling)
                fits = middle;
            else
                too_many = middle;
        }
        *context = (int32_t)(fits * WM_KV_BLOCK);
    }
    size_t one = bytes_for(block_bytes, options, fits * WM_KV_BLOCK);
    if (one == 0)
        return false;
    double conversations = (double)ceiling / (double)one;
    int64_t most[WM_KV_GROUPS];
    for (int g = 0; g < WM_KV_GROUPS; g++)
        most[g] = wm_kv_cache_most_blocks(options, g, fits * WM_KV_BLOCK);
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        double blocks = (double)most[g] * conversations;
        options->blocks[g] = blocks < MAX_BLOCKS ? (int32_t)blocks : MAX_BLOCKS;
        if (options->blocks[g] < most[g]) /* rounding */
            options->blocks[g] = (int32_t)most[g];
    }
    return true;
}

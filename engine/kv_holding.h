/* kv_holding.h -- what each owner has in the KV cache, and how it grows and shrinks. Private to kv_holding.c
 * and kv_cache.c, whose essay says what always holds. */
#ifndef WM_ENGINE_KV_HOLDING_H
#define WM_ENGINE_KV_HOLDING_H

#include "engine/kv_cache.h"
#include "engine/program.h"

struct wm_kv_holding {
    struct wm_lease lease; /* first: a lease is its holding */
    size_t local_from;
    int32_t written[WM_KV_GROUPS];  /* blocks [0, written) of a table have been touched: discarding others
                                      would be for nothing */
    struct wm_kv_picture *pictures; /* of the prompt that came last; those past ids.n count for nothing */
    size_t n_pictures;
    size_t positions; /* while leased */
    bool leased, forgotten;
    struct wm_kv_holding *chain;         /* next with the same hash of owner */
    struct wm_kv_holding *older, *newer; /* residents by last use */
};

struct wm_kv_pool {
    int32_t n_blocks, n_free, n_resident;
    int32_t *free; /* [n_free], a stack */
};

struct wm_kv_cache {
    struct wm_kv_cache_options options;
    struct wm_kv_pool pools[WM_KV_GROUPS];
    uint64_t evicted, ended;
    struct wm_kv_holding *oldest, *newest;
    size_t mask;
    struct wm_kv_holding *buckets[]; /* [mask + 1] */
};

/* Where the chunk of a position begins. */
size_t wm_kv_chunk_start(const struct wm_kv_cache_options *o, size_t position);

/* Blocks that positions [from, positions) of a group need at one time; `from` begins a chunk. */
int64_t wm_kv_needed(const struct wm_kv_cache_options *o, int group, int64_t from, int64_t positions);

/* Blocks that hold `positions` positions from the beginning. */
static inline int64_t wm_kv_blocks_for(int64_t positions)
{
    return (positions + WM_KV_BLOCK - 1) / WM_KV_BLOCK;
}

/* The owner's holding, or NULL; owner 0 has none that could be found. A new one is in no list of residents.
 * NULL: no memory. */
struct wm_kv_holding *wm_kv_find_holding(const struct wm_kv_cache *c, uint64_t owner);
struct wm_kv_holding *wm_kv_new_holding(struct wm_kv_cache *c, uint64_t owner);

/* Blocks of both groups. */
int32_t wm_kv_held_blocks(const struct wm_kv_holding *h);

/* Its blocks come within (1), or out of (-1), the reach of eviction. */
void wm_kv_count_resident(struct wm_kv_cache *c, const struct wm_kv_holding *h, int sign);
void wm_kv_unlink_resident(struct wm_kv_cache *c, struct wm_kv_holding *h);
void wm_kv_link_newest(struct wm_kv_cache *c, struct wm_kv_holding *h);

/* Only the first `n` tokens stay, or fewer, where the sequence could not go on behind them; and no blocks but
 * theirs. `discard`: the face is told of blocks that were written. */
void wm_kv_shorten(struct wm_kv_cache *c, struct wm_kv_holding *h, size_t n, bool discard);

/* A chunk may have ended: its blocks move to the back of the window, and what is no longer needed there is
 * freed. */
void wm_kv_slide(struct wm_kv_cache *c, struct wm_kv_holding *h);

/* Of a holding that is neither resident nor running any more. */
void wm_kv_destroy_holding(struct wm_kv_cache *c, struct wm_kv_holding *h, bool discard);

#endif

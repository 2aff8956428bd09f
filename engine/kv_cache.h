/* kv_cache.h -- which KV blocks hold whose tokens. Bookkeeping only: the bytes are the face's. Design:
 * kv_cache.c.
 *
 * Not thread-safe: the engine thread changes it, under the engine's lock, so that others may ask what an
 * owner holds.
 */
#ifndef WM_ENGINE_KV_CACHE_H
#define WM_ENGINE_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/tokens.h"
#include "kernels/base/error.h"
#include "kernels/ops.h"

struct wm_kv_cache;

struct wm_kv_cache_options {
    int32_t blocks[WM_KV_GROUPS]; /* of each group's pool; 0: the model has no layers of that group */
    int64_t chunk;                /* positions after which the local group begins anew; 0: never */
    int32_t reach;                /* positions of one sequence that a step may write, at most */
    void (*discard)(void *arg, int group, int32_t block); /* told of a block that was written and is no
                                                             longer wanted; NULL is fine */
    void *arg;
};

/* The blocks of a sequence in one group: position p lies in blocks[p / WM_KV_BLOCK - first]. */
struct wm_kv_table {
    int32_t *blocks;
    int32_t n;
    int64_t first;
};

/* What one sequence holds. The engine reads it while the sequence runs; only the cache changes it. */
struct wm_lease {
    uint64_t owner;
    struct wm_tokens ids; /* the tokens whose K and V are there: positions [0, ids.n) */
    struct wm_kv_table table[WM_KV_GROUPS];
};

/* A picture in a token list: its first slot, and what tells it from another in the same place. */
struct wm_kv_picture {
    size_t at;
    uint8_t hash[WM_PICTURE_HASH];
};

/* What a sequence asks for. */
struct wm_kv_ask {
    uint64_t owner;
    const int32_t *ids; /* the prompt, [n] */
    size_t n;
    const struct wm_kv_picture *pictures; /* by rising place */
    size_t n_pictures;
    size_t most;      /* tokens of the prompt that may be taken as done */
    size_t positions; /* that it can ever need */
};

enum wm_status wm_kv_cache_new(const struct wm_kv_cache_options *options, struct wm_kv_cache **out,
                               struct wm_error *err);
void wm_kv_cache_free(struct wm_kv_cache *c); /* after every lease was returned; NULL is fine */

/* Blocks of one group that a sequence of `positions` positions holds at most: what a pool must have to run
 * it. */
int64_t wm_kv_cache_most_blocks(const struct wm_kv_cache_options *options, int group, int64_t positions);

/* Blocks for all positions, at once, so that a sequence never fails on its way. Of what the owner left behind
 * the longest prefix equal to the prompt in tokens and pictures stays, at most `most` tokens, and back to the
 * beginning of its chunk where that chunk's blocks are gone: lease->ids. Others' blocks are evicted as
 * needed. WM_EAGAIN: too many are in use by running sequences, nothing has changed; WM_EEXIST: this owner is
 * running; WM_ELIMIT: more than there are; WM_ENOMEM. */
enum wm_status wm_kv_cache_lease(struct wm_kv_cache *c, const struct wm_kv_ask *ask, struct wm_lease **out);

/* K and V of these tokens have been written behind those the lease has; what their chunk has left behind is
 * freed. At most `reach` at a time. WM_ENOMEM. */
enum wm_status wm_kv_cache_wrote(struct wm_kv_cache *c, struct wm_lease *lease, const int32_t *ids, size_t n);

/* Ends a lease. `keep`: the owner's next request may find its tokens; owner 0 keeps nothing. */
void wm_kv_cache_return(struct wm_kv_cache *c, struct wm_lease *lease, bool keep);

/* Drops what the owner left behind; of a running one, when it returns. */
void wm_kv_cache_forget(struct wm_kv_cache *c, uint64_t owner);

bool wm_kv_cache_runs(const struct wm_kv_cache *c, uint64_t owner); /* does it hold a lease now? */
int32_t wm_kv_cache_blocks_of(const struct wm_kv_cache *c, uint64_t owner,
                              int group); /* leased or left behind */

struct wm_kv_cache_counts {
    int32_t blocks[WM_KV_GROUPS], used[WM_KV_GROUPS];
    uint64_t evicted; /* blocks, ever */
    uint64_t ended;   /* blocks of the local group whose chunk had ended, ever */
};
struct wm_kv_cache_counts wm_kv_cache_counts(const struct wm_kv_cache *c);

#endif

/* kv_cache.h -- which KV blocks hold whose tokens. Bookkeeping only: the bytes are the face's. Design: kv_cache.c.
 *
 * Not thread-safe: the engine thread changes it, under the engine's lock, so that others may ask what an owner holds.
 */
#ifndef WM_ENGINE_KV_CACHE_H
#define WM_ENGINE_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tokens.h"
#include "kernels/base/error.h"

struct wm_kv_cache;

/* What one sequence holds. The engine reads it while the sequence runs; only the cache changes it. */
struct wm_lease {
    uint64_t owner;
    struct wm_tokens ids; /* the tokens whose K and V are there: positions [0, ids.n) */
    int32_t *blocks;      /* [n_blocks]: position p lies in blocks[p / WM_KV_BLOCK] */
    int32_t n_blocks;
};

/* `discard` (may be NULL) is told of a block that was written and is no longer wanted. */
enum wm_status wm_kv_cache_new(int32_t blocks, void (*discard)(void *arg, int32_t block), void *arg,
                               struct wm_kv_cache **out, struct wm_error *err);
void wm_kv_cache_free(struct wm_kv_cache *c); /* after every lease was returned; NULL is fine */

/* Blocks for `positions` positions, all of them at once, so that a sequence never fails on its way. Of what the owner
 * left behind the longest prefix equal to prompt[0..n) stays, at most `most` tokens: lease->ids. Others' blocks
 * are evicted as needed. WM_EAGAIN: too many are in use by running sequences, nothing has changed; WM_EEXIST: this owner is running;
 * WM_ELIMIT: more than there are. */
enum wm_status wm_kv_cache_lease(struct wm_kv_cache *c, uint64_t owner, const int32_t *prompt, size_t n,
                                 size_t most, size_t positions, struct wm_lease **out);

/* K and V of these tokens have been written behind those the lease has. WM_ENOMEM. */
enum wm_status wm_kv_cache_wrote(struct wm_lease *lease, const int32_t *ids, size_t n);

/* Ends a lease. `keep`: the owner's next request may find its tokens; owner 0 keeps nothing. */
void wm_kv_cache_return(struct wm_kv_cache *c, struct wm_lease *lease, bool keep);

/* Drops what the owner left behind; of a running one, when it returns. */
void wm_kv_cache_forget(struct wm_kv_cache *c, uint64_t owner);

bool wm_kv_cache_runs(const struct wm_kv_cache *c, uint64_t owner);         /* does it hold a lease now? */
int32_t wm_kv_cache_blocks_of(const struct wm_kv_cache *c, uint64_t owner); /* leased or left behind */

struct wm_kv_cache_counts {
    int32_t blocks, used;
    uint64_t evicted; /* blocks, ever */
};
struct wm_kv_cache_counts wm_kv_cache_counts(const struct wm_kv_cache *c);

#endif

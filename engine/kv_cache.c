/* kv_cache.c -- which KV blocks hold whose tokens.
 *
 * WHY     Turn 40 of a conversation should cost what turn 2 costs, so what a sequence computed stays after its end; yet memory
 *         is finite, and a running sequence must never find it gone.
 *
 * HOW     Every owner has one holding: blocks and the tokens that lie in them. A holding is leased while a sequence runs
 *         and resident afterwards, in a list by last use. A lease takes over the owner's residence as far as the new
 *         prompt is equal *token for token*, then takes blocks from the free list, then from the residents used
 *         longest ago, from their tails: a shortened prefix is still a prefix.
 *
 *           free list <--> leased by a sequence --return--> resident --evicted from the tail--> free list
 *                                  ^--------- same owner again --'
 *
 * ALWAYS  (1) A block is in the free list or in exactly one holding.
 *         (2) A lease has all its blocks from the start: admission may fail, the way to the end may not.
 *         (3) ids.n <= n_blocks x WM_KV_BLOCK.
 *         (4) Nothing is shared between owners, and owner 0 leaves nothing behind.
 *
 * LIMITS  Reserving prompt + max_tokens at once wastes blocks of replies that stay short, for as long as they run; untouched
 *         blocks cost no memory. A tree with shared prefixes and slower tiers can take the place of the one list per owner
 *         behind the same functions.
 */
#include "engine/kv_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"

enum { MIN_BUCKETS = 64, MAX_BUCKETS = 1 << 16 };

struct holding {
    struct wm_lease lease; /* first: a lease is its holding */
    int32_t written;       /* blocks [0, written) have been touched: discarding others would be for nothing */
    bool leased, forgotten;
    struct holding *chain;         /* next with the same hash of owner */
    struct holding *older, *newer; /* residents by last use */
};

struct wm_kv_cache {
    int32_t n_blocks, n_free, n_resident; /* blocks */
    int32_t *free;                        /* [n_free], a stack */
    uint64_t evicted;
    struct holding *oldest, *newest;
    void (*discard)(void *arg, int32_t block);
    void *arg;
    size_t mask;
    struct holding *buckets[]; /* [mask + 1] */
};

enum wm_status wm_kv_cache_new(int32_t blocks, void (*discard)(void *arg, int32_t block), void *arg,
                               struct wm_kv_cache **out, struct wm_error *err)
{
    size_t buckets = MIN_BUCKETS;
    while (buckets < (size_t)blocks && buckets < MAX_BUCKETS)
        buckets *= 2;
    struct wm_kv_cache *c = calloc(1, sizeof *c + buckets * sizeof *c->buckets);
    int32_t *free_blocks = malloc((size_t)blocks * sizeof *free_blocks + 1);
    if (!c || !free_blocks) {
        free(c);
        free(free_blocks);
        return wm_fail(err, WM_ENOMEM, "no memory to keep %d KV blocks in order", blocks);
    }
    for (int32_t i = 0; i < blocks; i++)
        free_blocks[i] = blocks - 1 - i; /* low numbers first */
    c->free = free_blocks;
    c->n_blocks = c->n_free = blocks;
    c->discard = discard;
    c->arg = arg;
    c->mask = buckets - 1;
    *out = c;
    return WM_OK;
}

/* --- holdings ---------------------------------------------------------------------------------------------------- */

static struct holding **bucket_of(const struct wm_kv_cache *c, uint64_t owner)
{
    return (struct holding **)&c->buckets[(owner * 0x9e3779b97f4a7c15u >> 32) & c->mask];
}

static struct holding *find(const struct wm_kv_cache *c, uint64_t owner)
{
    struct holding *h = owner ? *bucket_of(c, owner) : NULL;
    while (h && h->lease.owner != owner)
        h = h->chain;
    return h;
}

static void unlink_resident(struct wm_kv_cache *c, struct holding *h)
{
    *(h->older ? &h->older->newer : &c->oldest) = h->newer;
    *(h->newer ? &h->newer->older : &c->newest) = h->older;
    h->older = h->newer = NULL;
    c->n_resident -= h->lease.n_blocks;
}

static void link_newest(struct wm_kv_cache *c, struct holding *h)
{
    h->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = h;
    c->newest = h;
    c->n_resident += h->lease.n_blocks;
}

/* Gives the blocks past the first `keep` to the free list. */
static void drop_tail(struct wm_kv_cache *c, struct holding *h, int32_t keep, bool discard)
{
    while (h->lease.n_blocks > keep) {
        int32_t at = --h->lease.n_blocks;
        c->free[c->n_free++] = h->lease.blocks[at];
        if (discard && c->discard && at < h->written)
            c->discard(c->arg, h->lease.blocks[at]);
    }
    if (h->written > keep)
        h->written = keep;
    size_t positions = (size_t)keep * WM_KV_BLOCK;
    if (h->lease.ids.n > positions)
        h->lease.ids.n = positions;
}

/* Of a holding that is neither resident nor running any more. */
static void destroy(struct wm_kv_cache *c, struct holding *h, bool discard)
{
    drop_tail(c, h, 0, discard);
    if (h->lease.owner) {
        struct holding **at = bucket_of(c, h->lease.owner);
        while (*at != h)
            at = &(*at)->chain;
        *at = h->chain;
    }
    wm_tokens_free(&h->lease.ids);
    free(h->lease.blocks);
    free(h);
}

void wm_kv_cache_free(struct wm_kv_cache *c)
{
    if (!c)
        return;
    while (c->oldest) {
        struct holding *h = c->oldest;
        unlink_resident(c, h);
        destroy(c, h, false);
    }
    assert(c->n_free == c->n_blocks);
    free(c->free);
    free(c);
}

/* Residents lose blocks, longest unused first, until `wanted` are free. The caller knows that there are enough. Their
 * blocks are about to be written again, so nothing is discarded. */
static void evict(struct wm_kv_cache *c, int32_t wanted)
{
    while (c->n_free < wanted) {
        struct holding *h = c->oldest;
        int32_t lacking = wanted - c->n_free, had = h->lease.n_blocks;
        int32_t keep = had > lacking ? had - lacking : 0;
        unlink_resident(c, h);
        drop_tail(c, h, keep, false);
        c->evicted += (uint64_t)(had - keep);
        if (keep == 0) {
            destroy(c, h, false);
        } else { /* back to the old end of the list */
            h->newer = c->oldest;
            *(c->oldest ? &c->oldest->older : &c->newest) = h;
            c->oldest = h;
            c->n_resident += keep;
        }
    }
}

/* --- leases ------------------------------------------------------------------------------------------------------ */

static size_t equal_prefix(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

static struct holding *new_holding(struct wm_kv_cache *c, uint64_t owner)
{
    struct holding *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->lease.owner = owner;
    if (owner) {
        h->chain = *bucket_of(c, owner);
        *bucket_of(c, owner) = h;
    }
    return h;
}

enum wm_status wm_kv_cache_lease(struct wm_kv_cache *c, uint64_t owner, const int32_t *prompt, size_t n,
                                 size_t most, size_t positions, struct wm_lease **out)
{
    if (positions > (size_t)c->n_blocks * WM_KV_BLOCK)
        return WM_ELIMIT;
    int32_t wanted = (int32_t)((positions + WM_KV_BLOCK - 1) / WM_KV_BLOCK);
    struct holding *h = find(c, owner);
    if (h && h->leased)
        return WM_EEXIST;
    int32_t own = h ? h->lease.n_blocks : 0;
    if (wanted - own > c->n_free + c->n_resident - own)
        return WM_EAGAIN;
    int32_t *blocks = malloc((size_t)wanted * sizeof *blocks + 1);
    if (!blocks || (!h && !(h = new_holding(c, owner)))) {
        free(blocks);
        return WM_ENOMEM;
    }
    if (own)
        unlink_resident(c, h); /* no longer in reach of evict */
    h->leased = true;
    size_t same = equal_prefix(h->lease.ids.ids, h->lease.ids.n, prompt, n);
    h->lease.ids.n = same < most ? same : most;
    drop_tail(c, h, own < wanted ? own : wanted, true);
    own = h->lease.n_blocks;
    if (own)
        memcpy(blocks, h->lease.blocks, (size_t)own * sizeof *blocks);
    free(h->lease.blocks);
    h->lease.blocks = blocks;
    evict(c, wanted - own);
    while (h->lease.n_blocks < wanted)
        blocks[h->lease.n_blocks++] = c->free[--c->n_free];
    *out = &h->lease;
    return WM_OK;
}

enum wm_status wm_kv_cache_wrote(struct wm_lease *lease, const int32_t *ids, size_t n)
{
    struct holding *h = (struct holding *)lease;
    enum wm_status st = wm_tokens_add(&lease->ids, ids, n);
    assert(lease->ids.n <= (size_t)lease->n_blocks * WM_KV_BLOCK);
    int32_t written = (int32_t)((lease->ids.n + WM_KV_BLOCK - 1) / WM_KV_BLOCK);
    if (written > h->written)
        h->written = written;
    return st;
}

void wm_kv_cache_return(struct wm_kv_cache *c, struct wm_lease *lease, bool keep)
{
    struct holding *h = (struct holding *)lease;
    h->leased = false;
    if (!keep || !lease->owner || h->forgotten || lease->ids.n == 0) {
        destroy(c, h, true);
        return;
    }
    drop_tail(c, h, (int32_t)((lease->ids.n + WM_KV_BLOCK - 1) / WM_KV_BLOCK), true);
    link_newest(c, h);
}

void wm_kv_cache_forget(struct wm_kv_cache *c, uint64_t owner)
{
    struct holding *h = find(c, owner);
    if (!h)
        return;
    if (h->leased) {
        h->forgotten = true;
        return;
    }
    unlink_resident(c, h);
    destroy(c, h, true);
}

bool wm_kv_cache_runs(const struct wm_kv_cache *c, uint64_t owner)
{
    const struct holding *h = find(c, owner);
    return h && h->leased;
}

int32_t wm_kv_cache_blocks_of(const struct wm_kv_cache *c, uint64_t owner)
{
    const struct holding *h = find(c, owner);
    return h ? h->lease.n_blocks : 0;
}

struct wm_kv_cache_counts wm_kv_cache_counts(const struct wm_kv_cache *c)
{
    return (struct wm_kv_cache_counts){
        .blocks = c->n_blocks, .used = c->n_blocks - c->n_free, .evicted = c->evicted};
}

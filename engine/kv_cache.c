/* kv_cache.c -- which KV blocks hold whose tokens.
 *
 * WHY     Turn 40 of a conversation should cost what turn 2 costs, so what a sequence computed stays after
 *         its end; yet memory is finite, and a running sequence must never find it gone.
 *
 * HOW     Every owner has one holding: tokens, and for each layer group the blocks in which they lie. A
 *         holding is leased while a sequence runs and resident afterwards, in a list by last use. A lease
 *         takes over the owner's residence as far as the new prompt is equal *token for token and picture for
 *         picture*, then takes blocks from the free list, then from the residents used longest ago, from
 *         their tails: a shortened prefix is still a prefix.
 *
 *           free list <--> leased by a sequence --return--> resident --evicted from the tail--> free list
 *                                  ^--------- same owner again --'
 *
 *         Global layers see the whole history: their table has a block for every 32 positions. Local layers
 *         see the chunk that a position is in: their table is a *window*, long enough for one chunk and one
 *         step. When a chunk ends its blocks move from the front of the window to its back, where the
 *         positions to come will find them, and those that the rest of the sequence cannot need go to the
 *         free list. Between the ends of chunks nothing is done.
 *
 *           chunk ended:  window [a b c d e|f g . .]   -->   [f g . . a b c d e]
 *
 * ALWAYS  (1) A block is in the free list or in exactly one holding.
 *         (2) A lease has all its blocks from the start: admission may fail, the way to the end may not.
 *         (3) The global table holds positions [0, ids.n); the local one [local_from, ids.n), and local_from
 *             is the beginning of a chunk. So a sequence can go on behind any token whose chunk begins at or
 *             after local_from; before that, only at the beginning of a chunk, where no local key is looked
 *             at.
 *         (4) Nothing is shared between owners, and owner 0 leaves nothing behind.
 *
 * LIMITS  Reserving prompt + max_tokens at once wastes blocks of replies that stay short, for as long as they
 *         run; untouched blocks cost no memory. A tree with shared prefixes and slower tiers can take the
 *         place of the one list per owner behind the same functions.
 */
#include "engine/kv_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_holding.h"

enum { MIN_BUCKETS = 64, MAX_BUCKETS = 1 << 16 };

static enum wm_status new_pool(struct wm_kv_pool *pool, int32_t blocks, struct wm_error *err)
{
    pool->free = malloc((size_t)blocks * sizeof *pool->free + 1);
    if (!pool->free)
        return wm_fail(err, WM_ENOMEM, "no memory to keep %d KV blocks in order", blocks);
    for (int32_t i = 0; i < blocks; i++)
        pool->free[i] = blocks - 1 - i; /* low numbers first */
    pool->n_blocks = pool->n_free = blocks;
    return WM_OK;
}

enum wm_status wm_kv_cache_new(const struct wm_kv_cache_options *options, struct wm_kv_cache **out,
                               struct wm_error *err)
{
    size_t buckets = MIN_BUCKETS;
    while (buckets < (size_t)options->blocks[WM_GROUP_GLOBAL] + (size_t)options->blocks[WM_GROUP_LOCAL] &&
           buckets < MAX_BUCKETS)
        buckets *= 2;
    struct wm_kv_cache *c = calloc(1, sizeof *c + buckets * sizeof *c->buckets);
    if (!c)
        return wm_fail(err, WM_ENOMEM, "no memory to keep KV blocks in order");
    c->options = *options;
    c->mask = buckets - 1;
    enum wm_status st = WM_OK;
    for (int g = 0; g < WM_KV_GROUPS && st == WM_OK; g++)
        st = new_pool(&c->pools[g], options->blocks[g], err);
    if (st != WM_OK) {
        wm_kv_cache_free(c);
        return st;
    }
    *out = c;
    return WM_OK;
}

void wm_kv_cache_free(struct wm_kv_cache *c)
{
    if (!c)
        return;
    while (c->oldest) {
        struct wm_kv_holding *h = c->oldest;
        wm_kv_unlink_resident(c, h);
        wm_kv_destroy_holding(c, h, false);
    }
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        assert(c->pools[g].n_free == c->pools[g].n_blocks);
        free(c->pools[g].free);
    }
    free(c);
}

int64_t wm_kv_cache_most_blocks(const struct wm_kv_cache_options *options, int group, int64_t positions)
{
    return wm_kv_needed(options, group, 0, positions);
}

/* --- eviction ------------------------------------------------------------------------------------------- */

/* Tokens that a resident may keep if it must give `lacking` blocks of one group, as far as it has them. */
static size_t tokens_left(const struct wm_kv_holding *h, int group, int64_t lacking)
{
    const struct wm_kv_table *t = &h->lease.table[group];
    if (lacking <= 0 || t->n == 0)
        return h->lease.ids.n;
    int64_t keep = t->n > lacking ? t->n - lacking : 0;
    size_t tokens = (size_t)(t->first + keep) * WM_KV_BLOCK;
    /* Without its local blocks it can still go on where its chunk begins. */
    return group == WM_GROUP_LOCAL && tokens < h->local_from ? h->local_from : tokens;
}

static bool lacks(const struct wm_kv_cache *c, const int64_t wanted[WM_KV_GROUPS])
{
    return c->pools[WM_GROUP_GLOBAL].n_free < wanted[WM_GROUP_GLOBAL] ||
           c->pools[WM_GROUP_LOCAL].n_free < wanted[WM_GROUP_LOCAL];
}

/* Residents lose blocks, longest unused first, until `wanted` are free in each group. The caller knows that
 * there are enough. Their blocks are about to be written again, so nothing is discarded. */
static void evict(struct wm_kv_cache *c, const int64_t wanted[WM_KV_GROUPS])
{
    struct wm_kv_holding *next;
    for (struct wm_kv_holding *h = c->oldest; h && lacks(c, wanted); h = next) {
        next = h->newer;
        size_t keep = h->lease.ids.n;
        int32_t had = wm_kv_held_blocks(h);
        for (int g = 0; g < WM_KV_GROUPS; g++) {
            size_t left = tokens_left(h, g, wanted[g] - c->pools[g].n_free);
            keep = left < keep ? left : keep;
        }
        if (keep == h->lease.ids.n)
            continue; /* it has nothing that is lacking */
        wm_kv_count_resident(c, h, -1);
        wm_kv_shorten(c, h, keep, false);
        wm_kv_count_resident(c, h, 1);
        c->evicted += (uint64_t)(had - wm_kv_held_blocks(h));
        if (wm_kv_held_blocks(h) == 0) {
            wm_kv_unlink_resident(c, h);
            wm_kv_destroy_holding(c, h, false);
        }
    }
}

/* --- leases --------------------------------------------------------------------------------------------- */

/* Tokens of the prompt that the holding has: equal ids, and equal pictures behind them. */
static size_t equal_prefix(const struct wm_kv_holding *h, const struct wm_kv_ask *ask)
{
    size_t n = 0;
    while (n < h->lease.ids.n && n < ask->n && h->lease.ids.ids[n] == ask->ids[n])
        n++;
    for (size_t i = 0; i < h->n_pictures && i < ask->n_pictures; i++) {
        const struct wm_kv_picture *a = &h->pictures[i], *b = &ask->pictures[i];
        if (a->at != b->at || memcmp(a->hash, b->hash, sizeof a->hash) != 0) {
            size_t differs = a->at < b->at ? a->at : b->at;
            return differs < n ? differs : n;
        }
    }
    return n;
}

/* Memory for a lease, taken before anything changes. */
struct room {
    int32_t *blocks[WM_KV_GROUPS];
    struct wm_kv_picture *pictures;
};

static bool new_room(const struct wm_kv_holding *h, const int64_t wanted[WM_KV_GROUPS],
                     const struct wm_kv_ask *ask, struct room *out)
{
    bool ok = true;
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        int64_t held = h ? h->lease.table[g].n : 0, n = wanted[g] > held ? wanted[g] : held;
        out->blocks[g] = malloc((size_t)n * sizeof *out->blocks[g] + 1);
        ok &= out->blocks[g] != NULL;
    }
    out->pictures = malloc(ask->n_pictures * sizeof *out->pictures + 1);
    return ok && out->pictures;
}

static void free_room(struct room *room)
{
    for (int g = 0; g < WM_KV_GROUPS; g++)
        free(room->blocks[g]);
    free(room->pictures);
}

/* The holding's tables and pictures move to the new room. */
static void move_in(struct wm_kv_holding *h, const struct room *room, const struct wm_kv_ask *ask)
{
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        struct wm_kv_table *t = &h->lease.table[g];
        if (t->n)
            memcpy(room->blocks[g], t->blocks, (size_t)t->n * sizeof *t->blocks);
        free(t->blocks);
        t->blocks = room->blocks[g];
    }
    free(h->pictures);
    h->pictures = room->pictures;
    h->n_pictures = ask->n_pictures;
    if (ask->n_pictures)
        memcpy(h->pictures, ask->pictures, ask->n_pictures * sizeof *h->pictures);
}

static void fill(struct wm_kv_cache *c, struct wm_kv_holding *h, const int64_t wanted[WM_KV_GROUPS])
{
    int64_t lacking[WM_KV_GROUPS];
    for (int g = 0; g < WM_KV_GROUPS; g++)
        lacking[g] = wanted[g] - h->lease.table[g].n;
    evict(c, lacking);
    for (int g = 0; g < WM_KV_GROUPS; g++)
        while (h->lease.table[g].n < wanted[g])
            h->lease.table[g].blocks[h->lease.table[g].n++] = c->pools[g].free[--c->pools[g].n_free];
}

enum wm_status wm_kv_cache_lease(struct wm_kv_cache *c, const struct wm_kv_ask *ask, struct wm_lease **out)
{
    struct wm_kv_holding *h = wm_kv_find_holding(c, ask->owner);
    if (h && h->leased)
        return WM_EEXIST;
    size_t same = h ? equal_prefix(h, ask) : 0;
    same = same < ask->most ? same : ask->most;
    size_t from = wm_kv_chunk_start(&c->options, same);
    if (h && from < h->local_from)
        same = from;
    int64_t wanted[WM_KV_GROUPS];
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        wanted[g] = wm_kv_needed(&c->options, g, (int64_t)from, (int64_t)ask->positions);
        if (wanted[g] > c->pools[g].n_blocks)
            return WM_ELIMIT;
        if (wanted[g] > c->pools[g].n_free + c->pools[g].n_resident) /* the owner's own are among these */
            return WM_EAGAIN;
    }
    struct room room;
    if (!new_room(h, wanted, ask, &room) || (!h && !(h = wm_kv_new_holding(c, ask->owner)))) {
        free_room(&room);
        return WM_ENOMEM;
    }
    if (h->older || h->newer || c->oldest == h)
        wm_kv_unlink_resident(c, h); /* no longer in reach of evict */
    h->leased = true;
    h->positions = ask->positions;
    move_in(h, &room, ask);
    wm_kv_shorten(c, h, same, true);
    wm_kv_slide(c, h);
    fill(c, h, wanted);
    *out = &h->lease;
    return WM_OK;
}

enum wm_status wm_kv_cache_wrote(struct wm_kv_cache *c, struct wm_lease *lease, const int32_t *ids, size_t n)
{
    struct wm_kv_holding *h = (struct wm_kv_holding *)lease;
    enum wm_status st = wm_tokens_add(&lease->ids, ids, n);
    int64_t end = wm_kv_blocks_for((int64_t)lease->ids.n);
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        const struct wm_kv_table *t = &lease->table[g];
        assert(c->options.blocks[g] == 0 || end - t->first <= t->n);
        if (end - t->first > h->written[g] && t->n)
            h->written[g] = (int32_t)(end - t->first);
    }
    wm_kv_slide(c, h);
    return st;
}

void wm_kv_cache_return(struct wm_kv_cache *c, struct wm_lease *lease, bool keep)
{
    struct wm_kv_holding *h = (struct wm_kv_holding *)lease;
    h->leased = false;
    wm_kv_shorten(c, h, lease->ids.n, true); /* the reserve goes back */
    if (keep && lease->owner && !h->forgotten && wm_kv_held_blocks(h))
        wm_kv_link_newest(c, h);
    else
        wm_kv_destroy_holding(c, h, true);
}

void wm_kv_cache_forget(struct wm_kv_cache *c, uint64_t owner)
{
    struct wm_kv_holding *h = wm_kv_find_holding(c, owner);
    if (!h)
        return;
    if (h->leased) {
        h->forgotten = true;
        return;
    }
    wm_kv_unlink_resident(c, h);
    wm_kv_destroy_holding(c, h, true);
}

bool wm_kv_cache_runs(const struct wm_kv_cache *c, uint64_t owner)
{
    const struct wm_kv_holding *h = wm_kv_find_holding(c, owner);
    return h && h->leased;
}

int32_t wm_kv_cache_blocks_of(const struct wm_kv_cache *c, uint64_t owner, int group)
{
    const struct wm_kv_holding *h = wm_kv_find_holding(c, owner);
    return h ? h->lease.table[group].n : 0;
}

struct wm_kv_cache_counts wm_kv_cache_counts(const struct wm_kv_cache *c)
{
    struct wm_kv_cache_counts counts = {.evicted = c->evicted, .ended = c->ended};
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        counts.blocks[g] = c->pools[g].n_blocks;
        counts.used[g] = c->pools[g].n_blocks - c->pools[g].n_free;
    }
    return counts;
}

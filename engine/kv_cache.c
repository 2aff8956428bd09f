/* kv_cache.c -- which KV blocks hold whose tokens.
 *
 * WHY     Turn 40 of a conversation should cost what turn 2 costs, so what a sequence computed stays after its end; yet memory
 *         is finite, and a running sequence must never find it gone.
 *
 * HOW     Every owner has one holding: tokens, and for each layer group the blocks in which they lie. A holding is leased
 *         while a sequence runs and resident afterwards, in a list by last use. A lease takes over the owner's residence as
 *         far as the new prompt is equal *token for token and picture for picture*, then takes blocks from the free list,
 *         then from the residents used longest ago, from their tails: a shortened prefix is still a prefix.
 *
 *           free list <--> leased by a sequence --return--> resident --evicted from the tail--> free list
 *                                  ^--------- same owner again --'
 *
 *         Global layers see the whole history: their table has a block for every 32 positions. Local layers see the chunk
 *         that a position is in: their table is a *window*, long enough for one chunk and one step. When a chunk ends its
 *         blocks move from the front of the window to its back, where the positions to come will find them, and those
 *         that the rest of the sequence cannot need go to the free list. Between the ends of chunks nothing is done.
 *
 *           chunk ended:  window [a b c d e|f g . .]   -->   [f g . . a b c d e]
 *
 * ALWAYS  (1) A block is in the free list or in exactly one holding.
 *         (2) A lease has all its blocks from the start: admission may fail, the way to the end may not.
 *         (3) The global table holds positions [0, ids.n); the local one [local_from, ids.n), and local_from is the beginning of
 *             a chunk. So a sequence can go on behind any token whose chunk begins at or after local_from; before that,
 *             only at the beginning of a chunk, where no local key is looked at.
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

#include "engine/program.h"

enum { MIN_BUCKETS = 64, MAX_BUCKETS = 1 << 16 };

struct holding {
    struct wm_lease lease; /* first: a lease is its holding */
    size_t local_from;
    int32_t written[WM_KV_GROUPS];  /* blocks [0, written) of a table have been touched: discarding others
                                      would be for nothing */
    struct wm_kv_picture *pictures; /* of the prompt that came last; those past ids.n count for nothing */
    size_t n_pictures;
    size_t positions; /* while leased */
    bool leased, forgotten;
    struct holding *chain;         /* next with the same hash of owner */
    struct holding *older, *newer; /* residents by last use */
};

struct pool {
    int32_t n_blocks, n_free, n_resident;
    int32_t *free; /* [n_free], a stack */
};

struct wm_kv_cache {
    struct wm_kv_cache_options options;
    struct pool pools[WM_KV_GROUPS];
    uint64_t evicted, ended;
    struct holding *oldest, *newest;
    size_t mask;
    struct holding *buckets[]; /* [mask + 1] */
};

static enum wm_status new_pool(struct pool *pool, int32_t blocks, struct wm_error *err)
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

/* --- places ------------------------------------------------------------------------------------------------------ */

static int64_t blocks_for(int64_t positions)
{
    return (positions + WM_KV_BLOCK - 1) / WM_KV_BLOCK;
}

/* Where the chunk of a position begins. */
static size_t chunk_start(const struct wm_kv_cache_options *o, size_t position)
{
    return o->chunk ? position - position % (size_t)o->chunk : 0;
}

/* Blocks that positions [from, positions) of a group need at one time; `from` begins a chunk. */
static int64_t needed(const struct wm_kv_cache_options *o, int group, int64_t from, int64_t positions)
{
    if (o->blocks[group] == 0)
        return 0;
    if (group == WM_GROUP_GLOBAL)
        return blocks_for(positions);
    /* A step reaches from the beginning of its chunk to `reach` positions past what is done, wherever that lies in a
     * block. */
    int64_t window = (o->chunk - 1 + o->reach + WM_KV_BLOCK - 2) / WM_KV_BLOCK + 1;
    int64_t rest = blocks_for(positions) - from / WM_KV_BLOCK;
    return rest < window ? rest : window;
}

int64_t wm_kv_cache_most_blocks(const struct wm_kv_cache_options *options, int group, int64_t positions)
{
    return needed(options, group, 0, positions);
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

static int32_t held(const struct holding *h)
{
    return h->lease.table[WM_GROUP_GLOBAL].n + h->lease.table[WM_GROUP_LOCAL].n;
}

/* Its blocks come within, or out of, the reach of eviction. */
static void count_resident(struct wm_kv_cache *c, const struct holding *h, int sign)
{
    for (int g = 0; g < WM_KV_GROUPS; g++)
        c->pools[g].n_resident += sign * h->lease.table[g].n;
}

static void unlink_resident(struct wm_kv_cache *c, struct holding *h)
{
    *(h->older ? &h->older->newer : &c->oldest) = h->newer;
    *(h->newer ? &h->newer->older : &c->newest) = h->older;
    h->older = h->newer = NULL;
    count_resident(c, h, -1);
}

static void link_newest(struct wm_kv_cache *c, struct holding *h)
{
    h->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = h;
    c->newest = h;
    count_resident(c, h, 1);
}

/* Gives the blocks of a table past the first `keep` to the free list. */
static void drop_tail(struct wm_kv_cache *c, struct holding *h, int group, int64_t keep, bool discard)
{
    struct wm_kv_table *table = &h->lease.table[group];
    struct pool *pool = &c->pools[group];
    while (table->n > keep) {
        int32_t at = --table->n, block = table->blocks[at];
        pool->free[pool->n_free++] = block;
        if (discard && c->options.discard && at < h->written[group])
            c->options.discard(c->options.arg, group, block);
    }
    if (h->written[group] > table->n)
        h->written[group] = table->n;
}

/* Only the first `n` tokens stay, or fewer, where the sequence could not go on behind them (3); and no blocks but theirs. */
static void shorten(struct wm_kv_cache *c, struct holding *h, size_t n, bool discard)
{
    if (n < h->local_from)
        n = h->local_from = chunk_start(&c->options, n);
    struct wm_kv_table *local = &h->lease.table[WM_GROUP_LOCAL];
    int64_t blocks = blocks_for((int64_t)n);
    h->lease.ids.n = n;
    drop_tail(c, h, WM_GROUP_GLOBAL, blocks, discard);
    drop_tail(c, h, WM_GROUP_LOCAL, n == h->local_from ? 0 : blocks - local->first, discard);
    if (local->n == 0)
        local->first = (int64_t)h->local_from / WM_KV_BLOCK;
}

static void reverse(int32_t *a, int64_t n)
{
    for (int64_t i = 0; i < n / 2; i++) {
        int32_t t = a[i];
        a[i] = a[n - 1 - i];
        a[n - 1 - i] = t;
    }
}

/* A chunk may have ended: its blocks move to the back of the window, and what is no longer needed there is freed. */
static void slide(struct wm_kv_cache *c, struct holding *h)
{
    size_t from = chunk_start(&c->options, h->lease.ids.n);
    struct wm_kv_table *local = &h->lease.table[WM_GROUP_LOCAL];
    int64_t ended = (int64_t)from / WM_KV_BLOCK - local->first;
    if (from == h->local_from)
        return;
    h->local_from = from;
    if (ended <= 0 || local->n == 0)
        return;
    assert(ended <= local->n);
    reverse(local->blocks, ended);
    reverse(local->blocks + ended, local->n - ended);
    reverse(local->blocks, local->n);
    local->first += ended;
    h->written[WM_GROUP_LOCAL] = local->n;
    c->ended += (uint64_t)ended;
    drop_tail(c, h, WM_GROUP_LOCAL, needed(&c->options, WM_GROUP_LOCAL, (int64_t)from, (int64_t)h->positions),
              true);
}

/* Of a holding that is neither resident nor running any more. */
static void destroy(struct wm_kv_cache *c, struct holding *h, bool discard)
{
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        drop_tail(c, h, g, 0, discard);
        free(h->lease.table[g].blocks);
    }
    if (h->lease.owner) {
        struct holding **at = bucket_of(c, h->lease.owner);
        while (*at != h)
            at = &(*at)->chain;
        *at = h->chain;
    }
    wm_tokens_free(&h->lease.ids);
    free(h->pictures);
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
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        assert(c->pools[g].n_free == c->pools[g].n_blocks);
        free(c->pools[g].free);
    }
    free(c);
}

/* --- eviction ---------------------------------------------------------------------------------------------------- */

/* Tokens that a resident may keep if it must give `lacking` blocks of one group, as far as it has them. */
static size_t tokens_left(const struct holding *h, int group, int64_t lacking)
{
    const struct wm_kv_table *t = &h->lease.table[group];
    if (lacking <= 0 || t->n == 0)
        return h->lease.ids.n;
    int64_t keep = t->n > lacking ? t->n - lacking : 0;
    size_t tokens = (size_t)(t->first + keep) * WM_KV_BLOCK;
    /* Without its local blocks it can still go on where its chunk begins. */
    return group == WM_GROUP_LOCAL && tokens < h->local_from ? h->local_from : tokens;
}

/* Residents lose blocks, longest unused first, until `wanted` are free in each group. The caller knows that there are enough. Their
 * blocks are about to be written again, so nothing is discarded. */
static void evict(struct wm_kv_cache *c, const int64_t wanted[WM_KV_GROUPS])
{
    struct holding *next;
    for (struct holding *h = c->oldest; h; h = next) {
        next = h->newer;
        size_t keep = h->lease.ids.n;
        int32_t had = held(h);
        for (int g = 0; g < WM_KV_GROUPS; g++) {
            size_t left = tokens_left(h, g, wanted[g] - c->pools[g].n_free);
            keep = left < keep ? left : keep;
        }
        if (keep == h->lease.ids.n)
            continue; /* it has nothing that is lacking */
        count_resident(c, h, -1);
        shorten(c, h, keep, false);
        count_resident(c, h, 1);
        c->evicted += (uint64_t)(had - held(h));
        if (held(h) == 0) {
            unlink_resident(c, h);
            destroy(c, h, false);
        }
    }
}

/* --- leases ------------------------------------------------------------------------------------------------------ */

/* Tokens of the prompt that the holding has: equal ids, and equal pictures behind them. */
static size_t equal_prefix(const struct holding *h, const struct wm_kv_ask *ask)
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

/* Memory for a lease, taken before anything changes. */
struct room {
    int32_t *blocks[WM_KV_GROUPS];
    struct wm_kv_picture *pictures;
};

static bool new_room(const struct holding *h, const int64_t wanted[WM_KV_GROUPS], const struct wm_kv_ask *ask,
                     struct room *out)
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
static void move_in(struct holding *h, const struct room *room, const struct wm_kv_ask *ask)
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

static void fill(struct wm_kv_cache *c, struct holding *h, const int64_t wanted[WM_KV_GROUPS])
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
    struct holding *h = find(c, ask->owner);
    if (h && h->leased)
        return WM_EEXIST;
    size_t same = h ? equal_prefix(h, ask) : 0;
    same = same < ask->most ? same : ask->most;
    size_t from = chunk_start(&c->options, same);
    if (h && from < h->local_from)
        same = from;
    int64_t wanted[WM_KV_GROUPS];
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        wanted[g] = needed(&c->options, g, (int64_t)from, (int64_t)ask->positions);
        if (wanted[g] > c->pools[g].n_blocks)
            return WM_ELIMIT;
        if (wanted[g] > c->pools[g].n_free + c->pools[g].n_resident) /* the owner's own are among these */
            return WM_EAGAIN;
    }
    struct room room;
    if (!new_room(h, wanted, ask, &room) || (!h && !(h = new_holding(c, ask->owner)))) {
        free_room(&room);
        return WM_ENOMEM;
    }
    if (h->older || h->newer || c->oldest == h)
        unlink_resident(c, h); /* no longer in reach of evict */
    h->leased = true;
    h->positions = ask->positions;
    move_in(h, &room, ask);
    shorten(c, h, same, true);
    slide(c, h);
    fill(c, h, wanted);
    *out = &h->lease;
    return WM_OK;
}

enum wm_status wm_kv_cache_wrote(struct wm_kv_cache *c, struct wm_lease *lease, const int32_t *ids, size_t n)
{
    struct holding *h = (struct holding *)lease;
    enum wm_status st = wm_tokens_add(&lease->ids, ids, n);
    int64_t end = blocks_for((int64_t)lease->ids.n);
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        const struct wm_kv_table *t = &lease->table[g];
        assert(c->options.blocks[g] == 0 || end - t->first <= t->n);
        if (end - t->first > h->written[g] && t->n)
            h->written[g] = (int32_t)(end - t->first);
    }
    slide(c, h);
    return st;
}

void wm_kv_cache_return(struct wm_kv_cache *c, struct wm_lease *lease, bool keep)
{
    struct holding *h = (struct holding *)lease;
    h->leased = false;
    shorten(c, h, lease->ids.n, true); /* the reserve goes back */
    if (keep && lease->owner && !h->forgotten && held(h))
        link_newest(c, h);
    else
        destroy(c, h, true);
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

int32_t wm_kv_cache_blocks_of(const struct wm_kv_cache *c, uint64_t owner, int group)
{
    const struct holding *h = find(c, owner);
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

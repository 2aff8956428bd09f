/* kv_holding.c -- see kv_holding.h. */
#include "engine/kv_holding.h"

#include <assert.h>
#include <stdlib.h>

size_t wm_kv_chunk_start(const struct wm_kv_cache_options *o, size_t position)
{
    return o->chunk ? position - position % (size_t)o->chunk : 0;
}

int64_t wm_kv_needed(const struct wm_kv_cache_options *o, int group, int64_t from, int64_t positions)
{
    if (o->blocks[group] == 0)
        return 0;
    if (group == WM_GROUP_GLOBAL)
        return wm_kv_blocks_for(positions);
    /* A step reaches from the beginning of its chunk to `reach` positions past what is done, wherever that
     * lies in a block. */
    int64_t window = (o->chunk - 1 + o->reach + WM_KV_BLOCK - 2) / WM_KV_BLOCK + 1;
    int64_t rest = wm_kv_blocks_for(positions) - from / WM_KV_BLOCK;
    return rest < window ? rest : window;
}

static struct wm_kv_holding **bucket_of(const struct wm_kv_cache *c, uint64_t owner)
{
    return (struct wm_kv_holding **)&c->buckets[(owner * 0x9e3779b97f4a7c15u >> 32) & c->mask];
}

struct wm_kv_holding *wm_kv_find_holding(const struct wm_kv_cache *c, uint64_t owner)
{
    struct wm_kv_holding *h = owner ? *bucket_of(c, owner) : NULL;
    while (h && h->lease.owner != owner)
        h = h->chain;
    return h;
}

int32_t wm_kv_held_blocks(const struct wm_kv_holding *h)
{
    return h->lease.table[WM_GROUP_GLOBAL].n + h->lease.table[WM_GROUP_LOCAL].n;
}

void wm_kv_count_resident(struct wm_kv_cache *c, const struct wm_kv_holding *h, int sign)
{
    for (int g = 0; g < WM_KV_GROUPS; g++)
        c->pools[g].n_resident += sign * h->lease.table[g].n;
}

void wm_kv_unlink_resident(struct wm_kv_cache *c, struct wm_kv_holding *h)
{
    *(h->older ? &h->older->newer : &c->oldest) = h->newer;
    *(h->newer ? &h->newer->older : &c->newest) = h->older;
    h->older = h->newer = NULL;
    wm_kv_count_resident(c, h, -1);
}

void wm_kv_link_newest(struct wm_kv_cache *c, struct wm_kv_holding *h)
{
    h->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = h;
    c->newest = h;
    wm_kv_count_resident(c, h, 1);
}

/* Gives the blocks of a table past the first `keep` to the free list. */
static void drop_tail(struct wm_kv_cache *c, struct wm_kv_holding *h, int group, int64_t keep, bool discard)
{
    struct wm_kv_table *table = &h->lease.table[group];
    struct wm_kv_pool *pool = &c->pools[group];
    while (table->n > keep) {
        int32_t at = --table->n, block = table->blocks[at];
        pool->free[pool->n_free++] = block;
        if (discard && c->options.discard && at < h->written[group])
            c->options.discard(c->options.arg, group, block);
    }
    if (h->written[group] > table->n)
        h->written[group] = table->n;
}

void wm_kv_shorten(struct wm_kv_cache *c, struct wm_kv_holding *h, size_t n, bool discard)
{
    if (n < h->local_from)
        n = h->local_from = wm_kv_chunk_start(&c->options, n);
    struct wm_kv_table *local = &h->lease.table[WM_GROUP_LOCAL];
    int64_t blocks = wm_kv_blocks_for((int64_t)n);
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

void wm_kv_slide(struct wm_kv_cache *c, struct wm_kv_holding *h)
{
    size_t from = wm_kv_chunk_start(&c->options, h->lease.ids.n);
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
    drop_tail(c, h, WM_GROUP_LOCAL,
              wm_kv_needed(&c->options, WM_GROUP_LOCAL, (int64_t)from, (int64_t)h->positions), true);
}

void wm_kv_destroy_holding(struct wm_kv_cache *c, struct wm_kv_holding *h, bool discard)
{
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        drop_tail(c, h, g, 0, discard);
        free(h->lease.table[g].blocks);
    }
    if (h->lease.owner) {
        struct wm_kv_holding **at = bucket_of(c, h->lease.owner);
        while (*at != h)
            at = &(*at)->chain;
        *at = h->chain;
    }
    wm_tokens_free(&h->lease.ids);
    free(h->pictures);
    free(h);
}

struct wm_kv_holding *wm_kv_new_holding(struct wm_kv_cache *c, uint64_t owner)
{
    struct wm_kv_holding *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->lease.owner = owner;
    if (owner) {
        h->chain = *bucket_of(c, owner);
        *bucket_of(c, owner) = h;
    }
    return h;
}

/* kv_cache_test.c -- whose tokens lie where: reuse, eviction, chunks, limits, and that no block is lost or in
 * two places. */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_cache.h"
#include "engine/kv_size.h"
#include "engine/program.h"
#include "kernels/ops.h"

enum { BLOCKS = 8, ALL = BLOCKS * WM_KV_BLOCK, MAX_IDS = 2048 };

static int discarded[WM_KV_GROUPS][BLOCKS];

static void count_discard(void *arg, int group, int32_t block)
{
    (void)arg;
    discarded[group][block]++;
}

static int all_discarded(int group)
{
    int n = 0;
    for (int b = 0; b < BLOCKS; b++)
        n += discarded[group][b];
    return n;
}

static struct wm_kv_cache *make_cache(const struct wm_kv_cache_options *options)
{
    struct wm_kv_cache *c;
    struct wm_error err = WM_ERROR_INIT;
    memset(discarded, 0, sizeof discarded);
    assert_int_equal(wm_kv_cache_new(options, &c, &err), WM_OK);
    return c;
}

/* Every layer sees the whole history. */
static struct wm_kv_cache *new_cache(void)
{
    return make_cache(
        &(struct wm_kv_cache_options){.blocks = {BLOCKS}, .reach = ALL, .discard = count_discard});
}

static const int32_t *ids_of(int32_t start)
{
    static int32_t ids[MAX_IDS];
    for (int32_t i = 0; i < MAX_IDS; i++)
        ids[i] = start + i;
    return ids;
}

static enum wm_status lease(struct wm_kv_cache *c, uint64_t owner, const int32_t *ids, size_t n, size_t most,
                            size_t positions, struct wm_lease **out)
{
    return wm_kv_cache_lease(
        c, &(struct wm_kv_ask){.owner = owner, .ids = ids, .n = n, .most = most, .positions = positions},
        out);
}

/* Leases, writes all positions in steps of `reach`, returns; the tokens that were found. */
static size_t use_in_steps(struct wm_kv_cache *c, uint64_t owner, int32_t start, size_t positions,
                           size_t reach)
{
    struct wm_lease *l;
    const int32_t *ids = ids_of(start);
    assert_int_equal(lease(c, owner, ids, positions, positions, positions, &l), WM_OK);
    size_t found = l->ids.n;
    while (l->ids.n < positions) {
        size_t left = positions - l->ids.n;
        assert_int_equal(wm_kv_cache_wrote(c, l, ids + l->ids.n, left < reach ? left : reach), WM_OK);
    }
    wm_kv_cache_return(c, l, true);
    return found;
}

static size_t use(struct wm_kv_cache *c, uint64_t owner, int32_t start, size_t positions)
{
    return use_in_steps(c, owner, start, positions, ALL);
}

static void the_longest_equal_prefix_is_found_to_the_token(void **state)
{
    (void)state;
    static const struct {
        size_t equal, most, want;
    } cases[] = {{0, 100, 0},   {1, 100, 1},   {31, 100, 31}, {32, 100, 32},
                 {33, 100, 33}, {70, 100, 70}, {70, 69, 69},  {70, 0, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_kv_cache *c = new_cache();
        struct wm_lease *l;
        int32_t prompt[100];
        use(c, 1, 0, 70);
        memcpy(prompt, ids_of(0), sizeof prompt);
        for (size_t p = cases[i].equal; p < COUNT(prompt); p++)
            prompt[p] = -1;
        assert_int_equal(lease(c, 1, prompt, COUNT(prompt), cases[i].most, 100, &l), WM_OK);
        assert_int_equal(l->ids.n, cases[i].want);
        assert_int_equal(l->table[WM_GROUP_GLOBAL].n, 4);
        wm_kv_cache_return(c, l, true);
        wm_kv_cache_free(c);
    }
}

static void a_prefix_ends_where_another_picture_stands(void **state)
{
    (void)state;
    static const struct {
        struct wm_kv_picture pictures[2];
        size_t n, want;
    } cases[] = {
        {{{10, {1}}, {40, {2}}}, 2, 70}, /* the same */
        {{{10, {1}}, {40, {3}}}, 2, 40}, /* another second one */
        {{{10, {4}}, {40, {2}}}, 2, 10}, /* another first one */
        {{{10, {2}}, {40, {1}}}, 2, 10}, /* changed places */
        {{{12, {1}}, {40, {2}}}, 2, 10}, /* elsewhere */
        {{{80, {5}}}, 1, 10},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_kv_cache *c = new_cache();
        struct wm_lease *l;
        struct wm_kv_ask ask = {.owner = 1,
                                .ids = ids_of(0),
                                .n = 70,
                                .pictures = cases[0].pictures,
                                .n_pictures = cases[0].n,
                                .most = 70,
                                .positions = 70};
        assert_int_equal(wm_kv_cache_lease(c, &ask, &l), WM_OK);
        assert_int_equal(wm_kv_cache_wrote(c, l, ids_of(0), 70), WM_OK);
        wm_kv_cache_return(c, l, true);
        ask.pictures = cases[i].pictures;
        ask.n_pictures = cases[i].n;
        assert_int_equal(wm_kv_cache_lease(c, &ask, &l), WM_OK);
        if (l->ids.n != cases[i].want)
            fail_msg("case %zu: %zu tokens are found, want %zu", i, l->ids.n, cases[i].want);
        wm_kv_cache_return(c, l, true);
        wm_kv_cache_free(c);
    }
}

static void the_least_recently_used_lose_their_tails_first(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    use(c, 1, 0, 3 * WM_KV_BLOCK);
    use(c, 2, 1000, 3 * WM_KV_BLOCK);
    use(c, 1, 0, 3 * WM_KV_BLOCK); /* now 2 is the older one */
    assert_int_equal(use(c, 3, 2000, 4 * WM_KV_BLOCK), 0);
    assert_int_equal(wm_kv_cache_blocks_of(c, 1, WM_GROUP_GLOBAL), 3);
    assert_int_equal(wm_kv_cache_blocks_of(c, 2, WM_GROUP_GLOBAL), 1);
    assert_int_equal(wm_kv_cache_blocks_of(c, 3, WM_GROUP_GLOBAL), 4);
    assert_int_equal(wm_kv_cache_counts(c).evicted, 2);
    assert_int_equal(use(c, 2, 1000, WM_KV_BLOCK), WM_KV_BLOCK); /* its head is still there */
    wm_kv_cache_free(c);
}

static void what_runs_is_never_evicted(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *a, *b, *none;
    assert_int_equal(lease(c, 1, ids_of(0), 5, 4, 5 * WM_KV_BLOCK, &a), WM_OK);
    assert_int_equal(lease(c, 2, ids_of(0), 5, 4, 3 * WM_KV_BLOCK, &b), WM_OK);
    assert_int_equal(lease(c, 3, ids_of(0), 5, 4, 1, &none), WM_EAGAIN);
    assert_int_equal(lease(c, 2, ids_of(0), 5, 4, 1, &none), WM_EEXIST);
    assert_int_equal(lease(c, 3, ids_of(0), 5, 4, ALL + 1, &none), WM_ELIMIT);
    assert_true(wm_kv_cache_runs(c, 2) && !wm_kv_cache_runs(c, 3));
    wm_kv_cache_return(c, b, true);
    assert_int_equal(lease(c, 3, ids_of(0), 5, 4, 3 * WM_KV_BLOCK, &b), WM_OK);
    wm_kv_cache_return(c, a, false);
    wm_kv_cache_return(c, b, false);
    assert_int_equal(wm_kv_cache_counts(c).used[WM_GROUP_GLOBAL], 0);
    wm_kv_cache_free(c);
}

static void nobody_and_the_forgotten_leave_nothing_and_their_bytes_are_discarded(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *l;
    use(c, 0, 0, 40);
    assert_int_equal(wm_kv_cache_counts(c).used[WM_GROUP_GLOBAL], 0);
    assert_int_equal(discarded[WM_GROUP_GLOBAL][0] + discarded[WM_GROUP_GLOBAL][1], 2);
    use(c, 5, 0, 40);
    wm_kv_cache_forget(c, 5);
    wm_kv_cache_forget(c, 6); /* unknown */
    assert_int_equal(wm_kv_cache_blocks_of(c, 5, WM_GROUP_GLOBAL), 0);
    assert_int_equal(lease(c, 5, ids_of(0), 40, 39, 40, &l), WM_OK);
    assert_int_equal(l->ids.n, 0);
    wm_kv_cache_forget(c, 5); /* while it runs */
    wm_kv_cache_return(c, l, true);
    assert_int_equal(wm_kv_cache_counts(c).used[WM_GROUP_GLOBAL], 0);
    wm_kv_cache_free(c);
}

static void blocks_that_were_never_written_are_not_discarded(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *l;
    assert_int_equal(lease(c, 1, ids_of(0), 40, 39, ALL, &l), WM_OK);
    assert_int_equal(wm_kv_cache_wrote(c, l, ids_of(0), 40), WM_OK);
    wm_kv_cache_return(c, l, true);
    assert_int_equal(wm_kv_cache_blocks_of(c, 1, WM_GROUP_GLOBAL), 2); /* the reserve has gone back */
    assert_int_equal(all_discarded(WM_GROUP_GLOBAL), 0);
    wm_kv_cache_free(c);
}

/* --- chunks --------------------------------------------------------------------------------------------- */

enum { REACH = 16 };

static struct wm_kv_cache_options chunked(int64_t chunk, int32_t global, int32_t local)
{
    return (struct wm_kv_cache_options){
        .blocks = {global, local}, .chunk = chunk, .reach = REACH, .discard = count_discard};
}

static void local_blocks_go_when_their_chunk_ends(void **state)
{
    (void)state;
    enum { CHUNK = 64, POSITIONS = 256, WINDOW = (CHUNK + REACH - 1 + WM_KV_BLOCK - 2) / WM_KV_BLOCK + 1 };
    struct wm_kv_cache_options o = chunked(CHUNK, BLOCKS, BLOCKS);
    struct wm_kv_cache *c = make_cache(&o);
    struct wm_lease *l;
    assert_int_equal(lease(c, 1, ids_of(0), POSITIONS, 0, POSITIONS, &l), WM_OK);
    assert_int_equal(l->table[WM_GROUP_GLOBAL].n, BLOCKS);
    assert_int_equal(l->table[WM_GROUP_LOCAL].n, WINDOW);
    for (size_t done = 0; done < POSITIONS;) {
        const struct wm_kv_table *t = &l->table[WM_GROUP_LOCAL];
        assert_int_equal(t->first, done / CHUNK * CHUNK / WM_KV_BLOCK);
        assert_true((size_t)(t->first + t->n) * WM_KV_BLOCK >= done + REACH || done + REACH > POSITIONS);
        assert_int_equal(wm_kv_cache_wrote(c, l, ids_of((int32_t)done), REACH), WM_OK);
        done += REACH;
    }
    assert_int_equal(wm_kv_cache_counts(c).ended, POSITIONS / WM_KV_BLOCK);
    assert_int_equal(l->table[WM_GROUP_LOCAL].n, 0); /* nothing can need it any more */
    assert_int_equal(all_discarded(WM_GROUP_LOCAL), WINDOW);
    assert_int_equal(all_discarded(WM_GROUP_GLOBAL), 0);
    wm_kv_cache_return(c, l, true);
    assert_int_equal(wm_kv_cache_counts(c).used[WM_GROUP_LOCAL], 0);
    wm_kv_cache_free(c);
}

static void a_sequence_goes_on_where_its_chunk_is_and_else_where_its_chunk_begins(void **state)
{
    (void)state;
    static const struct {
        int64_t chunk;
        size_t written, equal, want;
    } cases[] = {
        {64, 100, 100, 100}, {64, 100, 65, 65},   {64, 100, 64, 64},   {64, 100, 63, 0}, {64, 128, 128, 128},
        {64, 128, 127, 64},  {64, 200, 191, 128}, {64, 200, 128, 128}, {12, 40, 40, 40}, {12, 40, 38, 38},
        {12, 40, 36, 36},    {12, 40, 35, 24},    {12, 40, 24, 24},    {12, 40, 3, 0},   {12, 70, 66, 66},
        {12, 70, 61, 61},    {12, 70, 59, 48},    {8192, 200, 77, 77},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_kv_cache_options o = chunked(cases[i].chunk, BLOCKS, BLOCKS);
        struct wm_kv_cache *c = make_cache(&o);
        struct wm_lease *l;
        int32_t prompt[ALL];
        use_in_steps(c, 1, 0, cases[i].written, REACH);
        memcpy(prompt, ids_of(0), sizeof prompt);
        for (size_t p = cases[i].equal; p < COUNT(prompt); p++)
            prompt[p] = -1;
        assert_int_equal(lease(c, 1, prompt, COUNT(prompt), ALL, ALL, &l), WM_OK);
        if (l->ids.n != cases[i].want)
            fail_msg("case %zu: goes on at %zu, want %zu", i, l->ids.n, cases[i].want);
        wm_kv_cache_return(c, l, true);
        wm_kv_cache_free(c);
    }
}

static void without_its_local_blocks_a_resident_keeps_all_but_its_last_chunk(void **state)
{
    (void)state;
    struct wm_kv_cache_options o = chunked(64, 2 * BLOCKS, 4);
    struct wm_kv_cache *c = make_cache(&o);
    use_in_steps(c, 1, 0, 180, REACH); /* holds 2 local blocks of its third chunk */
    assert_int_equal(wm_kv_cache_blocks_of(c, 1, WM_GROUP_LOCAL), 2);
    use_in_steps(c, 2, 1000, 100, REACH); /* needs all four */
    assert_int_equal(wm_kv_cache_blocks_of(c, 1, WM_GROUP_LOCAL), 0);
    assert_int_equal(wm_kv_cache_blocks_of(c, 1, WM_GROUP_GLOBAL), 4);
    assert_int_equal(use_in_steps(c, 1, 0, 180, REACH), 128);
    wm_kv_cache_free(c);
}

/* What the blocks would hold: whose token of which position was written there last. */
struct cell {
    uint64_t owner;
    size_t position;
    int32_t id;
};

struct world {
    const struct wm_kv_cache_options *options;
    struct wm_kv_cache *cache;
    struct cell memory[WM_KV_GROUPS][BLOCKS * 2][WM_KV_BLOCK];
    struct wm_lease *running[4];
    size_t ends[4];
};

static struct cell *cell_of(struct world *w, const struct wm_lease *l, int group, size_t position)
{
    const struct wm_kv_table *t = &l->table[group];
    int64_t at = (int64_t)(position / WM_KV_BLOCK) - t->first;
    if (at < 0 || at >= t->n)
        fail_msg("position %zu of group %d has no block", position, group);
    return &w->memory[group][t->blocks[at]][position % WM_KV_BLOCK];
}

/* Everything that the next token may look at is what this owner wrote there. */
static void check_lease(struct world *w, const struct wm_lease *l)
{
    size_t chunk = (size_t)w->options->chunk, from = chunk ? l->ids.n / chunk * chunk : l->ids.n;
    for (int g = 0; g < WM_KV_GROUPS; g++)
        for (size_t p = g == WM_GROUP_GLOBAL ? 0 : from; p < l->ids.n && w->options->blocks[g]; p++) {
            const struct cell *cell = cell_of(w, l, g, p);
            if (cell->owner != l->owner || cell->position != p || cell->id != l->ids.ids[p])
                fail_msg("owner %d does not find position %zu of group %d", (int)l->owner, p, g);
        }
}

static void write_some(struct world *w, struct wm_lease *l, size_t n, int32_t salt)
{
    int32_t ids[REACH];
    for (size_t i = 0; i < n; i++) {
        size_t p = l->ids.n + i;
        ids[i] = (int32_t)p + (p < 50 ? 0 : salt); /* prompts of one owner differ behind 50 */
        for (int g = 0; g < WM_KV_GROUPS; g++)
            if (w->options->blocks[g])
                *cell_of(w, l, g, p) = (struct cell){l->owner, p, ids[i]};
    }
    assert_int_equal(wm_kv_cache_wrote(w->cache, l, ids, n), WM_OK);
}

static void check_no_block_twice(const struct world *w)
{
    struct wm_kv_cache_counts counts = wm_kv_cache_counts(w->cache);
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        bool held[BLOCKS * 2] = {false};
        int32_t n = 0;
        for (size_t r = 0; r < COUNT(w->running); r++)
            for (int32_t b = 0; w->running[r] && b < w->running[r]->table[g].n; b++, n++) {
                assert_false(held[w->running[r]->table[g].blocks[b]]);
                held[w->running[r]->table[g].blocks[b]] = true;
            }
        assert_true(counts.used[g] >= n && counts.used[g] <= counts.blocks[g]);
    }
}

/* A long random life of many owners side by side, against a memory that remembers who wrote what. */
static void live(const struct wm_kv_cache_options *options)
{
    enum { STEPS = 12000, OWNERS = 12 };
    static struct world w;
    uint32_t seed = 5;
    w = (struct world){.options = options, .cache = make_cache(options)};
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525 + 1013904223;
        size_t slot = (seed >> 8) % COUNT(w.running);
        struct wm_lease *l = w.running[slot];
        uint64_t owner = (seed >> 12) % OWNERS;
        if (seed >> 27 == 0)
            wm_kv_cache_forget(w.cache, owner);
        if (!l) {
            int32_t prompt[ALL];
            size_t n = 1 + (seed >> 16) % ALL, end = n + (seed >> 20) % 40;
            for (size_t p = 0; p < n; p++)
                prompt[p] = (int32_t)p + (p < 50 ? 0 : (int32_t)(seed >> 30));
            if (lease(w.cache, owner, prompt, n, n - 1, end, &w.running[slot]) != WM_OK) {
                w.running[slot] = NULL;
                continue;
            }
            w.ends[slot] = end;
            check_lease(&w, w.running[slot]);
        } else if (l->ids.n == w.ends[slot] || seed >> 28 == 1) {
            wm_kv_cache_return(w.cache, l, seed & 0x4000000);
            w.running[slot] = NULL;
        } else {
            size_t left = w.ends[slot] - l->ids.n, n = 1 + (seed >> 16) % REACH;
            write_some(&w, l, n < left ? n : left, (int32_t)(seed >> 30));
            check_lease(&w, l);
        }
        check_no_block_twice(&w);
    }
    for (size_t r = 0; r < COUNT(w.running); r++)
        if (w.running[r])
            wm_kv_cache_return(w.cache, w.running[r], true);
    assert_true(wm_kv_cache_counts(w.cache).evicted > 0);
    wm_kv_cache_free(w.cache); /* asserts that every block came back */
}

static void every_lease_finds_what_its_owner_wrote_and_no_block_is_lost(void **state)
{
    (void)state;
    static const struct {
        int64_t chunk;
        int32_t global, local;
    } cases[] = {{0, 2 * BLOCKS, 0},       {64, 2 * BLOCKS, 2 * BLOCKS}, {64, 2 * BLOCKS, BLOCKS},
                 {12, 2 * BLOCKS, BLOCKS}, {16, BLOCKS, BLOCKS},         {100, 2 * BLOCKS, BLOCKS},
                 {12, 0, BLOCKS},          {8192, BLOCKS, BLOCKS}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_kv_cache_options o = chunked(cases[i].chunk, cases[i].global, cases[i].local);
        o.discard = NULL;
        live(&o);
    }
}

/* --- sizes ---------------------------------------------------------------------------------------------- */

static void memory_is_divided_as_a_full_conversation_needs_it(void **state)
{
    (void)state;
    static const struct {
        size_t ceiling, block_bytes[WM_KV_GROUPS];
        int64_t chunk;
        int32_t reach, context, want_context, want[WM_KV_GROUPS];
    } cases[] = {
        {1000, {10, 0}, 0, 256, 320, 320, {100, 0}},     /* one group takes it all */
        {99, {10, 0}, 0, 256, 3200, 288, {9, 0}},        /* the context shrinks */
        {1000, {10, 30}, 8192, 256, 320, 320, {25, 25}}, /* within a chunk: equal numbers */
        {2000, {10, 30}, 64, 1, 3200, 3200, {110, 3}}, /* 100 global blocks go with 3 local ones: at least */
        {400, {10, 30}, 64, 1, 3200, 992, {31, 3}},    /* 31 global and 3 local */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_kv_cache_options o = {.chunk = cases[i].chunk, .reach = cases[i].reach};
        int32_t context = cases[i].context;
        assert_true(wm_kv_size(cases[i].ceiling, cases[i].block_bytes, &o, &context));
        if (context != cases[i].want_context)
            fail_msg("case %zu: context %d", i, context);
        size_t bytes = 0;
        for (int g = 0; g < WM_KV_GROUPS; g++) {
            assert_true(o.blocks[g] >= wm_kv_cache_most_blocks(&o, g, context));
            bytes += (size_t)o.blocks[g] * cases[i].block_bytes[g];
            if (i != 3)
                assert_int_equal(o.blocks[g], cases[i].want[g]);
        }
        assert_true(bytes <= cases[i].ceiling);
    }
    struct wm_kv_cache_options o = {.chunk = 64, .reach = 16};
    int32_t context = 100;
    assert_false(wm_kv_size(39, (size_t[]){10, 30}, &o, &context));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_equal_prefix_is_found_to_the_token),
        cmocka_unit_test(a_prefix_ends_where_another_picture_stands),
        cmocka_unit_test(the_least_recently_used_lose_their_tails_first),
        cmocka_unit_test(what_runs_is_never_evicted),
        cmocka_unit_test(nobody_and_the_forgotten_leave_nothing_and_their_bytes_are_discarded),
        cmocka_unit_test(blocks_that_were_never_written_are_not_discarded),
        cmocka_unit_test(local_blocks_go_when_their_chunk_ends),
        cmocka_unit_test(a_sequence_goes_on_where_its_chunk_is_and_else_where_its_chunk_begins),
        cmocka_unit_test(without_its_local_blocks_a_resident_keeps_all_but_its_last_chunk),
        cmocka_unit_test(every_lease_finds_what_its_owner_wrote_and_no_block_is_lost),
        cmocka_unit_test(memory_is_divided_as_a_full_conversation_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* kv_cache_test.c -- whose tokens lie where: reuse, eviction, limits, and that no block is lost or in two places. */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_cache.h"
#include "kernels/ops.h"

enum { BLOCKS = 8, ALL = BLOCKS * WM_KV_BLOCK };

static int discarded[BLOCKS];

static void count_discard(void *arg, int32_t block)
{
    (void)arg;
    discarded[block]++;
}

static struct wm_kv_cache *new_cache(void)
{
    struct wm_kv_cache *c;
    struct wm_error err = WM_ERROR_INIT;
    memset(discarded, 0, sizeof discarded);
    assert_int_equal(wm_kv_cache_new(BLOCKS, count_discard, NULL, &c, &err), WM_OK);
    return c;
}

static const int32_t *ids_of(int32_t start)
{
    static int32_t ids[ALL];
    for (int32_t i = 0; i < ALL; i++)
        ids[i] = start + i;
    return ids;
}

/* Leases, writes all positions, returns; the tokens that were found. */
static size_t use(struct wm_kv_cache *c, uint64_t owner, int32_t start, size_t positions)
{
    struct wm_lease *l;
    const int32_t *ids = ids_of(start);
    assert_int_equal(wm_kv_cache_lease(c, owner, ids, positions, positions, positions, &l), WM_OK);
    size_t found = l->ids.n;
    assert_int_equal(wm_kv_cache_wrote(l, ids + found, positions - found), WM_OK);
    wm_kv_cache_return(c, l, true);
    return found;
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
        assert_int_equal(wm_kv_cache_lease(c, 1, prompt, COUNT(prompt), cases[i].most, 100, &l), WM_OK);
        assert_int_equal(l->ids.n, cases[i].want);
        assert_int_equal(l->n_blocks, 4);
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
    assert_int_equal(wm_kv_cache_blocks_of(c, 1), 3);
    assert_int_equal(wm_kv_cache_blocks_of(c, 2), 1);
    assert_int_equal(wm_kv_cache_blocks_of(c, 3), 4);
    assert_int_equal(wm_kv_cache_counts(c).evicted, 2);
    assert_int_equal(use(c, 2, 1000, WM_KV_BLOCK), WM_KV_BLOCK); /* its head is still there */
    wm_kv_cache_free(c);
}

static void what_runs_is_never_evicted(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *a, *b, *none;
    assert_int_equal(wm_kv_cache_lease(c, 1, ids_of(0), 5, 4, 5 * WM_KV_BLOCK, &a), WM_OK);
    assert_int_equal(wm_kv_cache_lease(c, 2, ids_of(0), 5, 4, 3 * WM_KV_BLOCK, &b), WM_OK);
    assert_int_equal(wm_kv_cache_lease(c, 3, ids_of(0), 5, 4, 1, &none), WM_EAGAIN);
    assert_int_equal(wm_kv_cache_lease(c, 2, ids_of(0), 5, 4, 1, &none), WM_EEXIST);
    assert_int_equal(wm_kv_cache_lease(c, 3, ids_of(0), 5, 4, ALL + 1, &none), WM_ELIMIT);
    assert_true(wm_kv_cache_runs(c, 2) && !wm_kv_cache_runs(c, 3));
    wm_kv_cache_return(c, b, true);
    assert_int_equal(wm_kv_cache_lease(c, 3, ids_of(0), 5, 4, 3 * WM_KV_BLOCK, &b), WM_OK);
    wm_kv_cache_return(c, a, false);
    wm_kv_cache_return(c, b, false);
    assert_int_equal(wm_kv_cache_counts(c).used, 0);
    wm_kv_cache_free(c);
}

static void nobody_and_the_forgotten_leave_nothing_and_their_bytes_are_discarded(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *l;
    use(c, 0, 0, 40);
    assert_int_equal(wm_kv_cache_counts(c).used, 0);
    assert_int_equal(discarded[0] + discarded[1], 2);
    use(c, 5, 0, 40);
    wm_kv_cache_forget(c, 5);
    wm_kv_cache_forget(c, 6); /* unknown */
    assert_int_equal(wm_kv_cache_blocks_of(c, 5), 0);
    assert_int_equal(wm_kv_cache_lease(c, 5, ids_of(0), 40, 39, 40, &l), WM_OK);
    assert_int_equal(l->ids.n, 0);
    wm_kv_cache_forget(c, 5); /* while it runs */
    wm_kv_cache_return(c, l, true);
    assert_int_equal(wm_kv_cache_counts(c).used, 0);
    wm_kv_cache_free(c);
}

static void blocks_that_were_never_written_are_not_discarded(void **state)
{
    (void)state;
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *l;
    int total = 0;
    assert_int_equal(wm_kv_cache_lease(c, 1, ids_of(0), 40, 39, ALL, &l), WM_OK);
    assert_int_equal(wm_kv_cache_wrote(l, ids_of(0), 40), WM_OK);
    wm_kv_cache_return(c, l, true);
    assert_int_equal(wm_kv_cache_blocks_of(c, 1), 2); /* the reserve has gone back */
    for (int b = 0; b < BLOCKS; b++)
        total += discarded[b];
    assert_int_equal(total, 0);
    wm_kv_cache_free(c);
}

/* A long random life: leases of many owners side by side; no block is ever in two of them. */
static void no_block_is_lost_or_held_twice(void **state)
{
    (void)state;
    enum { STEPS = 20000, OWNERS = 12, RUNNING = 4 };
    struct wm_kv_cache *c = new_cache();
    struct wm_lease *running[RUNNING] = {NULL};
    uint32_t seed = 5;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525 + 1013904223;
        struct wm_lease **slot = &running[(seed >> 8) % RUNNING];
        uint64_t owner = (seed >> 12) % OWNERS;
        size_t positions = 1 + (seed >> 16) % (ALL / 2);
        if (seed >> 28 == 0)
            wm_kv_cache_forget(c, owner);
        if (*slot) {
            size_t room = (size_t)(*slot)->n_blocks * WM_KV_BLOCK - (*slot)->ids.n,
                   n = (seed >> 16) % (room + 1);
            assert_int_equal(wm_kv_cache_wrote(*slot, ids_of((int32_t)(*slot)->ids.n), n), WM_OK);
            wm_kv_cache_return(c, *slot, seed >> 31);
            *slot = NULL;
        } else if (wm_kv_cache_lease(c, owner, ids_of(0), positions, positions, positions, slot) != WM_OK) {
            *slot = NULL;
        }
        bool held[BLOCKS] = {false};
        int32_t n = 0;
        for (int r = 0; r < RUNNING; r++)
            for (int32_t b = 0; running[r] && b < running[r]->n_blocks; b++, n++) {
                assert_false(held[running[r]->blocks[b]]);
                held[running[r]->blocks[b]] = true;
            }
        assert_true(wm_kv_cache_counts(c).used >= n && wm_kv_cache_counts(c).used <= BLOCKS);
    }
    for (int r = 0; r < RUNNING; r++)
        if (running[r])
            wm_kv_cache_return(c, running[r], true);
    wm_kv_cache_free(c); /* asserts that every block came back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_equal_prefix_is_found_to_the_token),
        cmocka_unit_test(the_least_recently_used_lose_their_tails_first),
        cmocka_unit_test(what_runs_is_never_evicted),
        cmocka_unit_test(nobody_and_the_forgotten_leave_nothing_and_their_bytes_are_discarded),
        cmocka_unit_test(blocks_that_were_never_written_are_not_discarded),
        cmocka_unit_test(no_block_is_lost_or_held_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* queue_test.c -- whose turn it is, and that random numbers depend on nothing but seed and place. */
#include "tests/check.h"

#include <stdlib.h>

#include "engine/batch.h"
#include "engine/queue.h"

enum { MAX = 8 };

static const struct {
    const char *what;
    uint64_t step; /* now; everybody came at step 0 */
    struct {
        uint64_t owner;
        enum wm_priority priority;
    } waiting[MAX];   /* ids 1, 2, ... in this order; owner 0 ends the list */
    uint64_t running; /* this owner runs; 0: none */
    uint64_t want;    /* id; 0: none */
} cases[] = {
    {"nobody", 0, {{0}}, 0, 0},
    {"the oldest", 0, {{1, WM_PRIORITY_MESSAGE}, {2, WM_PRIORITY_MESSAGE}}, 0, 1},
    {"a stream before a message", 0, {{1, WM_PRIORITY_MESSAGE}, {2, WM_PRIORITY_STREAM}}, 0, 2},
    {"an aged message before a stream",
     WM_AGED_STEPS,
     {{1, WM_PRIORITY_MESSAGE}, {2, WM_PRIORITY_STREAM}},
     0,
     1},
    {"nobody whose owner runs", 0, {{1, WM_PRIORITY_STREAM}, {2, WM_PRIORITY_MESSAGE}}, 1, 2},
    {"nobody at all when the only owner runs", 0, {{1, WM_PRIORITY_STREAM}, {1, WM_PRIORITY_MESSAGE}}, 1, 0},
    {"the older of one owner, though the younger hurries",
     0,
     {{1, WM_PRIORITY_MESSAGE}, {2, WM_PRIORITY_MESSAGE}, {1, WM_PRIORITY_STREAM}},
     0,
     1},
};

static void the_turn_is_that_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_queue q = {0};
        struct wm_request requests[MAX] = {{.id = 0}};
        struct wm_kv_cache *cache;
        struct wm_lease *lease = NULL;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_kv_cache_new(&(struct wm_kv_cache_options){.blocks = {4}}, &cache, &err), WM_OK);
        if (cases[i].running) {
            struct wm_kv_ask ask = {.owner = cases[i].running, .ids = (int32_t[]){1}, .n = 1, .positions = 1};
            assert_int_equal(wm_kv_cache_lease(cache, &ask, &lease), WM_OK);
        }
        for (size_t r = 0; r < MAX && cases[i].waiting[r].owner; r++) {
            requests[r].id = r + 1;
            requests[r].ask.owner = cases[i].waiting[r].owner;
            requests[r].ask.priority = cases[i].waiting[r].priority;
            wm_queue_add(&q, &requests[r]);
        }
        struct wm_request *next = wm_queue_next(&q, cache, cases[i].step);
        if ((next ? next->id : 0) != cases[i].want)
            fail_msg("%s: the turn is %d's", cases[i].what, next ? (int)next->id : 0);
        if (next)
            wm_queue_remove(&q, next);
        if (lease)
            wm_kv_cache_return(cache, lease, false);
        wm_kv_cache_free(cache);
    }
}

static void requests_leave_the_queue_from_any_place(void **state)
{
    (void)state;
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct wm_queue q = {0};
        struct wm_request r[4] = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
        for (int k = 0; k < 3; k++)
            wm_queue_add(&q, &r[k]);
        for (int k = 0; k < 3; k++)
            wm_queue_remove(&q, &r[orders[i][k]]);
        assert_null(q.first);
        wm_queue_add(&q, &r[3]);
        assert_ptr_equal(q.first, &r[3]);
    }
}

static void uniform_numbers_are_spread_and_repeat(void **state)
{
    (void)state;
    enum { N = 20000, BINS = 10 };
    int bins[BINS] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double u = wm_uniform(42, i);
        assert_true(u >= 0 && u < 1);
        assert_true(u == wm_uniform(42, i));
        bins[(int)(u * BINS)]++;
    }
    for (int b = 0; b < BINS; b++)
        CHECK_NEAR(bins[b], (double)N / BINS, 250); /* six standard deviations */
    assert_true(wm_uniform(1, 0) != wm_uniform(2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_turn_is_that_of),
        cmocka_unit_test(requests_leave_the_queue_from_any_place),
        cmocka_unit_test(uniform_numbers_are_spread_and_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* share_test.c -- who gets the writer's time, told by a price and not by a count. Time is passed in. */
#include "tests/check.h"

#include "sessions/share.h"

enum { SECOND = 1000000, STEP = 1000 }; /* microseconds */

struct load {
    struct wm_share share;
    int64_t now_us, used_us; /* by jobs */
    uint64_t read, spent_us;
};

static struct load load_new(int cores)
{
    struct load l = {.now_us = SECOND};
    wm_share_init(&l.share, l.now_us, cores);
    return l;
}

/* Rounds of a millisecond, at a rate of bodies whose events cost so much each; jobs always want more. */
static void run(struct load *l, int64_t us, int rate, int cost_us)
{
    l->used_us = 0;
    for (int64_t end = l->now_us + us, k = 0; l->now_us < end; k++) {
        l->now_us += STEP;
        uint64_t bodies = (uint64_t)((k + 1) * rate / 1000 - k * rate / 1000);
        l->read += bodies;
        l->spent_us += bodies * (uint64_t)cost_us;
        wm_share_round(&l->share, l->now_us, bodies, l->read, l->spent_us);
        int64_t credit = wm_share_credit(&l->share, l->now_us, bodies == 0);
        int64_t used = credit > 0 ? 300 : 0; /* a job is not cut in pieces: it may overdraw */
        wm_share_spend(&l->share, used);
        l->used_us += used;
    }
}

static void the_price_of_the_events_tells_a_flood(void **state)
{
    (void)state;
    static const struct {
        int cores, rate, cost_us;
        bool flood;
    } cases[] = {
        {2, 0, 20, false},     {2, 12000, 20, false}, {2, 20000, 20, true},
        {2, 20000, 5, false},  {2, 5000, 100, true},  {1, 12000, 20, true},
        {8, 40000, 20, false}, {2, 60000, 20, true},  {64, 60000, 20, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct load l = load_new(cases[i].cores);
        run(&l, SECOND, cases[i].rate, cases[i].cost_us);
        assert_int_equal(l.share.flood, cases[i].flood);
    }
}

static void jobs_get_their_share_and_no_more(void **state)
{
    (void)state;
    struct load calm = load_new(2), flood = load_new(2);
    run(&calm, 10 * SECOND, 8000, 20);
    CHECK_NEAR((double)calm.used_us / (10 * SECOND), 0.3,
               0.2); /* all that was asked for: 300 us of each round */
    run(&flood, SECOND, 30000, 20);
    run(&flood, 10 * SECOND, 30000, 20);
    CHECK_NEAR((double)flood.used_us / (10 * SECOND), 0.01, 0.001);
}

static void a_flood_does_not_end_by_being_served(void **state)
{
    (void)state;
    struct load l = load_new(2);
    run(&l, SECOND, 18000, 20);
    assert_true(l.share.flood);
    run(&l, SECOND, 15000, 20); /* would not have begun one */
    assert_true(l.share.flood);
    run(&l, SECOND, 12000, 20);
    assert_false(l.share.flood);
    run(&l, SECOND, 15000, 20);
    assert_false(l.share.flood);
}

static void jobs_have_all_the_time_soon_after_the_last_body(void **state)
{
    (void)state;
    struct load l = load_new(2);
    run(&l, SECOND, 30000, 20);
    wm_share_spend(&l.share, SECOND); /* however much they have overdrawn */
    run(&l, 200000, 0, 20);
    assert_false(l.share.flood);
    assert_true(wm_share_credit(&l.share, l.now_us, true) > 0);
    assert_int_equal(wm_share_wait_ms(&l.share), 0);
}

static void the_wait_for_credit_is_as_long_as_needed_and_no_longer_than_a_window(void **state)
{
    (void)state;
    struct load l = load_new(2);
    run(&l, SECOND, 30000, 20);
    static const struct {
        int64_t credit_us, wait_ms;
    } cases[] = {{1, 0}, {0, 1}, {-9, 2}, {-500, 51}, {-SECOND, 101}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        l.share.credit_us = cases[i].credit_us;
        assert_int_equal(wm_share_wait_ms(&l.share), cases[i].wait_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_price_of_the_events_tells_a_flood),
        cmocka_unit_test(jobs_get_their_share_and_no_more),
        cmocka_unit_test(a_flood_does_not_end_by_being_served),
        cmocka_unit_test(jobs_have_all_the_time_soon_after_the_last_body),
        cmocka_unit_test(the_wait_for_credit_is_as_long_as_needed_and_no_longer_than_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

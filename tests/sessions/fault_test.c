/* fault_test.c -- a disk that fails at the n-th write, for every n: what was acknowledged is there once, in order, and
 * answered once. WM_LONG=1 tries each n; else a spread of them.
 */
#include "tests/check.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/log.h"
#include "tests/sessions/fault_vfs.h"
#include "tests/sessions/proof.h"
#include "tests/sessions/world.h"

enum { CONTACTS = 3, MESSAGES = 8, TRIES = 2000, RUNS = 24 };

static void hasty(struct world *w)
{
    w->binding.settle_quiet_ms = 5;
    w->binding.settle_at_most_ms = 20;
}

/* As a platform does: again until it gets a 200. */
static void post_until_taken(struct world *w, int contact, int i)
{
    for (int tries = 0; tries < TRIES; tries++) {
        if (world_post(w, "text|m%d.%d|c%d|+0|%d", contact, i, contact, i) == WM_OK)
            return;
        usleep(5000);
    }
    fail_msg("the store never took message %d of contact %d", i, contact);
}

static void converse(struct world *w)
{
    for (int i = 0; i < MESSAGES; i++)
        for (int c = 0; c < CONTACTS; c++) {
            post_until_taken(w, c, i);
            if ((i + c) % 3 == 0)
                post_until_taken(w, c, i); /* a repeat */
        }
}

static void prove(struct world *w)
{
    for (int c = 0; c < CONTACTS; c++) {
        char contact[16];
        const char *replies[MESSAGES * 2];
        char texts[MESSAGES * 2][256];
        size_t n = 0;
        snprintf(contact, sizeof contact, "c%d", c);
        for (size_t i = 0; i < world_sent_n(w); i++) {
            struct sent row = world_sent_row(w, i);
            if (strcmp(row.to, contact) != 0)
                continue;
            assert_true(n < COUNT(replies));
            snprintf(texts[n], sizeof texts[n], "%.255s", row.text);
            replies[n] = texts[n];
            n++;
        }
        prove_transcript(w->dir, contact, MESSAGES);
        prove_replies(contact, replies, n, MESSAGES);
    }
}

/* Returns the number of operations that a whole run does. */
static long run_with(int kinds, long n, long more, int code)
{
    struct world *w = world_new_with(hasty);
    fault_vfs_plan(kinds, n, more, code);
    converse(w);
    if (!world_wait_idle(w))
        fail_msg("it did not come to rest after a failure at %ld", n);
    fault_vfs_heal();
    long count = fault_vfs_count();
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_true(stats.store_ok);
    prove(w);
    if (n % 2) { /* half of them also after a restart */
        world_close(w, 1000);
        world_open(w);
        assert_true(world_wait_idle(w));
        prove(w);
    }
    world_free(w);
    return count;
}

static void for_each_n(int kinds, long more, int code)
{
    wm_log_setup(WM_LOG_ERROR, 0);
    long all = run_with(kinds, 0, -1, code), step = getenv("WM_LONG") ? 1 : all / RUNS + 1;
    print_message("%ld operations, every %ld. fails\n", all, step);
    for (long n = 1; n <= all; n += step)
        run_with(kinds, n, more, code);
}

static void one_write_that_fails_loses_nothing(void **state)
{
    (void)state;
    for_each_n(FAULT_WRITE, 0, SQLITE_IOERR_WRITE);
}

static void a_disk_that_is_full_for_a_while_loses_nothing(void **state)
{
    (void)state;
    for_each_n(FAULT_WRITE, 6, SQLITE_FULL);
}

static void one_sync_that_fails_loses_nothing(void **state)
{
    (void)state;
    for_each_n(FAULT_SYNC, 0, SQLITE_IOERR_FSYNC);
}

static void while_the_disk_is_broken_nothing_is_acknowledged(void **state)
{
    (void)state;
    struct world *w = world_new_with(hasty);
    fault_vfs_plan(FAULT_WRITE | FAULT_SYNC, 1, 1000000, SQLITE_IOERR_WRITE);
    for (int i = 0; i < 20; i++) {
        enum wm_status st = world_post(w, "text|m%d|ana|+0|%d", i, i);
        assert_true(st == WM_EIO || st == WM_EAGAIN);
    }
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_false(stats.store_ok);
    assert_true(stats.store_errors > 0);
    assert_int_equal(stats.ingest_refused, 20);
    fault_vfs_heal();
    post_until_taken(w, 0, 0);
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    world_free(w);
}

static void closing_with_a_broken_disk_ends(void **state)
{
    (void)state;
    struct world *w = world_new_with(hasty);
    model_hold(&w->model, true);
    post_until_taken(w, 0, 0);
    usleep(100000);
    fault_vfs_plan(FAULT_WRITE | FAULT_SYNC, 1, 1000000, SQLITE_FULL);
    model_hold(&w->model, false);
    usleep(50000);
    world_close(w, 200);
    fault_vfs_heal();
    world_open(w);
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1); /* the turn ran again */
    world_free(w);
}

int main(void)
{
    fault_vfs_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_the_disk_is_broken_nothing_is_acknowledged),
        cmocka_unit_test(closing_with_a_broken_disk_ends),
        cmocka_unit_test(one_write_that_fails_loses_nothing),
        cmocka_unit_test(a_disk_that_is_full_for_a_while_loses_nothing),
        cmocka_unit_test(one_sync_that_fails_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

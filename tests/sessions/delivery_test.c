/* delivery_test.c -- what the platform may do to a reply, and what must come of it. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sessions/world.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, MOMENT_US = 100000 };

static enum fate first_is_lost(size_t call, const char *text)
{
    (void)text;
    return call == 0 ? FATE_LOST : FATE_SENT;
}

static enum fate first_is_lost_early(size_t call, const char *text)
{
    (void)text;
    return call == 0 ? FATE_LOST_EARLY : FATE_SENT;
}

static enum fate part_seven_fails(size_t call, const char *text)
{
    (void)call;
    return strcmp(text, "part 7") == 0 ? FATE_FAILED : FATE_SENT;
}

static enum fate refused_five_times(size_t call, const char *text)
{
    (void)text;
    return call < 5 ? FATE_RETRY : FATE_SENT;
}

static enum fate paused_twice(size_t call, const char *text)
{
    (void)text;
    return call < 2 ? FATE_PAUSE : FATE_SENT;
}

static enum fate always_held(size_t call, const char *text)
{
    (void)call, (void)text;
    return FATE_HOLD;
}

static enum fate always_refused(size_t call, const char *text)
{
    (void)call, (void)text;
    return FATE_RETRY;
}

static bool one_unknown(struct world *w)
{
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    return stats.outbox_unknown == 1;
}

static bool one_call(struct world *w)
{
    pthread_mutex_lock(&w->platform.lock);
    bool is = w->platform.calls > 0;
    pthread_mutex_unlock(&w->platform.lock);
    return is;
}

static int64_t rows(struct world *w, const char *state)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM outbox WHERE state = '%s'", state);
    return world_number(w, sql);
}

static void a_status_with_our_reference_settles_a_lost_answer(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = first_is_lost;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait(w, one_unknown));
    world_advance(w, 30000); /* not long enough for proof */
    usleep(MOMENT_US);
    assert_int_equal(world_sent_n(w), 1);
    world_post(w, "status|out.9|ana|+0|delivered|%s", world_sent_row(w, 0).ref);
    assert_true(world_wait_idle(w));
    world_advance(w, 10 * MINUTE_MS);
    usleep(MOMENT_US);
    assert_int_equal(world_sent_n(w), 1);
    assert_int_equal(rows(w, "sent"), 1);
    assert_int_equal(world_number(w, "SELECT delivery FROM outbox"), WM_DELIVERY_DELIVERED);
    assert_false(one_unknown(w));
    world_free(w);
}

static void silence_is_proof_that_it_never_arrived_and_it_is_sent_again(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = first_is_lost_early;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait(w, one_unknown));
    world_advance(w, 30000);
    usleep(MOMENT_US);
    assert_int_equal(world_sent_n(w), 0);
    world_advance(w, 40000);
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_string_equal(world_sent(w, 0), "re: hello");
    world_free(w);
}

static void without_references_silence_proves_nothing(void **state)
{
    (void)state;
    unsigned caps = fake_adapter.caps;
    fake_adapter.caps &= ~(unsigned)WM_CAP_STATUS_REF;
    struct world *w = world_new();
    w->platform.fate = first_is_lost_early;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait(w, one_unknown));
    world_advance(w, HOUR_MS);
    world_post(w, "text|m2|ana|+0|anyone?"); /* life goes on */
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: anyone?");
    assert_int_equal(rows(w, "unknown"), 1);
    world_free(w);
    fake_adapter.caps = caps;
}

static void a_row_in_flight_at_a_crash_is_unknown_afterwards(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = always_held;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait(w, one_call));
    assert_int_equal(rows(w, "sending"), 1);
    world_close(w, 0); /* as good as a crash: the call is still open */
    world_advance(w, 10 * MINUTE_MS);
    w->platform.fate = NULL;
    world_open(w);
    assert_int_equal(rows(w, "unknown"), 1);
    world_advance(w, 15 * MINUTE_MS); /* less than twice the time we were away */
    usleep(MOMENT_US);
    assert_int_equal(world_sent_n(w), 1);
    world_post(w, "status|out.1|ana|+0|sent|%s", world_sent_row(w, 0).ref);
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_int_equal(rows(w, "sent"), 1);
    /* The answer to the old call comes at last, to nobody. */
    struct wm_http_result late = {.fate = WM_HTTP_ANSWERED, .status = 200, .body = "x", .body_len = 1};
    w->platform.held_done(w->platform.held_arg, &late);
    world_free(w);
}

static void a_status_may_overtake_the_answer_to_the_call(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = always_held;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait(w, one_call));
    world_post(w, "status|out.7|ana|+0|read|%s", world_sent_row(w, 0).ref);
    usleep(MOMENT_US);
    assert_int_equal(rows(w, "sent"), 1);
    struct wm_http_result late = {.fate = WM_HTTP_LOST, .cause = "too late"};
    w->platform.held_done(w->platform.held_arg, &late);
    assert_true(world_wait_idle(w));
    assert_int_equal(rows(w, "sent"), 1);
    assert_int_equal(world_sent_n(w), 1);
    world_free(w);
}

static void statuses_in_any_order_never_step_back(void **state)
{
    (void)state;
    static const char *const orders[][4] = {{"sent", "delivered", "read", "read"},
                                            {"read", "delivered", "sent", "delivered"},
                                            {"delivered", "sent", "read", "sent"},
                                            {"delivered", "read", "sent", "sent"}};
    struct world *w = world_new();
    for (size_t i = 0; i < COUNT(orders); i++) {
        world_post(w, "text|m%zu|ana%zu|+0|hello", i, i);
        assert_true(world_wait_sent(w, i + 1));
        assert_true(world_wait_idle(w));
        for (size_t k = 0; k < 4; k++)
            world_post(w, "status|%s|ana%zu|+0|%s|", world_sent_row(w, i).id, i, orders[i][k]);
    }
    assert_true(world_wait_idle(w));
    assert_int_equal(world_number(w, "SELECT count(*) FROM outbox WHERE delivery = 3 AND state = 'sent'"),
                     COUNT(orders));
    /* failed is final */
    world_post(w, "status|%s|ana0|+0|failed|", world_sent_row(w, 0).id);
    world_post(w, "status|%s|ana0|+0|played|", world_sent_row(w, 0).id);
    world_post(w, "status|nobodys|ana0|+0|read|");
    world_post(w, "status|nobodys|ana0|+0|sent|wm:00000000:1"); /* another installation's reference */
    assert_true(world_wait_idle(w));
    assert_int_equal(world_number(w, "SELECT count(*) FROM outbox WHERE delivery = 5 AND state = 'failed'"),
                     1);
    world_free(w);
}

static void of_a_hundred_parts_the_seventh_fails_alone(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = part_seven_fails;
    world_post(w, "text|m1|ana|+0|parts:100");
    assert_true(world_wait_sent(w, 99));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 99);
    for (int i = 0; i < 99; i++) {
        char want[32];
        snprintf(want, sizeof want, "part %d", i < 6 ? i + 1 : i + 2);
        assert_string_equal(world_sent(w, (size_t)i), want);
    }
    assert_int_equal(rows(w, "failed"), 1);
    assert_int_equal(rows(w, "sent"), 99);
    world_free(w);
}

static void refusals_are_repeated_until_they_end(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = refused_five_times;
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_int_equal(stats.outbox_retries, 5);
    assert_int_equal(stats.outbox_sent, 1);
    assert_int_equal(stats.outbox_queued, 0);
    world_free(w);
}

static void a_paused_channel_keeps_its_queue(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = paused_twice;
    world_post(w, "text|m1|ana|+0|hello");
    world_post(w, "text|m2|bob|+0|hello");
    assert_true(world_wait_sent(w, 2));
    assert_true(world_wait_idle(w));
    assert_int_equal(rows(w, "sent"), 2);
    world_free(w);
}

static void nothing_is_sent_after_the_window_has_closed(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->platform.fate = always_refused;
    world_post(w, "text|m1|ana|+0|parts:3");
    assert_true(world_wait(w, one_call));
    world_advance(w, 24LL * HOUR_MS - 4 * MINUTE_MS);
    assert_true(world_wait_idle(w));
    assert_int_equal(rows(w, "failed"), 3);
    assert_int_equal(world_number(w, "SELECT count(*) FROM outbox WHERE error LIKE '%window%'"), 3);
    world_free(w);
}

static void stop_and_takeover_hold_back_what_is_queued(void **state)
{
    (void)state;
    static const char *const halts[] = {"text|x|ana|+0|stop", "echo|x|ana|+0|Marta here"};
    for (size_t i = 0; i < COUNT(halts); i++) {
        struct world *w = world_new();
        w->platform.fate = always_refused;
        world_post(w, "text|m1|ana|+0|parts:5");
        assert_true(world_wait(w, one_call));
        world_post(w, "%s", halts[i]);
        w->platform.fate = NULL;
        assert_true(world_wait_idle(w));
        for (size_t k = 0; k < world_sent_n(w); k++)
            assert_null(strstr(world_sent(w, k), "part"));
        assert_int_equal(world_number(w, "SELECT count(*) FROM outbox WHERE error LIKE 'withheld%'"), 5);
        world_free(w);
    }
}

static void typing_and_read_marks_are_shown(void **state)
{
    (void)state;
    struct world *w = world_new();
    model_hold(&w->model, true);
    world_post(w, "text|m1|ana|+0|hello");
    usleep(3 * MOMENT_US);
    size_t before = w->platform.effects;
    assert_int_equal(before, 2); /* read, typing */
    world_advance(w, 24000);
    usleep(MOMENT_US);
    assert_int_equal(w->platform.effects, before + 1); /* typing again before it fades */
    model_hold(&w->model, false);
    assert_true(world_wait_sent(w, 1));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_with_our_reference_settles_a_lost_answer),
        cmocka_unit_test(silence_is_proof_that_it_never_arrived_and_it_is_sent_again),
        cmocka_unit_test(without_references_silence_proves_nothing),
        cmocka_unit_test(a_row_in_flight_at_a_crash_is_unknown_afterwards),
        cmocka_unit_test(a_status_may_overtake_the_answer_to_the_call),
        cmocka_unit_test(statuses_in_any_order_never_step_back),
        cmocka_unit_test(of_a_hundred_parts_the_seventh_fails_alone),
        cmocka_unit_test(refusals_are_repeated_until_they_end),
        cmocka_unit_test(a_paused_channel_keeps_its_queue),
        cmocka_unit_test(nothing_is_sent_after_the_window_has_closed),
        cmocka_unit_test(stop_and_takeover_hold_back_what_is_queued),
        cmocka_unit_test(typing_and_read_marks_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

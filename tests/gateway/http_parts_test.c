/* http_parts_test.c -- the small tools of the HTTP server: the wheel of deadlines, and connections per address. */
#include "tests/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/deadlines.h"
#include "gateway/http/peers.h"

enum { THINGS = 500 };

struct thing {
    struct wm_http_timed timed;
    int64_t late_at_ms; /* 0: not yet */
};

static int64_t now_ms;

static void note_late(struct wm_http_timed *t)
{
    ((struct thing *)t)->late_at_ms = now_ms;
}

static void a_thing_is_late_after_its_deadline_and_within_a_tick(void **state)
{
    (void)state;
    static struct wm_http_wheel wheel;
    static struct thing things[THINGS];
    memset(things, 0, sizeof things);
    srand(1);
    now_ms = 123456789;
    wm_http_wheel_start(&wheel, now_ms);
    for (int i = 0; i < THINGS; i++)
        wm_http_wheel_set(&wheel, &things[i].timed, now_ms + rand() % 300000);
    for (int turn = 0; turn < 3600; turn++, now_ms += 100) {
        for (int i = 0; i < 5; i++) { /* deadlines move, to earlier and to later, and off the wheel */
            struct thing *t = &things[rand() % THINGS];
            if (t->late_at_ms == 0 && turn < 500)
                wm_http_wheel_set(&wheel, &t->timed, now_ms + rand() % 300000);
        }
        wm_http_wheel_turn(&wheel, now_ms, note_late);
    }
    for (int i = 0; i < THINGS; i++) {
        int64_t lateness = things[i].late_at_ms - things[i].timed.due_ms;
        if (lateness < 0 || lateness > 2 * WM_HTTP_TICK_MS)
            fail_msg("thing %d: noticed %lld ms after its deadline", i, (long long)lateness);
    }
}

static void what_is_removed_or_never_due_is_never_late(void **state)
{
    (void)state;
    static struct wm_http_wheel wheel;
    struct thing removed = {0}, never = {0}, later = {0};
    now_ms = 1000;
    wm_http_wheel_start(&wheel, now_ms);
    wm_http_wheel_set(&wheel, &removed.timed, 2000);
    wm_http_wheel_set(&wheel, &never.timed, WM_HTTP_NEVER);
    wm_http_wheel_set(&wheel, &later.timed, 2000);
    wm_http_wheel_set(&wheel, &later.timed, 500000);
    wm_http_wheel_remove(&removed.timed);
    wm_http_wheel_remove(&removed.timed);
    for (; now_ms < 499000; now_ms += 100)
        wm_http_wheel_turn(&wheel, now_ms, note_late);
    assert_int_equal(removed.late_at_ms, 0);
    assert_int_equal(never.late_at_ms, 0);
    assert_int_equal(later.late_at_ms, 0);
}

static struct wm_http_wheel *chain_wheel;
static struct thing chain[3];

static void remove_the_next(struct wm_http_timed *t)
{
    note_late(t);
    for (int i = 0; i < 3; i++)
        if (!chain[i].late_at_ms)
            wm_http_wheel_remove(&chain[i].timed);
    wm_http_wheel_set(chain_wheel, t, now_ms + 10000); /* and itself again */
}

static void the_late_may_take_others_of_their_slot_off_the_wheel(void **state)
{
    (void)state;
    static struct wm_http_wheel wheel;
    chain_wheel = &wheel;
    now_ms = 1000;
    wm_http_wheel_start(&wheel, now_ms);
    for (int i = 0; i < 3; i++)
        wm_http_wheel_set(&wheel, &chain[i].timed, 1500);
    now_ms = 2000;
    wm_http_wheel_turn(&wheel, now_ms, remove_the_next);
    assert_int_equal(!!chain[0].late_at_ms + !!chain[1].late_at_ms + !!chain[2].late_at_ms, 1);
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        out.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        out.ss_family = AF_INET6;
    return out;
}

static void connections_are_counted_by_address_and_ipv6_by_its_network(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true}, {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8::1", "2001:db8::ffff", true}, {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_http_peers *peers = calloc(1, sizeof *peers);
        struct sockaddr_storage a = address(cases[i].a), b = address(cases[i].b);
        struct wm_http_peer *first = wm_http_peer_enter(peers, &a, 1),
                            *second = wm_http_peer_enter(peers, &b, 1);
        assert_non_null(first);
        assert_int_equal(second == NULL, cases[i].same);
        if (second)
            wm_http_peer_leave(peers, second);
        wm_http_peer_leave(peers, first);
        first = wm_http_peer_enter(peers, &b, 1); /* who has left makes room */
        assert_non_null(first);
        wm_http_peer_leave(peers, first);
        free(peers);
    }
}

static void addresses_are_shown_and_loopback_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *given, *shown;
        bool loopback;
    } cases[] = {{"127.0.0.1", "127.0.0.1", true},
                 {"127.9.9.9", "127.9.9.9", true},
                 {"::1", "::1", true},
                 {"::ffff:127.0.0.1", "127.0.0.1", true},
                 {"192.0.2.1", "192.0.2.1", false},
                 {"2001:db8::1", "2001:db8::1", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sockaddr_storage a = address(cases[i].given);
        char text[INET6_ADDRSTRLEN];
        wm_http_address_text(&a, text, sizeof text);
        assert_string_equal(text, cases[i].shown);
        assert_int_equal(wm_http_address_is_loopback(&a), cases[i].loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thing_is_late_after_its_deadline_and_within_a_tick),
        cmocka_unit_test(what_is_removed_or_never_due_is_never_late),
        cmocka_unit_test(the_late_may_take_others_of_their_slot_off_the_wheel),
        cmocka_unit_test(connections_are_counted_by_address_and_ipv6_by_its_network),
        cmocka_unit_test(addresses_are_shown_and_loopback_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

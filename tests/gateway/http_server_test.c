/* http_server_test.c -- one connection at a time: what is answered, in which order, and when a connection ends. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "tests/gateway/http_peer.h"

static struct house house;
static struct heard heard;

static int open_house(void **state)
{
    (void)state;
    static const struct wm_http_limits quick = {
        .head_ms = 300, .body_ms = 300, .idle_ms = 500, .answer_ms = 500};
    house_open(&house, &quick, NULL, NULL);
    return 0;
}

static int close_house(void **state)
{
    (void)state;
    house_close(&house);
    wm_buffer_free(&heard.body);
    return 0;
}

static void a_request_is_answered_and_the_connection_kept(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    for (int i = 0; i < 3; i++) {
        peer_post(&p, "/echo?q=1", "hello", 5);
        assert_int_equal(peer_hear(&p, &heard), 200);
        assert_string_equal(heard.body.data, "POST /echo?q=1 5 hello");
    }
    static const char *const lines[] = {"\r\nDate: ",
                                        "\r\nContent-Type: text/plain\r\n",
                                        "\r\nX-Content-Type-Options: nosniff\r\n",
                                        "\r\nReferrer-Policy: no-referrer\r\n",
                                        "\r\nCache-Control: no-store\r\n",
                                        "\r\nContent-Security-Policy: default-src 'none'"};
    for (size_t i = 0; i < COUNT(lines); i++)
        if (!strstr(heard.head, lines[i]))
            fail_msg("no%s in %s", lines[i], heard.head);
    assert_null(strstr(heard.head, "Connection:"));
    peer_close(&p);
}

static void a_handlers_own_headers_replace_the_defaults(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_get(&p, "/page");
    wm_http_reply(house_take(&house), 200, "text/html", "cache-control: max-age=60\r\nX-A: b\r\n", "x", 1);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_non_null(strstr(heard.head, "cache-control: max-age=60\r\nX-A: b\r\n"));
    assert_null(strstr(heard.head, "no-store"));
    peer_close(&p);
}

static void head_has_the_length_but_not_the_body(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_say(
        &p,
        "HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_true(peer_ended(&p, 5000));
    char *second = strstr(p.in.data + 1, "HTTP/1.1 200");
    assert_non_null(second);
    assert_non_null(strstr(p.in.data, "Content-Length: 14\r\n"));
    assert_memory_equal(second - 4, "\r\n\r\n", 4);
    peer_close(&p);
}

static void pipelined_requests_are_answered_in_order_until_one_is_bad(void **state)
{
    (void)state;
    enum { REQUESTS = 100, BAD = 50 };
    struct wm_buffer all = WM_BUFFER(1 << 20);
    for (int i = 0; i < REQUESTS; i++)
        wm_buffer_printf(&all, "POST /echo?%d HTTP/1.1\r\nHost: a\r\n%s: 3\r\n\r\nabc", i,
                         i == BAD ? "Content-Length: 3\r\nContent-Length" : "Content-Length");
    struct peer p = peer_connect(house.port);
    int before = house.handled;
    peer_send(&p, all.data, all.len);
    for (int i = 0; i < BAD; i++) {
        char want[64];
        snprintf(want, sizeof want, "POST /echo?%d 3 abc", i);
        assert_int_equal(peer_hear(&p, &heard), 200);
        assert_string_equal(heard.body.data, want);
    }
    assert_int_equal(peer_hear(&p, &heard), 400);
    assert_true(peer_ended(&p, 5000));
    assert_int_equal(p.in.len, 0);
    assert_int_equal(house.handled - before, BAD);
    peer_close(&p);
    wm_buffer_free(&all);
}

static void a_smuggled_request_is_never_handled(void **state)
{
    (void)state;
    static const char *const heads[] = {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                                        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                                        "Content-Length: 4\r\nContent-Length: 40\r\n",
                                        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
                                        "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
                                        "Content-Length: 4\n\r\n"};
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct peer p = peer_connect(house.port);
        int before = house.handled;
        char text[400];
        snprintf(
            text, sizeof text,
            "POST /echo HTTP/1.1\r\nHost: a\r\n%s\r\n0\r\n\r\nGET /echo?smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            heads[i]);
        peer_say(&p, text);
        assert_int_equal(peer_hear(&p, &heard), 400);
        assert_non_null(strstr(heard.head, "\r\nConnection: close\r\n"));
        assert_true(peer_ended(&p, 5000));
        assert_int_equal(house.handled, before);
        peer_close(&p);
    }
}

static void bytes_behind_a_request_do_not_disturb_its_answer(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_post(&p, "/held", "abc", 3);
    struct wm_http_exchange *x = house_take(&house);
    int64_t cpu = house_cpu_ms();
    peer_say(&p, "stray bytes that are no request\r\n");
    usleep(200000);
    assert_true(house_cpu_ms() - cpu < 100); /* nobody spins on them */
    wm_http_reply(x, 200, NULL, NULL, "ok", 2);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_string_equal(heard.body.data, "ok");
    assert_int_equal(peer_hear(&p, &heard), 400);
    peer_close(&p);
}

static void a_half_closed_peer_gets_its_answer(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_post(&p, "/held", "abc", 3);
    shutdown(p.fd, SHUT_WR);
    struct wm_http_exchange *x = house_take(&house);
    int64_t cpu = house_cpu_ms();
    usleep(200000);
    assert_true(house_cpu_ms() - cpu < 100);
    wm_http_reply(x, 200, NULL, NULL, "ok", 2);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_true(peer_ended(&p, 5000));
    peer_close(&p);
}

static void a_peer_that_left_does_not_harm_a_late_answer(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct peer p = peer_connect(house.port);
        peer_post(&p, "/held", "abc", 3);
        struct wm_http_exchange *x = house_take(&house);
        const struct wm_http_request *r = wm_http_request(x);
        if (reset)
            setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        peer_close(&p);
        assert_memory_equal(r->body, "abc", 3); /* the request is the exchange's, not the connection's */
        assert_string_equal(r->peer, "127.0.0.1");
        wm_http_reply(x, 200, NULL, NULL, "late", 4);
        house_await(&house, open_connections, 0);
    }
}

static void a_body_at_its_limit_is_taken_and_one_byte_more_is_not(void **state)
{
    (void)state;
    enum { LIMIT = 3 << 20 };
    char *body = calloc(1, LIMIT + 1);
    struct peer p = peer_connect(house.port);
    peer_post(&p, "/echo", body, LIMIT);
    assert_int_equal(peer_hear(&p, &heard), 200);
    peer_post(&p, "/echo", body, LIMIT + 1);
    assert_int_equal(peer_hear(&p, &heard), 413);
    assert_true(peer_ended(&p, 5000));
    peer_close(&p);
    free(body);
}

static void a_route_sets_its_own_limit_and_may_refuse_the_head(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t len;
        int status;
    } cases[] = {
        {"/small", 11, 413}, {"/large", (4 << 20) + 1, 413}, {"/no/404", 5, 404}, {"/no/405", 1 << 20, 405}};
    char *body = calloc(1, (4 << 20) + 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct peer p = peer_connect(house.port);
        peer_post(&p, cases[i].path, body, cases[i].len);
        assert_int_equal(peer_hear(&p, &heard), cases[i].status);
        assert_true(peer_ended(&p, 5000));
        peer_close(&p);
    }
    struct peer p = peer_connect(house.port);
    peer_post(&p, "/large", body, 4 << 20);
    wm_http_reply(house_take(&house), 204, NULL, NULL, NULL, 0);
    assert_int_equal(peer_hear(&p, &heard), 204);
    assert_null(strstr(heard.head, "Content-Length"));
    peer_close(&p);
    free(body);
}

static void a_body_that_waits_for_an_invitation_gets_one(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_say(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 100);
    peer_say(&p, "hi");
    assert_int_equal(peer_hear(&p, &heard), 200);
    peer_say(&p, "POST /no/404 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 404);
    peer_close(&p);
    p = peer_connect(house.port);
    peer_say(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 100);
    assert_int_equal(peer_hear(&p, &heard), 408); /* and then silence */
    peer_close(&p);
}

/* Sends `text` and then a byte every 50 ms; returns the milliseconds until the answer, whose status is `want`. */
static int64_t drip(const char *text, char byte, int want)
{
    struct peer p = peer_connect(house.port);
    int64_t began = wm_now_ms();
    peer_say(&p, text);
    while (wm_now_ms() - began < 5000 && !peer_ended(&p, 50))
        peer_send(&p, &byte, 1);
    int64_t took = wm_now_ms() - began;
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", want);
    assert_non_null(p.in.data);
    assert_memory_equal(p.in.data, line, strlen(line));
    peer_close(&p);
    return took;
}

static void a_deadline_is_absolute_however_often_a_byte_drips(void **state)
{
    (void)state;
    assert_true(drip("GET /echo HTTP/1.1\r\nHost: a\r\nX: ", 'x', 408) < 2800);
    assert_true(drip("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", 'x', 408) < 2800);
    assert_true(drip("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", 'x', 408) <
                2800);
}

static void silence_ends_a_connection_without_a_word(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    assert_true(peer_ended(&p, 2000));
    assert_int_equal(p.in.len, 0);
    peer_close(&p);
    p = peer_connect(house.port);
    peer_get(&p, "/echo");
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_true(peer_ended(&p, 2000));
    assert_int_equal(p.in.len, 0);
    peer_close(&p);
}

static void a_peer_that_does_not_read_is_cut_and_nobody_spins(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    uint64_t timeouts = house_stats(&house).timeouts;
    peer_get(&p, "/big?16000000");
    peer_say(&p, "it sends more, and still does not read");
    usleep(200000); /* what the sockets take has been taken */
    int64_t cpu = house_cpu_ms(), began = wm_now_ms();
    house_await(&house, timeouts, timeouts + 1);
    assert_true(house_cpu_ms() - cpu < (wm_now_ms() - began) / 2 + 20);
    house_await(&house, open_connections, 0);
    peer_close(&p);
}

static void a_large_answer_arrives_whole_at_a_slow_reader(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_get(&p, "/big?6000000");
    usleep(100000);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_int_equal(heard.body.len, 6000000);
    peer_get(&p, "/echo");
    assert_int_equal(peer_hear(&p, &heard), 200);
    peer_close(&p);
}

static void http_1_0_is_answered_and_closed(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    peer_say(&p, "GET /echo HTTP/1.0\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_non_null(strstr(heard.head, "\r\nConnection: close\r\n"));
    assert_true(peer_ended(&p, 1000));
    peer_close(&p);
}

static void what_follows_the_last_request_is_not_handled(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    int before = house.handled;
    peer_say(
        &p,
        "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_true(peer_ended(&p, 1000));
    assert_int_equal(p.in.len, 0);
    assert_int_equal(house.handled - before, 1);
    peer_close(&p);
}

static void what_happens_is_counted(void **state)
{
    (void)state;
    struct house h;
    house_open(&h, NULL, NULL, NULL);
    struct peer p = peer_connect(h.port);
    peer_get(&p, "/echo");
    peer_hear(&p, &heard);
    peer_say(&p, "nonsense\r\n");
    assert_int_equal(peer_hear(&p, &heard), 400);
    peer_close(&p);
    house_await(&h, open_connections, 0);
    struct wm_http_stats s = house_stats(&h);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.connections, 1);
    assert_int_equal(s.bad_requests, 1);
    assert_int_equal(s.status[2], 1);
    assert_int_equal(s.status[4], 1);
    assert_true(s.bytes_in > 30 && s.bytes_out > 300);
    house_close(&h);
}

static void answer_with_peer(void *arg, struct wm_http_exchange *x)
{
    (void)arg;
    const char *peer = wm_http_request(x)->peer;
    wm_http_reply(x, 200, NULL, NULL, peer, strlen(peer));
}

static void several_listeners_serve_and_ipv4_through_ipv6_is_shown_as_ipv4(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_http_server *s = NULL;
    struct wm_http_listener l[] = {{.address = "127.0.0.1", .handle = answer_with_peer},
                                   {.address = "::", .handle = answer_with_peer}};
    if (wm_http_server_new(l, 2, NULL, "two", &s, &err) != WM_OK)
        SKIP("no IPv6 here");
    for (int i = 0; i < 2; i++) {
        struct peer p = peer_connect(wm_http_server_port(s, i));
        peer_get(&p, "/");
        assert_int_equal(peer_hear(&p, &heard), 200);
        assert_string_equal(heard.body.data, "127.0.0.1");
        peer_close(&p);
    }
    wm_http_server_free(s);
}

static void a_busy_port_is_a_sentence(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_http_server *s = NULL;
    struct wm_http_listener l = {.address = "127.0.0.1", .port = house.port};
    assert_int_equal(wm_http_server_new(&l, 1, NULL, "second", &s, &err), WM_EEXIST);
    assert_non_null(strstr(err.text, "is in use"));
    err = (struct wm_error)WM_ERROR_INIT;
    l.address = "192.0.2.1";
    assert_int_not_equal(wm_http_server_new(&l, 1, NULL, "second", &s, &err), WM_OK);
    assert_non_null(strstr(err.text, "192.0.2.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_kept),
        cmocka_unit_test(a_handlers_own_headers_replace_the_defaults),
        cmocka_unit_test(head_has_the_length_but_not_the_body),
        cmocka_unit_test(pipelined_requests_are_answered_in_order_until_one_is_bad),
        cmocka_unit_test(a_smuggled_request_is_never_handled),
        cmocka_unit_test(bytes_behind_a_request_do_not_disturb_its_answer),
        cmocka_unit_test(a_half_closed_peer_gets_its_answer),
        cmocka_unit_test(a_peer_that_left_does_not_harm_a_late_answer),
        cmocka_unit_test(a_body_at_its_limit_is_taken_and_one_byte_more_is_not),
        cmocka_unit_test(a_route_sets_its_own_limit_and_may_refuse_the_head),
        cmocka_unit_test(a_body_that_waits_for_an_invitation_gets_one),
        cmocka_unit_test(a_deadline_is_absolute_however_often_a_byte_drips),
        cmocka_unit_test(silence_ends_a_connection_without_a_word),
        cmocka_unit_test(a_peer_that_does_not_read_is_cut_and_nobody_spins),
        cmocka_unit_test(a_large_answer_arrives_whole_at_a_slow_reader),
        cmocka_unit_test(http_1_0_is_answered_and_closed),
        cmocka_unit_test(what_follows_the_last_request_is_not_handled),
        cmocka_unit_test(what_happens_is_counted),
        cmocka_unit_test(several_listeners_serve_and_ipv4_through_ipv6_is_shown_as_ipv4),
        cmocka_unit_test(a_busy_port_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, open_house, close_house);
}

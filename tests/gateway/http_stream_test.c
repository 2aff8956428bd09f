/* http_stream_test.c -- answers without an end: pieces arrive, and a peer that is gone or too slow is noticed. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "tests/gateway/http_peer.h"

enum { BACKLOG = 64 << 10 };

static struct house house;
static struct heard heard;

static int open_house(void **state)
{
    (void)state;
    static const struct wm_http_limits limits = {.answer_ms = 700, .stream_backlog = BACKLOG};
    house_open(&house, &limits, NULL, NULL);
    return 0;
}

static int close_house(void **state)
{
    (void)state;
    house_close(&house);
    wm_buffer_free(&heard.body);
    return 0;
}

static struct wm_http_stream *begin(struct peer *p, const char *request)
{
    peer_say(p, request);
    return wm_http_stream_begin(house_take(&house), 200, "text/event-stream", "Cache-Control: no-cache\r\n");
}

/* Writes until the stream says that its peer has gone; fails the test when it does not within 5 s. */
static void write_until_cancelled(struct wm_http_stream *st, const char *bytes, size_t len)
{
    for (int64_t until = wm_now_ms() + 5000; wm_now_ms() < until; usleep(1000))
        if (wm_http_stream_write(st, bytes, len) == WM_ECANCELED)
            return;
    fail_msg("the stream never said that its peer had gone");
}

static void pieces_arrive_and_the_connection_lives_on(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(wm_http_stream_write(st, "data: x\n\n", 9), WM_OK);
    assert_int_equal(wm_http_stream_write(st, "", 0), WM_OK);
    house_await(&house, open_streams, 1);
    wm_http_stream_end(st);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_false(heard.broken_off);
    assert_string_equal(heard.body.data, "data: x\n\ndata: x\n\ndata: x\n\n");
    assert_non_null(strstr(heard.head, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(heard.head, "Cache-Control: no-cache\r\n"));
    peer_get(&p, "/echo");
    assert_int_equal(peer_hear(&p, &heard), 200);
    house_await(&house, open_streams, 0);
    peer_close(&p);
}

static void a_peer_of_http_1_0_gets_a_stream_that_ends_with_the_connection(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.0\r\n\r\n");
    wm_http_stream_write(st, "one", 3);
    wm_http_stream_write(st, "two", 3);
    wm_http_stream_end(st);
    assert_true(peer_ended(&p, 5000));
    assert_non_null(strstr(p.in.data, "Connection: close\r\n"));
    assert_null(strstr(p.in.data, "chunked"));
    assert_string_equal(strstr(p.in.data, "\r\n\r\n"), "\r\n\r\nonetwo");
    peer_close(&p);
}

static void head_of_a_stream_has_no_pieces(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    struct wm_http_stream *st =
        begin(&p, "HEAD /events HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    wm_http_stream_write(st, "x", 1);
    wm_http_stream_end(st);
    while (!p.in.data || !strstr(p.in.data, "GET /echo? 0 "))
        assert_false(peer_ended(&p, 100));
    assert_memory_equal(strstr(p.in.data, "\r\n\r\n"), "\r\n\r\nHTTP/1.1 200 OK", 19);
    peer_close(&p);
}

static void a_vanished_peer_ends_the_stream(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct peer p = peer_connect(house.port);
        struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        house_await(&house, open_streams, 1);
        if (reset)
            setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        peer_close(&p);
        house_await(&house, open_streams, 0); /* without a single write */
        house_await(&house, open_connections, 0);
        assert_int_equal(wm_http_stream_write(st, "x", 1), WM_ECANCELED);
        wm_http_stream_end(st);
    }
}

static void a_slow_peer_is_cut_at_the_backlog_and_sees_that_it_was(void **state)
{
    (void)state;
    static char piece[32768];
    memset(piece, 'p', sizeof piece);
    struct peer p = peer_connect(house.port);
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    write_until_cancelled(st, piece, sizeof piece);
    wm_http_stream_end(st);
    house_await(&house, open_streams, 0);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_true(heard.broken_off);
    peer_close(&p);
}

static void a_peer_that_stops_reading_is_cut_in_time(void **state)
{
    (void)state;
    static char piece[1024];
    struct peer p = peer_connect(house.port);
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_say(&p, "and it goes on talking");
    bool cut = false;
    for (int64_t until = wm_now_ms() + 5000; wm_now_ms() < until && !cut; usleep(50))
        cut = wm_http_stream_write(st, piece, sizeof piece) == WM_ECANCELED;
    assert_true(cut);
    wm_http_stream_end(st);
    house_await(&house, open_connections, 0);
    peer_close(&p);
}

static void a_reader_that_pauses_loses_nothing(void **state)
{
    (void)state;
    enum { PIECES = 3000, PIECE = 1000 };
    struct peer p = peer_connect(house.port);
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    struct wm_buffer want = WM_BUFFER(16 << 20);
    for (int i = 0; i < PIECES; i++) {
        char piece[PIECE + 1];
        snprintf(piece, sizeof piece, "%0*d", PIECE, i);
        wm_buffer_add(&want, piece, PIECE);
        while (wm_http_stream_write(st, piece, PIECE) != WM_OK)
            fail_msg("cut at piece %d", i);
        while (p.in.len + BACKLOG / 2 <
               want.len) /* now and then it reads, so as to stay within the backlog */
            assert_false(peer_ended(&p, 1));
    }
    wm_http_stream_end(st);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_false(heard.broken_off);
    assert_int_equal(heard.body.len, want.len);
    assert_memory_equal(heard.body.data, want.data, want.len);
    wm_buffer_free(&want);
    peer_close(&p);
}

static void an_idle_stream_outlives_every_deadline(void **state)
{
    (void)state;
    struct peer p = peer_connect(house.port);
    struct wm_http_stream *st = begin(&p, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(peer_ended(&p, 1200));
    assert_int_equal(wm_http_stream_write(st, "late", 4), WM_OK);
    wm_http_stream_end(st);
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_string_equal(heard.body.data, "late");
    peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_arrive_and_the_connection_lives_on),
        cmocka_unit_test(a_peer_of_http_1_0_gets_a_stream_that_ends_with_the_connection),
        cmocka_unit_test(head_of_a_stream_has_no_pieces),
        cmocka_unit_test(a_vanished_peer_ends_the_stream),
        cmocka_unit_test(a_slow_peer_is_cut_at_the_backlog_and_sees_that_it_was),
        cmocka_unit_test(a_peer_that_stops_reading_is_cut_in_time),
        cmocka_unit_test(a_reader_that_pauses_loses_nothing),
        cmocka_unit_test(an_idle_stream_outlives_every_deadline),
    };
    return cmocka_run_group_tests(tests, open_house, close_house);
}

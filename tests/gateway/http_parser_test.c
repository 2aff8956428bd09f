/* http_parser_test.c -- what the request parser accepts, what it refuses and with which status, and that the way the
 * bytes are cut never matters. Every case is read whole and byte by byte.
 */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/http/parser.h"

enum { HEAD_LIMIT = 1024, FIELDS_MAX = 20, BODY_LIMIT = 100 };

#define H "Host: a.example\r\n"

/* What came of the bytes, as text: a line for each request, then how it ended. */
static void describe(struct wm_buffer *out, const struct wm_http_parser *p)
{
    wm_buffer_printf(out, "%s %s?%s|%.*s|%s%s;", p->method, p->path, p->query, (int)p->body.len,
                     p->body.len ? p->body.data : "", p->keep_alive ? "keep" : "close",
                     p->expect_continue ? ",expect" : "");
}

static void read_all(const char *bytes, size_t len, size_t piece, struct wm_buffer *out, const char **why)
{
    struct wm_http_parser p;
    size_t at = 0;
    enum wm_http_step step = WM_HTTP_MORE;
    wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
    while (at < len || step == WM_HTTP_HEAD) {
        size_t used = 0, n = len - at < piece ? len - at : piece;
        step = wm_http_parser_feed(&p, bytes + at, n, &used);
        assert_true(used <= n);
        at += used;
        if (step == WM_HTTP_HEAD) {
            wm_http_parser_limit_body(&p, BODY_LIMIT);
        } else if (step == WM_HTTP_WHOLE) {
            describe(out, &p);
            wm_http_parser_free(&p);
            wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
            step = WM_HTTP_MORE;
        } else if (step == WM_HTTP_REFUSED) {
            wm_buffer_printf(out, "%d", p.status);
            *why = p.why;
            break;
        } else {
            assert_int_equal(used, n);
        }
    }
    if (step == WM_HTTP_MORE && wm_http_parser_begun(&p))
        wm_buffer_puts(out, "more");
    wm_http_parser_free(&p);
}

static void check_case(const char *bytes, size_t len, const char *want)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 7, 64};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        struct wm_buffer got = WM_BUFFER(1 << 20);
        const char *why = "";
        wm_buffer_puts(&got, "");
        read_all(bytes, len, pieces[i], &got, &why);
        if (strcmp(got.data, want) != 0)
            fail_msg("in pieces of %zu: \"%.*s\" gives %s (%s), not %s", pieces[i], (int)len, bytes, got.data,
                     why, want);
        wm_buffer_free(&got);
    }
}

struct sample {
    const char *bytes, *want;
};

static void check_samples(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_case(samples[i].bytes, strlen(samples[i].bytes), samples[i].want);
}

static void well_formed_requests_are_read(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", "GET /?||keep;"},
        {"GET /a/b?x=1&y=%2F HTTP/1.1\r\n" H "\r\n", "GET /a/b?x=1&y=%2F||keep;"},
        {"HEAD /? HTTP/1.1\r\n" H "\r\n", "HEAD /?||keep;"},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET /?||keep;"},
        {"GET / HTTP/1.0\r\n\r\n", "GET /?||close;"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /?||close;"},
        {"GET / HTTP/1.1\r\n" H "Connection: upgrade, CLOSE\r\n\r\n", "GET /?||close;"},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\nConnection: keep-alive\r\n\r\n", "GET /?||close;"},
        {"GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", "GET /?||keep;"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "POST /?|hello|keep;"},
        {"POST / HTTP/1.1\r\n" H "content-LENGTH:0005 \t\r\n\r\nhello", "POST /?|hello|keep;"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST /?||keep;"},
        {"DELETE /x HTTP/1.1\r\n" H "\r\n", "DELETE /x?||keep;"},
        {"POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n",
         "POST /?|abcde|keep;"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST /?||keep;"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0000000A\r\n0123456789\r\n00\r\n\r\n",
         "POST /?|0123456789|keep;"},
        {"POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
         "POST /?|x|keep,expect;"},
        {"POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", "POST /?||keep;"},
        {"GET / HTTP/1.1\r\nhost:[::1]:8080\r\nEmpty:\r\n\r\n", "GET /?||keep;"},
        {"GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
         "GET /?||keep;"},
    };
    check_samples(samples, COUNT(samples));
}

static void pipelined_requests_come_out_in_order_up_to_the_bad_one(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H
         "Content-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\n" H "\r\n",
         "GET /1?||keep;POST /2?|x|keep;GET /3?||keep;"},
        {"GET /1 HTTP/1.1\r\n" H "\r\nbad\r\nGET /3 HTTP/1.1\r\n" H "\r\n", "GET /1?||keep;400"},
        {"POST /1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx\r\nGET /2 HTTP/1.1\r\n" H "\r\n",
         "POST /1?|x|keep;GET /2?||keep;"},
        {"POST /1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nxyz", "POST /1?|x|keep;more"},
    };
    check_samples(samples, COUNT(samples));
}

static void a_body_has_one_length_or_is_refused(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"POST / HTTP/1.1\r\n" H "\r\n", "411"},
        {"PUT / HTTP/1.1\r\n" H "\r\n", "411"},
        {"PATCH / HTTP/1.1\r\n" H "\r\n", "411"},
        {"POST / HTTP/1.0\r\n\r\n", "411"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x10\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5abc\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1000000000000000000\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 999999999999999999\r\n\r\n", "413"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 101\r\n\r\n", "413"},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 101\r\n\r\n", "413"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\x0b\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", "400"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    };
    check_samples(samples, COUNT(samples));
}

#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static void chunks_that_could_be_read_differently_are_refused(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {CHUNKED "\r\n", "400"},
        {CHUNKED ";x\r\n", "400"},
        {CHUNKED "3\nabc\r\n", "400"},
        {CHUNKED "3\r\nabc\n", "400"},
        {CHUNKED "3\r\nabcd\r\n", "400"},
        {CHUNKED "3 \r\nabc\r\n", "400"},
        {CHUNKED " 3\r\nabc\r\n", "400"},
        {CHUNKED "0x3\r\nabc\r\n", "400"},
        {CHUNKED "+3\r\nabc\r\n", "400"},
        {CHUNKED "-1\r\n", "400"},
        {CHUNKED "g\r\n", "400"},
        {CHUNKED "100000003\r\nabc\r\n", "400"},
        {CHUNKED "FFFFFFFFFFFFFFFF1\r\n", "400"},
        {CHUNKED "3;a\x01\r\nabc\r\n", "400"},
        {CHUNKED "0\r\n folded: x\r\n\r\n", "400"},
        {CHUNKED "0\r\nno colon\r\n\r\n", "400"},
        {CHUNKED "0\r\nA: b\n\r\n", "400"},
        {CHUNKED "0\r\n\rX", "400"},
        {CHUNKED "ffffffff\r\n", "more"},
        {CHUNKED "3\r\nabc\r\n", "more"},
        {CHUNKED "0\r\n", "more"},
        {CHUNKED "0\r\n\r\n0\r\n\r\n", "POST /?||keep;400"},
    };
    check_samples(samples, COUNT(samples));
}

static void a_chunked_body_past_its_limit_is_refused(void **state)
{
    (void)state;
    char at_limit[400], past_limit[400], body[102];
    memset(body, 'x', sizeof body);
    int a = snprintf(at_limit, sizeof at_limit, CHUNKED "60\r\n%.96s\r\n4\r\n%.4s\r\n0\r\n\r\n", body, body);
    int b =
        snprintf(past_limit, sizeof past_limit, CHUNKED "60\r\n%.96s\r\n5\r\n%.5s\r\n0\r\n\r\n", body, body);
    char want[200];
    snprintf(want, sizeof want, "POST /?|%.100s|keep;", body);
    check_case(at_limit, (size_t)a, want);
    check_case(past_limit, (size_t)b, "413");
}

/* `n` bytes of padding between two texts. */
static void check_padded(const char *before, size_t n, const char *after, const char *want)
{
    size_t a = strlen(before), b = strlen(after);
    char *bytes = malloc(a + n + b);
    assert_non_null(bytes);
    memcpy(bytes, before, a);
    memset(bytes + a, 'x', n);
    memcpy(bytes + a + n, after, b);
    check_case(bytes, a + n + b, want);
    free(bytes);
}

static void padding_is_bounded_everywhere(void **state)
{
    (void)state;
    check_padded("GET /", 1 << 20, " HTTP/1.1\r\n" H "\r\n", "414");
    check_padded("GET /", HEAD_LIMIT, "", "414");
    check_padded("GET /?", HEAD_LIMIT - 200, " HTTP/9.9\r\n", "505");
    check_padded("GET / HTTP/1.1\r\n" H "A: ", 1 << 16, "\r\n\r\n", "431");
    check_padded("GET / HTTP/1.1\r\n" H, 1 << 16, ": a\r\n\r\n", "431");
    check_padded(CHUNKED "3;", 4096, "\r\nabc\r\n0\r\n\r\n", "POST /?|abc|keep;");
    check_padded(CHUNKED "3;", 4097, "\r\nabc\r\n0\r\n\r\n", "400");
    check_padded(CHUNKED "0\r\nA:", 4094, "\r\n\r\n", "POST /?||keep;");
    check_padded(CHUNKED "0\r\nA:", 4095, "\r\n\r\n", "400");
}

static void headers_are_counted(void **state)
{
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        char bytes[HEAD_LIMIT];
        int len = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\n" H);
        for (int i = 1; i < FIELDS_MAX + extra; i++)
            len += snprintf(bytes + len, sizeof bytes - (size_t)len, "A: b\r\n");
        len += snprintf(bytes + len, sizeof bytes - (size_t)len, "\r\n");
        check_case(bytes, (size_t)len, extra ? "431" : "GET /?||keep;");
    }
}

static void lines_that_are_not_http_are_refused_at_once(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"\r\n\r\n", "400"},
        {"\n", "400"},
        {"GET / HTTP/1.1\n", "400"},
        {"GET /\r\n", "400"},
        {"GET  / HTTP/1.1\r\n", "400"},
        {"GET / HTTP/1.1 \r\n", "400"},
        {"GET / x HTTP/1.1\r\n", "400"},
        {" GET / HTTP/1.1\r\n", "400"},
        {"GET\t/ HTTP/1.1\r\n", "400"},
        {"G\rET / HTTP/1.1\r\n", "400"},
        {"GET / HTTP/1.1\r\r\n", "400"},
        {"GET / http/1.1\r\n", "400"},
        {"GET / HTTP/1\r\n", "400"},
        {"GET / HTTP/1.10\r\n", "400"},
        {"GET / HTTP/1.2\r\n", "505"},
        {"GET / HTTP/2.0\r\n", "505"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
        {"\x16\x03\x01\x02\x01\n", "400"},
        {"post / HTTP/1.1\r\n", "501"},
        {"TRACE / HTTP/1.1\r\n", "501"},
        {"CONNECT a.example:443 HTTP/1.1\r\n", "501"},
        {"BREW / HTTP/1.1\r\n", "501"},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H " folded: x\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "no colon\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H ": no name\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A : b\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A\x80: b\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\rc\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\x7f\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: \x80\xff ok\r\n\r\n", "GET /?||keep;"},
        {"GET / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", "417"},
        {"GET / HTTP/1.1\r\n", "more"},
    };
    check_samples(samples, COUNT(samples));
    static const char nul_in_value[] = "GET / HTTP/1.1\r\n" H "A: b\0c\r\n",
                      nul_in_line[] = "GET /\0 HTTP/1.1\r\n";
    check_case(nul_in_value, sizeof nul_in_value - 1, "400");
    check_case(nul_in_line, sizeof nul_in_line - 1, "400");
}

static void a_request_has_one_host(void **state)
{
    (void)state;
    static const struct sample samples[] = {
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H H "\r\n", "400"},
        {"GET / HTTP/1.0\r\n" H H "\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
        {"GET http://a.example/p?q HTTP/1.1\r\n" H "\r\n", "GET /p?q||keep;"},
        {"GET HTTPS://A.EXAMPLE/p HTTP/1.1\r\n" H "\r\n", "GET /p?||keep;"},
        {"GET http://a.example HTTP/1.1\r\n" H "\r\n", "GET /?||keep;"},
        {"GET http://a.example?q HTTP/1.1\r\n" H "\r\n", "GET /?q||keep;"},
        {"GET http://b.example/ HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET http:///p HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET http://a.example/ HTTP/1.0\r\n\r\n", "400"},
        {"GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n", "400"},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET a.example/ HTTP/1.1\r\n" H "\r\n", "400"},
    };
    check_samples(samples, COUNT(samples));
}

static void a_path_can_be_written_in_one_way_only(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path; /* NULL: refused */
    } cases[] = {
        {"/webhooks/whatsapp", "/webhooks/whatsapp"},
        {"/%77ebhooks/whatsapp", "/webhooks/whatsapp"},
        {"/a/", "/a/"},
        {"/a%20b", "/a b"},
        {"/caf%C3%A9", "/caf\xc3\xa9"},
        {"/a.b/..c/d..", "/a.b/..c/d.."},
        {"/a;b=c,d@e:f", "/a;b=c,d@e:f"},
        {"//webhooks", NULL},
        {"/webhooks//x", NULL},
        {"/webhooks/../admin", NULL},
        {"/webhooks/%2e%2e/admin", NULL},
        {"/webhooks/.%2E/admin", NULL},
        {"/webhooks/..", NULL},
        {"/./x", NULL},
        {"/x/.", NULL},
        {"/%2fadmin", NULL},
        {"/a%2Fb", NULL},
        {"/a%5cb", NULL},
        {"/a\\b", NULL},
        {"/a%00", NULL},
        {"/a%0d%0aX", NULL},
        {"/a%7f", NULL},
        {"/%252e%252e/admin", NULL},
        {"/a%", NULL},
        {"/a%4", NULL},
        {"/a%zz", NULL},
        {"/a%4?1", NULL},
        {"/caf%E9", NULL},
        {"/caf\xc3\xa9", NULL},
        {"/a#b", NULL},
        {"/a?b#c", NULL},
        {"/a\"b", NULL},
        {"/a|b", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char bytes[200], want[200] = "400";
        int len = snprintf(bytes, sizeof bytes, "GET %s HTTP/1.1\r\n" H "\r\n", cases[i].target);
        if (cases[i].path)
            snprintf(want, sizeof want, "GET %s?||keep;", cases[i].path);
        check_case(bytes, (size_t)len, want);
    }
}

static void headers_are_found_by_name_and_counted(void **state)
{
    (void)state;
    static const char bytes[] =
        "GET / HTTP/1.1\r\n" H "X-Hub-Signature-256:  sha256=ab \r\nA: 1\r\na: 2\r\nEmpty:\r\n\r\n";
    struct wm_http_parser p;
    size_t used = 0, len = 0;
    int count = 0;
    wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
    assert_int_equal(wm_http_parser_feed(&p, bytes, sizeof bytes - 1, &used), WM_HTTP_HEAD);
    assert_string_equal(wm_http_parser_header(&p, "x-hub-signature-256", &len, &count), "sha256=ab");
    assert_int_equal(len, 9);
    assert_int_equal(count, 1);
    assert_string_equal(wm_http_parser_header(&p, "a", &len, &count), "1");
    assert_int_equal(count, 2);
    assert_string_equal(wm_http_parser_header(&p, "empty", &len, NULL), "");
    assert_int_equal(len, 0);
    assert_null(wm_http_parser_header(&p, "absent", &len, &count));
    assert_int_equal(count, 0);
    wm_http_parser_free(&p);
}

static void memory_grows_with_what_came_not_with_what_was_announced(void **state)
{
    (void)state;
    static const char bytes[] = "POST / HTTP/1.1\r\n" H "Content-Length: 3000000\r\n\r\n";
    struct wm_http_parser p;
    size_t used = 0;
    wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
    assert_int_equal(wm_http_parser_feed(&p, bytes, sizeof bytes - 1, &used), WM_HTTP_HEAD);
    wm_http_parser_limit_body(&p, 3000000);
    assert_int_equal(wm_http_parser_feed(&p, "x", 1, &used), WM_HTTP_MORE);
    assert_true(wm_http_parser_held(&p) < 4096);
    wm_http_parser_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_requests_are_read),
        cmocka_unit_test(pipelined_requests_come_out_in_order_up_to_the_bad_one),
        cmocka_unit_test(a_body_has_one_length_or_is_refused),
        cmocka_unit_test(chunks_that_could_be_read_differently_are_refused),
        cmocka_unit_test(a_chunked_body_past_its_limit_is_refused),
        cmocka_unit_test(padding_is_bounded_everywhere),
        cmocka_unit_test(headers_are_counted),
        cmocka_unit_test(lines_that_are_not_http_are_refused_at_once),
        cmocka_unit_test(a_request_has_one_host),
        cmocka_unit_test(a_path_can_be_written_in_one_way_only),
        cmocka_unit_test(headers_are_found_by_name_and_counted),
        cmocka_unit_test(memory_grows_with_what_came_not_with_what_was_announced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* courier_test.c -- outbound calls against a real server on loopback that misbehaves by path. What is proved: every end
 * of a call has the right fate, and a POST never goes out twice by itself.
 */
#include "tests/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "gateway/courier.h"
#include "gateway/courier_address.h"

/* --- the server ---------------------------------------------------------------------------------------------- */

enum { REQUEST_MAX = 64 << 10, THREADS_MAX = 512 };

static struct {
    int listener, port;
    pthread_t acceptor;
    pthread_t threads[THREADS_MAX];
    int n_threads;
    atomic_int requests;
    char last[REQUEST_MAX]; /* the last request to /echo; read after its answer came */
} server;

static void say(int fd, const char *text)
{
    for (size_t left = strlen(text); left;) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        left -= (size_t)n;
    }
}

/* One request into `text`; false at the end of the connection. */
static bool read_request(int fd, char *text)
{
    size_t len = 0;
    text[0] = '\0';
    for (;;) {
        char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (body &&
            len >= (size_t)(body - text) + 4 + (length && length < body ? strtoul(length + 16, NULL, 10) : 0))
            return true;
        ssize_t n = len < REQUEST_MAX - 1 ? recv(fd, text + len, REQUEST_MAX - 1 - len, 0) : 0;
        if (n <= 0 || text[0] == 0x16) /* a TLS handshake: not here */
            return false;
        len += (size_t)n;
        text[len] = '\0';
    }
}

static void wait_for_hangup(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
}

/* False: close the connection. `nth` counts the connection's requests from 1. */
static bool answer(int fd, const char *path, int nth)
{
    if (strncmp(path, "/twice ", 7) == 0 && nth == 2)
        return false; /* read, perhaps acted on, and gone without a word */
    if (strncmp(path, "/ok ", 4) == 0 || strncmp(path, "/echo ", 6) == 0 ||
        strncmp(path, "/twice ", 7) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        return true;
    }
    if (strncmp(path, "/half ", 6) == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    if (strncmp(path, "/headless ", 10) == 0)
        say(fd, "HTTP/1.1 200 O");
    if (strncmp(path, "/silent ", 8) == 0)
        wait_for_hangup(fd);
    if (strncmp(path, "/busy ", 6) == 0)
        say(fd, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if (strncmp(path, "/later ", 7) == 0)
        say(fd, "HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\nContent-Length: "
                "0\r\nConnection: close\r\n\r\n");
    if (strncmp(path, "/never ", 7) == 0)
        say(fd, "HTTP/1.1 503 No\r\nRetry-After: 99999999\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if (strncmp(path, "/past ", 6) == 0)
        say(fd, "HTTP/1.1 503 No\r\nRetry-After: -5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if (strncmp(path, "/moved ", 7) == 0)
        say(fd, "HTTP/1.1 302 Moved\r\nLocation: /ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if (strncmp(path, "/long ", 6) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        for (int i = 0; i < 1000; i++)
            say(fd, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
                    "890123456789");
    }
    if (strncmp(path, "/head ", 6) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 10000; i++)
            say(fd, "X-More: 01234567890123456789\r\n");
    }
    return false;
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *text = malloc(REQUEST_MAX);
    for (int nth = 1; text && read_request(fd, text); nth++) {
        const char *path = strchr(text, ' ');
        atomic_fetch_add(&server.requests, 1);
        if (path && strncmp(path + 1, "/echo ", 6) == 0)
            memcpy(server.last, text, strlen(text) + 1);
        if (!path || !answer(fd, path + 1, nth))
            break;
    }
    free(text);
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0;) {
        if (server.n_threads == THREADS_MAX ||
            pthread_create(&server.threads[server.n_threads], NULL, serve_one, (void *)(intptr_t)fd) != 0)
            close(fd);
        else
            server.n_threads++;
    }
    return NULL;
}

static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 || bind(server.listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(server.listener, 512) != 0 || getsockname(server.listener, (struct sockaddr *)&at, &len) != 0)
        return -1;
    server.port = ntohs(at.sin_port);
    return pthread_create(&server.acceptor, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.acceptor, NULL);
    for (int i = 0; i < server.n_threads; i++)
        pthread_join(server.threads[i], NULL);
    close(server.listener);
    return 0;
}

/* --- calls --------------------------------------------------------------------------------------------------- */

struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls; /* of done */
    enum wm_http_fate fate;
    int status;
    char body[64], cause[256];
    size_t body_len;
    int64_t retry_after_ms;
};

#define OUTCOME                                                                                              \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                               \
    }

static void keep(void *arg, const struct wm_http_result *result)
{
    struct outcome *o = arg;
    pthread_mutex_lock(&o->lock);
    o->calls++;
    o->fate = result->fate;
    o->status = result->status;
    o->retry_after_ms = result->retry_after_ms;
    o->body_len = result->body_len;
    snprintf(o->body, sizeof o->body, "%s", result->body ? result->body : "");
    snprintf(o->cause, sizeof o->cause, "%s", result->cause ? result->cause : "");
    pthread_cond_signal(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void await(struct outcome *o, int calls)
{
    pthread_mutex_lock(&o->lock);
    while (o->calls < calls)
        pthread_cond_wait(&o->changed, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

/* `scheme_and_path`: "http /ok". */
static struct wm_http_call *call_to(const char *method, const char *scheme, const char *path,
                                    const char *body)
{
    char url[256];
    snprintf(url, sizeof url, "%s://127.0.0.1:%d%s", scheme, server.port, path);
    struct wm_http_call *call = wm_http_call_new(method, url, body, body ? strlen(body) : 0);
    assert_non_null(call);
    assert_int_equal(wm_http_call_header(call, "Authorization: Bearer %s", "TOKEN-OF-THE-TEST"), WM_OK);
    call->timeout_ms = 20000;
    return call;
}

static struct wm_courier *new_courier(const struct wm_courier_options *options)
{
    struct wm_courier *c;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_courier_new(options, &c, &err) != WM_OK)
        fail_msg("%s", err.text);
    return c;
}

static enum wm_status post(struct wm_courier *c, struct wm_http_call *call, struct outcome *o)
{
    struct wm_transport *t = wm_courier_transport(c);
    return t->send(t->self, call, keep, o);
}

static void perform(struct wm_courier *c, struct wm_http_call *call, struct outcome *o)
{
    assert_int_equal(post(c, call, o), WM_OK);
    await(o, 1);
}

/* --- claims -------------------------------------------------------------------------------------------------- */

static void an_answer_is_what_the_peer_said(void **state)
{
    (void)state;
    struct wm_courier *c = new_courier(&(struct wm_courier_options){.user_agent = "wingman/test"});
    struct outcome o = OUTCOME;
    perform(c, call_to("POST", "http", "/echo", "{\"a\":1}"), &o);
    assert_int_equal(o.fate, WM_HTTP_ANSWERED);
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "hi");
    assert_int_equal(o.retry_after_ms, -1);
    static const char *const said[] = {
        "POST /echo HTTP/1.1\r\n", "\r\nAuthorization: Bearer TOKEN-OF-THE-TEST\r\n",
        "\r\nUser-Agent: wingman/test\r\n", "\r\nContent-Length: 7\r\n", "\r\n\r\n{\"a\":1}"};
    for (size_t i = 0; i < COUNT(said); i++)
        if (!strstr(server.last, said[i]))
            fail_msg("the request has no \"%s\": %s", said[i], server.last);
    assert_null(strstr(server.last, "Expect"));
    struct wm_courier_stats stats;
    wm_courier_stats(c, &stats);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.answered, 1);
    assert_int_equal(stats.in_flight, 0);
    wm_courier_free(c);
}

static void every_end_has_its_fate(void **state)
{
    (void)state;
    static const struct {
        const char *method, *scheme, *path;
        enum wm_http_fate fate;
        int status;
        int64_t timeout_ms, retry_after_ms;
        const char *cause; /* part of the sentence */
    } cases[] = {
        {"GET", "http", "/ok", WM_HTTP_ANSWERED, 200, 0, -1, ""},
        {"POST", "http", "/busy", WM_HTTP_ANSWERED, 429, 0, 7000, ""},
        {"POST", "http", "/later", WM_HTTP_ANSWERED, 503, 0, 3600000, ""},
        {"POST", "http", "/never", WM_HTTP_ANSWERED, 503, 0, 3600000, ""},
        {"POST", "http", "/past", WM_HTTP_ANSWERED, 503, 0, 0, ""},
        {"POST", "http", "/moved", WM_HTTP_ANSWERED, 302, 0, -1, ""},
        {"POST", "http", "/close", WM_HTTP_LOST, 0, 0, -1, "Empty reply"},
        {"POST", "http", "/half", WM_HTTP_LOST, 0, 0, -1, "transfer closed"},
        {"POST", "http", "/headless", WM_HTTP_LOST, 0, 0, -1, ""},
        {"POST", "http", "/silent", WM_HTTP_LOST, 0, 300, -1, "timed out"},
        {"POST", "http", "/long", WM_HTTP_LOST, 0, 0, -1, "body of the answer is longer than 65536"},
        {"POST", "http", "/head", WM_HTTP_LOST, 0, 0, -1, "head of the answer is longer than 65536"},
        {"POST", "https", "/ok", WM_HTTP_NOT_SENT, 0, 0, -1, ""}, /* no TLS there */
        {"POST", "ftp", "/ok", WM_HTTP_NOT_SENT, 0, 0, -1, "ftp"},
        {"GET", "file", "/etc/passwd", WM_HTTP_NOT_SENT, 0, 0, -1, ""},
    };
    struct wm_courier *c = new_courier(NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome o = OUTCOME;
        struct wm_http_call *call = call_to(cases[i].method, cases[i].scheme, cases[i].path,
                                            strcmp(cases[i].method, "POST") == 0 ? "{}" : NULL);
        if (cases[i].timeout_ms)
            call->timeout_ms = cases[i].timeout_ms;
        perform(c, call, &o);
        if (o.fate != cases[i].fate || o.status != cases[i].status ||
            o.retry_after_ms != cases[i].retry_after_ms || !strstr(o.cause, cases[i].cause))
            fail_msg("%s://...%s: fate %d, status %d, again after %lld ms, cause \"%s\"", cases[i].scheme,
                     cases[i].path, o.fate, o.status, (long long)o.retry_after_ms, o.cause);
        assert_int_equal(o.cause[0] == '\0', o.fate == WM_HTTP_ANSWERED);
        assert_null(strstr(o.cause, "TOKEN"));
    }
    wm_courier_free(c);
}

static void a_closed_port_was_not_sent_to(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening: nobody else gets this port meanwhile */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/?secret=1", ntohs(at.sin_port));
    struct wm_courier *c = new_courier(NULL);
    struct outcome o = OUTCOME;
    perform(c, wm_http_call_new("POST", url, "{}", 2), &o);
    assert_int_equal(o.fate, WM_HTTP_NOT_SENT);
    assert_non_null(strstr(o.cause, "connect"));
    assert_null(strstr(o.cause, "secret"));
    wm_courier_free(c);
    close(fd);
}

static void a_public_call_opens_no_socket_to_a_private_address(void **state)
{
    (void)state;
    struct wm_courier *c = new_courier(NULL);
    struct outcome o = OUTCOME, free_one = OUTCOME;
    perform(c, call_to("GET", "http", "/ok", NULL), &free_one); /* a kept connection is no way around */
    assert_int_equal(free_one.fate, WM_HTTP_ANSWERED);
    int before = server.requests;
    struct wm_http_call *call = call_to("GET", "http", "/ok", NULL);
    call->public_only = true;
    perform(c, call, &o);
    assert_int_equal(o.fate, WM_HTTP_NOT_SENT);
    assert_non_null(strstr(o.cause, "not public"));
    assert_int_equal(server.requests, before);
    wm_courier_free(c);
}

static void addresses_are_public_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool is_public;
    } cases[] = {
        {"157.240.1.35", true},
        {"8.8.8.8", true},
        {"172.15.255.255", true},
        {"172.32.0.0", true},
        {"100.63.0.1", true},
        {"100.128.0.1", true},
        {"0.0.0.0", false},
        {"10.1.2.3", false},
        {"100.64.0.1", false},
        {"127.0.0.1", false},
        {"127.255.0.1", false},
        {"169.254.169.254", false},
        {"172.16.0.1", false},
        {"172.31.255.255", false},
        {"192.168.0.1", false},
        {"198.18.0.1", false},
        {"224.0.0.1", false},
        {"255.255.255.255", false},
        {"192.0.2.1", false},
        {"2a03:2880::1", true},
        {"2001:4860::8888", true},
        {"::", false},
        {"::1", false},
        {"fe80::1", false},
        {"fd00::8", false},
        {"fc00::1", false},
        {"ff02::1", false},
        {"2001:db8::1", false},
        {"::ffff:127.0.0.1", false},
        {"::ffff:8.8.8.8", true},
        {"64:ff9b::a00:1", false},
        {"2002:7f00:1::", false},
        {"2001:0:4136::1", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sockaddr_storage at = {0};
        struct sockaddr_in *v4 = (struct sockaddr_in *)&at;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at;
        at.ss_family = strchr(cases[i].address, ':') ? AF_INET6 : AF_INET;
        void *to = at.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr;
        assert_int_equal(inet_pton(at.ss_family, cases[i].address, to), 1);
        if (wm_address_public((const struct sockaddr *)&at) != cases[i].is_public)
            fail_msg("%s", cases[i].address);
    }
    assert_false(wm_address_public(&(struct sockaddr){.sa_family = AF_UNIX}));
}

static void a_post_on_a_dying_connection_goes_out_once(void **state)
{
    (void)state;
    struct wm_courier *c = new_courier(&(struct wm_courier_options){.connections_per_host = 1});
    struct outcome first = OUTCOME, second = OUTCOME;
    int before = atomic_load(&server.requests);
    perform(c, call_to("POST", "http", "/twice", "{}"), &first);
    assert_int_equal(first.fate, WM_HTTP_ANSWERED);
    perform(c, call_to("POST", "http", "/twice", "{}"), &second); /* on the kept connection */
    assert_int_equal(second.fate, WM_HTTP_LOST);
    assert_int_equal(atomic_load(&server.requests) - before, 2);
    wm_courier_free(c);
}

static void calls_in_parallel_all_come_back(void **state)
{
    (void)state;
    enum { CALLS = 300 };
    struct wm_courier *c = new_courier(&(struct wm_courier_options){.connections_per_host = 16});
    struct outcome o = OUTCOME;
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(post(c, call_to("POST", "http", "/ok", "{}"), &o), WM_OK);
    await(&o, CALLS);
    struct wm_courier_stats stats;
    wm_courier_stats(c, &stats);
    assert_int_equal(stats.answered, CALLS);
    assert_int_equal(stats.in_flight, 0);
    wm_courier_free(c);
    assert_int_equal(o.calls, CALLS);
}

static void too_many_calls_are_refused_and_stay_the_callers(void **state)
{
    (void)state;
    struct wm_courier *c = new_courier(&(struct wm_courier_options){.max_waiting = 2});
    struct outcome o = OUTCOME;
    for (int i = 0; i < 2; i++)
        assert_int_equal(post(c, call_to("POST", "http", "/silent", "{}"), &o), WM_OK);
    struct wm_http_call *third = call_to("POST", "http", "/ok", "{}");
    assert_int_equal(post(c, third, &o), WM_EAGAIN);
    wm_http_call_free(third);
    struct wm_courier_stats stats;
    wm_courier_stats(c, &stats);
    assert_int_equal(stats.refused, 1);
    wm_courier_free(c);
    assert_int_equal(o.calls, 2);
}

static void freeing_ends_every_call(void **state)
{
    (void)state;
    enum { CALLS = 20 };
    struct wm_courier *c = new_courier(&(struct wm_courier_options){.connections_per_host = 4});
    struct outcome answered = OUTCOME, o = OUTCOME;
    perform(c, call_to("GET", "http", "/ok", NULL), &answered); /* the thread runs */
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(post(c, call_to("POST", "http", "/silent", "{}"), &o), WM_OK);
    wm_courier_free(c);
    assert_int_equal(o.calls, CALLS);
    assert_int_not_equal(o.fate, WM_HTTP_ANSWERED);
    assert_non_null(strstr(o.cause, "stopping"));
    wm_courier_free(NULL);
}

struct chain {
    struct wm_courier *courier;
    struct outcome o;
};

static void send_another(void *arg, const struct wm_http_result *result)
{
    struct chain *chain = arg;
    assert_int_equal(result->fate, WM_HTTP_ANSWERED);
    assert_int_equal(post(chain->courier, call_to("GET", "http", "/ok", NULL), &chain->o), WM_OK);
}

static void an_end_may_start_the_next_call(void **state)
{
    (void)state;
    struct chain chain = {.courier = new_courier(&(struct wm_courier_options){.max_waiting = 1}),
                          .o = OUTCOME};
    struct wm_transport *t = wm_courier_transport(chain.courier);
    assert_int_equal(t->send(t->self, call_to("GET", "http", "/ok", NULL), send_another, &chain), WM_OK);
    await(&chain.o, 1);
    assert_int_equal(chain.o.status, 200);
    wm_courier_free(chain.courier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_what_the_peer_said),
        cmocka_unit_test(every_end_has_its_fate),
        cmocka_unit_test(a_closed_port_was_not_sent_to),
        cmocka_unit_test(a_public_call_opens_no_socket_to_a_private_address),
        cmocka_unit_test(addresses_are_public_or_not),
        cmocka_unit_test(a_post_on_a_dying_connection_goes_out_once),
        cmocka_unit_test(calls_in_parallel_all_come_back),
        cmocka_unit_test(too_many_calls_are_refused_and_stay_the_callers),
        cmocka_unit_test(freeing_ends_every_call),
        cmocka_unit_test(an_end_may_start_the_next_call),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}

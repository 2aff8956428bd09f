/* http_crowd_test.c -- many connections and many threads: limits at the door, answers from everywhere, the end. */
#include "tests/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "tests/gateway/http_peer.h"

static void a_thousand_idle_connections_disturb_nobody(void **state)
{
    (void)state;
    enum { IDLE = 1000 };
    static struct peer idle[IDLE];
    struct house h;
    struct heard heard = {0};
    house_open(&h, NULL, NULL, NULL);
    for (int i = 0; i < IDLE; i++)
        idle[i] = peer_connect(h.port);
    house_await(&h, open_connections, IDLE);
    for (int i = 0; i < IDLE; i += 100) {
        peer_get(&idle[i], "/echo");
        assert_int_equal(peer_hear(&idle[i], &heard), 200);
    }
    int64_t cpu = house_cpu_ms();
    usleep(300000);
    assert_true(house_cpu_ms() - cpu < 100);
    for (int i = 0; i < IDLE; i++)
        peer_close(&idle[i]);
    house_await(&h, open_connections, 0);
    wm_buffer_free(&heard.body);
    house_close(&h);
}

static void a_full_house_turns_away_and_takes_in_again(void **state)
{
    (void)state;
    static const struct wm_http_limits limits[] = {{.connections = 4}, {.connections_per_peer = 4}};
    for (size_t l = 0; l < COUNT(limits); l++) {
        struct peer p[5];
        struct house h;
        struct heard heard = {0};
        house_open(&h, &limits[l], NULL, NULL);
        for (int i = 0; i < 5; i++) {
            p[i] = peer_connect(h.port);
            house_await(&h, open_connections, i < 4 ? (uint64_t)i + 1 : 4);
        }
        assert_true(peer_ended(&p[4], 2000));
        house_await(&h, refused_connections, 1);
        peer_get(&p[0], "/echo");
        assert_int_equal(peer_hear(&p[0], &heard), 200);
        peer_close(&p[4]);
        peer_close(&p[0]);
        house_await(&h, open_connections, 3);
        p[0] = peer_connect(h.port);
        peer_get(&p[0], "/echo");
        assert_int_equal(peer_hear(&p[0], &heard), 200);
        for (int i = 0; i < 4; i++)
            peer_close(&p[i]);
        wm_buffer_free(&heard.body);
        house_close(&h);
    }
}

static void requests_past_the_memory_they_may_have_are_put_off(void **state)
{
    (void)state;
    static const struct wm_http_limits limits = {.memory_bytes = 300 << 10};
    static char body[200 << 10];
    struct house h;
    struct heard heard = {0};
    house_open(&h, &limits, NULL, NULL);
    struct peer first = peer_connect(h.port), second = peer_connect(h.port);
    peer_post(&first, "/held", body, sizeof body);
    struct wm_http_exchange *x = house_take(&h);
    peer_post(&second, "/echo", body, sizeof body);
    assert_int_equal(peer_hear(&second, &heard), 503);
    assert_non_null(strstr(heard.head, "Retry-After: "));
    wm_http_reply(x, 200, NULL, NULL, NULL, 0);
    assert_int_equal(peer_hear(&first, &heard), 200);
    peer_close(&second);
    second = peer_connect(h.port);
    peer_post(&second, "/echo", body, sizeof body);
    assert_int_equal(peer_hear(&second, &heard), 200);
    peer_close(&first);
    peer_close(&second);
    wm_buffer_free(&heard.body);
    house_close(&h);
}

/* ---- no descriptors left: in a child, because the limit is the process's ---- */

enum { FEW_FILES = 48, PEERS = 60 };

static int run_out_of_files(void)
{
    struct rlimit few = {FEW_FILES, FEW_FILES};
    struct house h;
    struct heard heard = {0};
    struct peer p[PEERS];
    int to_house[2], from_house[2], port = 0;
    if (pipe(to_house) != 0 || pipe(from_house) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) { /* the server, with few files */
        char byte;
        int64_t cpu = 0;
        if (setrlimit(RLIMIT_NOFILE, &few) != 0)
            _exit(1);
        house_open(&h, &(struct wm_http_limits){.connections = 1000}, NULL, NULL);
        while (dup(0) >= 0) /* somebody else took the rest of the files, all but a few */
            ;
        for (int fd = FEW_FILES - 8; fd < FEW_FILES; fd++)
            close(fd);
        dprintf(from_house[1], "%d ", h.port);
        if (read(to_house[0], &byte, 1) != 1) /* all have connected */
            _exit(1);
        usleep(200000);
        cpu = house_cpu_ms();
        usleep(500000);
        bool calm = house_cpu_ms() - cpu < 200;
        if (write(from_house[1], calm ? "c" : "s", 1) != 1 || read(to_house[0], &byte, 1) != 1)
            _exit(1);
        _exit(0); /* as it is: the tidy end is tested elsewhere */
    }
    char line[16] = "";
    for (size_t n = 0; n < sizeof line - 1 && !strchr(line, ' '); n++)
        if (read(from_house[0], line + n, 1) != 1)
            return 2;
    port = (int)strtol(line, NULL, 10);
    for (int i = 0; i < PEERS; i++)
        p[i] = peer_connect(port); /* in the kernel's queue, those that the server cannot take */
    char verdict = 0;
    if (write(to_house[1], "x", 1) != 1 || read(from_house[0], &verdict, 1) != 1)
        return 3;
    for (int i = 0; i < PEERS; i++)
        peer_close(&p[i]);
    struct peer late = peer_connect(port);
    peer_get(&late, "/echo");
    int status = peer_hear(&late, &heard);
    peer_close(&late);
    wm_buffer_free(&heard.body);
    int ended = 0;
    if (write(to_house[1], "x", 1) != 1 || waitpid(child, &ended, 0) != child || !WIFEXITED(ended))
        return 4;
    return verdict == 'c' && status == 200 ? 0 : 5;
}

static void without_descriptors_the_server_waits_calmly_and_recovers(void **state)
{
    (void)state;
    assert_int_equal(run_out_of_files(), 0);
}

/* ---- threads ---- */

enum { WORKERS = 4, CLIENTS = 8, REQUESTS = 100 };

static void *answer_what_is_held(void *arg)
{
    struct house *h = arg;
    for (int i = 0; i < CLIENTS * REQUESTS / WORKERS; i++) {
        struct wm_http_exchange *x = house_take(h);
        char text[64];
        int len = snprintf(text, sizeof text, "%s", wm_http_request(x)->query);
        if (i % 10 == 9) {
            struct wm_http_stream *st = wm_http_stream_begin(x, 200, "text/plain", NULL);
            wm_http_stream_write(st, text, (size_t)len);
            wm_http_stream_end(st);
        } else {
            wm_http_reply(x, 200, "text/plain", NULL, text, (size_t)len);
        }
    }
    return NULL;
}

static void *ask_and_check(void *arg)
{
    struct peer p = peer_connect(*(int *)arg);
    struct heard heard = {0};
    intptr_t wrong = 0;
    for (int i = 0; i < REQUESTS; i++) {
        char path[64];
        snprintf(path, sizeof path, "/held?%d-%d", p.fd, i);
        peer_get(&p, path);
        wrong += peer_hear(&p, &heard) != 200 || strcmp(heard.body.data, path + 6) != 0;
    }
    wm_buffer_free(&heard.body);
    peer_close(&p);
    return (void *)wrong;
}

static void many_threads_answer_and_each_answer_finds_its_request(void **state)
{
    (void)state;
    struct house h;
    pthread_t workers[WORKERS], clients[CLIENTS];
    house_open(&h, NULL, NULL, NULL);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, answer_what_is_held, &h);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, ask_and_check, &h.port);
    for (int i = 0; i < CLIENTS; i++) {
        void *wrong = NULL;
        pthread_join(clients[i], &wrong);
        assert_null(wrong);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    house_close(&h);
}

/* ---- the end ---- */

struct caller {
    int port;
    _Atomic bool stop;
    _Atomic int whole, broken;
};

/* Asks over and over on new connections; an answer that began must be whole. */
static void *call_until_closed(void *arg)
{
    struct caller *c = arg;
    struct peer p = peer_connect(c->port);
    struct heard heard = {0};
    while (!c->stop) {
        peer_get(&p, "/echo");
        int status = peer_hear(&p, &heard);
        if (status == 0)
            break;
        if (status != 200 || heard.broken_off)
            c->broken++;
        else
            c->whole++;
    }
    wm_buffer_free(&heard.body);
    peer_close(&p);
    return NULL;
}

static void a_drain_under_load_breaks_no_answer_off(void **state)
{
    (void)state;
    struct house h;
    struct caller caller = {0};
    pthread_t threads[CLIENTS];
    house_open(&h, NULL, NULL, NULL);
    caller.port = h.port;
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&threads[i], NULL, call_until_closed, &caller);
    while (caller.whole < 200)
        usleep(1000);
    wm_http_server_drain(h.server, 3000);
    caller.stop = true;
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(caller.broken, 0);
    assert_int_equal(caller.whole, h.handled);
    house_close(&h);
}

static void *drain_in_time(void *arg)
{
    wm_http_server_drain(arg, 3000);
    return NULL;
}

static void a_drain_waits_for_held_requests_and_says_goodbye_with_their_answers(void **state)
{
    (void)state;
    struct house h;
    struct heard heard = {0};
    pthread_t drainer;
    house_open(&h, NULL, NULL, NULL);
    struct peer busy = peer_connect(h.port), idle = peer_connect(h.port);
    peer_get(&busy, "/held");
    struct wm_http_exchange *x = house_take(&h);
    house_await(&h, open_connections, 2);
    pthread_create(&drainer, NULL, drain_in_time, h.server);
    assert_true(peer_ended(&idle, 2000));
    wm_http_reply(x, 200, NULL, NULL, "bye", 3);
    assert_int_equal(peer_hear(&busy, &heard), 200);
    assert_non_null(strstr(heard.head, "Connection: close\r\n"));
    peer_close(&busy);
    pthread_join(drainer, NULL);
    peer_close(&idle);
    wm_buffer_free(&heard.body);
    house_close(&h);
}

static void a_drain_ends_at_its_deadline_and_later_answers_do_no_harm(void **state)
{
    (void)state;
    struct house h;
    house_open(&h, NULL, NULL, NULL);
    struct peer reply = peer_connect(h.port), stream = peer_connect(h.port);
    peer_get(&reply, "/held");
    struct wm_http_exchange *x = house_take(&h);
    peer_get(&stream, "/held");
    struct wm_http_stream *st = wm_http_stream_begin(house_take(&h), 200, NULL, NULL);
    int64_t began = wm_now_ms();
    wm_http_server_drain(h.server, 300);
    assert_true(wm_now_ms() - began < 3000);
    assert_int_equal(wm_http_stream_write(st, "x", 1), WM_ECANCELED);
    house_close(&h);
    wm_http_reply(x, 200, NULL, NULL, "late", 4);
    wm_http_stream_end(st);
    peer_close(&reply);
    peer_close(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_descriptors_the_server_waits_calmly_and_recovers), /* first: it forks */
        cmocka_unit_test(a_thousand_idle_connections_disturb_nobody),
        cmocka_unit_test(a_full_house_turns_away_and_takes_in_again),
        cmocka_unit_test(requests_past_the_memory_they_may_have_are_put_off),
        cmocka_unit_test(many_threads_answer_and_each_answer_finds_its_request),
        cmocka_unit_test(a_drain_under_load_breaks_no_answer_off),
        cmocka_unit_test(a_drain_waits_for_held_requests_and_says_goodbye_with_their_answers),
        cmocka_unit_test(a_drain_ends_at_its_deadline_and_later_answers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

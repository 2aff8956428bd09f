/* sim_host_test.c -- the simulator between real sockets and threads: a small gateway on one side, callers on the other.
 */
#include "tests/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/courier.h"
#include "gateway/http/server.h"
#include "gateway/sim_host.h"

enum { WAIT_MS = 20000, STEP_MS = 10 };

static const char token[] = "EAATESTTOKEN1234567890";

/* A gateway that answers the challenge and acknowledges everything. */
struct gateway {
    struct wm_http_server *server;
    char url[128];
    atomic_int webhooks, handshakes;
};

static void gateway_handle(void *arg, struct wm_http_exchange *x)
{
    struct gateway *g = arg;
    const struct wm_http_request *r = wm_http_request(x);
    const char *challenge = strstr(r->query, "hub.challenge=");
    if (challenge) {
        atomic_fetch_add(&g->handshakes, 1);
        challenge += strlen("hub.challenge=");
        wm_http_reply(x, 200, "text/plain", NULL, challenge, strcspn(challenge, "&"));
        return;
    }
    if (wm_http_header(x, "x-hub-signature-256", NULL, NULL))
        atomic_fetch_add(&g->webhooks, 1);
    wm_http_reply(x, 200, "text/plain", NULL, "", 0);
}

static void gateway_start(struct gateway *g)
{
    struct wm_error err = WM_ERROR_INIT;
    const struct wm_http_listener listener = {.address = "127.0.0.1", .handle = gateway_handle, .arg = g};
    assert_int_equal(wm_http_server_new(&listener, 1, NULL, "gateway", &g->server, &err), WM_OK);
    snprintf(g->url, sizeof g->url, "http://127.0.0.1:%d/webhooks/whatsapp",
             wm_http_server_port(g->server, 0));
}

static void gateway_stop(struct gateway *g)
{
    wm_http_server_drain(g->server, 100);
    wm_http_server_free(g->server);
}

static struct wm_sim_host *sim_start(const struct gateway *g, int port, struct wm_error *err)
{
    struct wm_sim_host *host = NULL;
    const struct wm_sim_host_business businesses[] = {
        {.path = "/", .name = "One", .about = "the first", .webhook_url = g->url, .account = "1"},
        {.path = "/two/", .name = "Two", .about = "the second", .webhook_url = g->url, .account = "2"}};
    wm_sim_host_start(&(struct wm_sim_host_options){.address = "127.0.0.1",
                                                    .port = port,
                                                    .app_secret = "0123456789abcdef",
                                                    .access_token = token,
                                                    .verify_token = "verify-token-0123",
                                                    .businesses = businesses,
                                                    .n_businesses = 2,
                                                    .time_scale = 1,
                                                    .seed = 1},
                      &host, err);
    return host;
}

/* One call's end, as the courier's thread tells it. */
struct end {
    atomic_bool done;
    enum wm_http_fate fate;
    int status;
    char body[256];
};

static void ended(void *arg, const struct wm_http_result *result)
{
    struct end *end = arg;
    end->fate = result->fate;
    end->status = result->status;
    if (result->fate == WM_HTTP_ANSWERED)
        snprintf(end->body, sizeof end->body, "%.*s", (int)result->body_len,
                 result->body ? result->body : "");
    atomic_store(&end->done, true);
}

static void call(struct wm_courier *courier, const struct wm_sim_host *host, const char *path,
                 const char *body, struct end *end)
{
    char url[256];
    snprintf(url, sizeof url, "%s%s", wm_sim_host_url(host), path);
    struct wm_http_call *c = wm_http_call_new(body ? "POST" : "GET", url, body, body ? strlen(body) : 0);
    assert_non_null(c);
    assert_int_equal(wm_http_call_header(c, "Content-Type: application/json"), WM_OK);
    assert_int_equal(wm_http_call_header(c, "Authorization: Bearer %s", token), WM_OK);
    struct wm_transport *t = wm_courier_transport(courier);
    *end = (struct end){0};
    assert_int_equal(t->send(t->self, c, ended, end), WM_OK);
}

static void await(struct end *end)
{
    for (int ms = 0; !atomic_load(&end->done); ms += STEP_MS) {
        assert_true(ms < WAIT_MS);
        usleep(STEP_MS * 1000);
    }
}

static void await_count(atomic_int *count, int wanted)
{
    for (int ms = 0; atomic_load(count) < wanted; ms += STEP_MS) {
        assert_true(ms < WAIT_MS);
        usleep(STEP_MS * 1000);
    }
}

static struct wm_courier *courier_new(void)
{
    struct wm_courier *courier = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_courier_new(NULL, &courier, &err), WM_OK);
    return courier;
}

#define PERSON_WRITES "{\"contact\":\"15550100001\",\"text\":\"Hi\"}"
#define GATEWAY_SENDS                                                                                        \
    "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\","                                            \
    "\"text\":{\"body\":\"Hello\"},\"biz_opaque_callback_data\":\"job-1\"}"

static void a_message_goes_out_as_a_webhook_and_a_send_brings_statuses(void **state)
{
    (void)state;
    struct gateway g = {0};
    struct end end;
    struct wm_error err = WM_ERROR_INIT;
    gateway_start(&g);
    struct wm_sim_host *host = sim_start(&g, 0, &err);
    assert_non_null(host);
    struct wm_courier *courier = courier_new();
    await_count(&g.handshakes, 1);
    call(courier, host, "/sim/message", PERSON_WRITES, &end);
    await(&end);
    assert_int_equal(end.status, 200);
    await_count(&g.webhooks, 1);
    call(courier, host, "/v25.0/1/messages", GATEWAY_SENDS, &end);
    await(&end);
    assert_int_equal(end.status, 200);
    assert_non_null(strstr(end.body, "wamid."));
    await_count(&g.webhooks, 4); /* sent, delivered, read */
    wm_courier_free(courier);
    wm_sim_host_stop(host);
    gateway_stop(&g);
}

static void a_lost_answer_is_lost_to_the_caller_and_a_slow_one_comes(void **state)
{
    (void)state;
    struct gateway g = {0};
    struct end end;
    struct wm_error err = WM_ERROR_INIT;
    gateway_start(&g);
    struct wm_sim_host *host = sim_start(&g, 0, &err);
    struct wm_courier *courier = courier_new();
    call(courier, host, "/sim/message", PERSON_WRITES, &end);
    await(&end);
    call(courier, host, "/sim/fault", "{\"kind\":\"lost_answer\"}", &end);
    await(&end);
    call(courier, host, "/v25.0/1/messages", GATEWAY_SENDS, &end);
    await(&end);
    assert_int_equal(end.fate, WM_HTTP_LOST);
    call(courier, host, "/sim/sends", NULL, &end);
    await(&end);
    assert_non_null(strstr(end.body, "job-1"));
    call(courier, host, "/sim/fault", "{\"kind\":\"slow\",\"delay_ms\":300}", &end);
    await(&end);
    call(courier, host, "/v25.0/1/messages", GATEWAY_SENDS, &end);
    await(&end);
    assert_int_equal(end.status, 200);
    wm_courier_free(courier);
    wm_sim_host_stop(host);
    gateway_stop(&g);
}

/* Status and the beginning of the answer to one call, waited for. */
static struct end ask(struct wm_courier *courier, const struct wm_sim_host *host, const char *path,
                      const char *body)
{
    struct end end;
    call(courier, host, path, body, &end);
    await(&end);
    return end;
}

static void two_businesses_are_two_worlds_below_two_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        int status;
        const char *holds, *lacks;
    } steps[] = {
        {"/sim/message", PERSON_WRITES, 200, "wamid.", NULL},
        {"/two/sim/message", "{\"contact\":\"15550100001\",\"text\":\"To the second\"}", 200, "wamid.", NULL},
        {"/two", NULL, 308, NULL, NULL},
        {"/two/", NULL, 200, "<!DOCTYPE html>", NULL},
        {"/two/app.js", NULL, 200, "// app.js", NULL},
        {"/two/shape-1.jpg", NULL, 200, NULL, NULL},
        {"/twos/sim/state", NULL, 404, NULL, NULL},
        {"/v25.0/1/messages", GATEWAY_SENDS, 200, "wamid.", NULL},
        {"/sim/sends", NULL, 200, "job-1", NULL},
        {"/two/sim/sends", NULL, 200, "\"sends\"", "job-1"},      /* sent by the first alone */
        {"/v25.0/2/messages", GATEWAY_SENDS, 400, "error", NULL}, /* the second's number is not the first's */
        {"/two/v25.0/2/messages", GATEWAY_SENDS, 200, "wamid.", NULL},
        {"/two/sim/sends", NULL, 200, "job-1", NULL},
        {"/two/sim/state?messages=0", NULL, 200, "\"account\":\"2\"", NULL},
        {"/sim/state?messages=0", NULL, 200, "\"account\":\"1\"", NULL},
    };
    struct gateway g = {0};
    struct wm_error err = WM_ERROR_INIT;
    gateway_start(&g);
    struct wm_sim_host *host = sim_start(&g, 0, &err);
    assert_non_null(host);
    struct wm_courier *courier = courier_new();
    await_count(&g.handshakes, 2); /* each of them */
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct end end = ask(courier, host, steps[i].path, steps[i].body);
        if (end.status != steps[i].status || (steps[i].holds && !strstr(end.body, steps[i].holds)) ||
            (steps[i].lacks && strstr(end.body, steps[i].lacks)))
            fail_msg("%s: %d %s", steps[i].path, end.status, end.body);
    }
    wm_courier_free(courier);
    wm_sim_host_stop(host);
    gateway_stop(&g);
}

static void a_malformed_path_of_a_business_is_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "", "two", "/two", "//", "/Two/", "/a/b/", "/two/ ", "/a-name-that-is-longer-than-there-is-room/"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        const struct wm_sim_host_business business = {.path = paths[i],
                                                      .name = "x",
                                                      .about = "x",
                                                      .webhook_url = "http://127.0.0.1:1/",
                                                      .account = "1"};
        struct wm_sim_host *host = NULL;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_sim_host_start(&(struct wm_sim_host_options){.address = "127.0.0.1",
                                                                         .app_secret = "0123456789abcdef",
                                                                         .access_token = token,
                                                                         .verify_token = "verify-token-0123",
                                                                         .businesses = &business,
                                                                         .n_businesses = 1,
                                                                         .time_scale = 1},
                                           &host, &err),
                         WM_EINVAL);
        assert_null(host);
        assert_true(strlen(err.text) > 20);
    }
}

static void a_stop_in_the_middle_of_everything_leaves_nothing_open(void **state)
{
    (void)state;
    enum { ROUNDS = 5, CALLS = 40 };
    struct gateway g = {0};
    gateway_start(&g);
    for (int round = 0; round < ROUNDS; round++) {
        struct end ends[CALLS];
        struct wm_error err = WM_ERROR_INIT;
        struct wm_sim_host *host = sim_start(&g, 0, &err);
        struct wm_courier *courier = courier_new();
        for (int i = 0; i < CALLS; i++) {
            static const char *const paths[] = {"/sim/message", "/sim/fault", "/v25.0/1/messages",
                                                "/sim/stream"};
            const char *const bodies[] = {PERSON_WRITES, "{\"kind\":\"slow\",\"delay_ms\":60000}",
                                          GATEWAY_SENDS, NULL};
            call(courier, host, paths[i % 4], bodies[i % 4], &ends[i]);
        }
        usleep((useconds_t)round * 20000);
        wm_sim_host_stop(host);
        wm_courier_free(courier);
        for (int i = 0; i < CALLS; i++)
            assert_true(atomic_load(&ends[i].done));
    }
    gateway_stop(&g);
}

static void a_port_that_is_taken_is_a_sentence(void **state)
{
    (void)state;
    struct gateway g = {0};
    struct wm_error err = WM_ERROR_INIT;
    gateway_start(&g);
    assert_null(sim_start(&g, wm_http_server_port(g.server, 0), &err));
    assert_non_null(strstr(err.text, "in use"));
    gateway_stop(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_out_as_a_webhook_and_a_send_brings_statuses),
        cmocka_unit_test(a_lost_answer_is_lost_to_the_caller_and_a_slow_one_comes),
        cmocka_unit_test(two_businesses_are_two_worlds_below_two_paths),
        cmocka_unit_test(a_malformed_path_of_a_business_is_refused),
        cmocka_unit_test(a_stop_in_the_middle_of_everything_leaves_nothing_open),
        cmocka_unit_test(a_port_that_is_taken_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

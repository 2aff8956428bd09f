/* sim_adapter_test.c -- the simulator and the real WhatsApp adapter: each checks the other. */
#include "tests/adapters/sim_world.h"

#include "adapters/registry.h"

struct hook_headers {
    const char *signature;
};

static const char *hook_header(void *arg, const char *name, size_t *len, int *count)
{
    const struct hook_headers *h = arg;
    bool found = strcmp(name, "x-hub-signature-256") == 0;
    *len = found ? strlen(h->signature) : 0;
    if (count)
        *count = found;
    return found ? h->signature : NULL;
}

static struct wm_channel *open_adapter(const struct wm_adapter *a)
{
    struct wm_channel *c = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(a->open(&(struct wm_channel_config){.name = "whatsapp",
                                                         .account = WORLD_ACCOUNT,
                                                         .app_secrets = {WORLD_SECRET},
                                                         .verify_token = WORLD_VERIFY_TOKEN,
                                                         .access_token = WORLD_TOKEN,
                                                         .graph_url = "http://127.0.0.1:8090/v25.0"},
                             &c, &err),
                     WM_OK);
    return c;
}

static void the_adapter_verifies_and_understands_what_the_simulator_posts(void **state)
{
    (void)state;
    const struct wm_adapter *a = wm_adapter_find("whatsapp");
    struct wm_channel *c = open_adapter(a);
    struct wm_error err = WM_ERROR_INIT;
    struct world *w = world_new(1);
    wm_sim_tick(w->sim, w->now);
    struct wm_buffer challenge = WM_BUFFER(1024);
    const char *query = strchr(w->posts[0].call->url, '?') + 1;
    assert_int_equal(a->challenge(c, query, strlen(query), &challenge, &err), WM_OK);
    answer_body(w, 0, 200, challenge.data);
    wm_buffer_free(&challenge);
    verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Ol\xc3\xa1 \xf0\x9f\x98\x80\"}");
    answer_all(w);
    graph(w, send_hello);
    pass(w, 5000);
    assert_int_equal(w->n_posts, 5); /* handshake, message, three statuses */
    struct wm_event_list events = {0};
    for (int i = 1; i < 5; i++) {
        const struct wm_http_call *call = w->posts[i].call;
        struct hook_headers headers = {header_of(call, "X-Hub-Signature-256: ")};
        const struct wm_webhook hook = {
            .body = call->body, .body_len = call->body_len, .header = hook_header, .arg = &headers};
        assert_int_equal(a->verify(c, &hook, &err), WM_OK);
        assert_int_equal(a->parse(c, call->body, call->body_len, w->now, &events, &err), WM_OK);
    }
    assert_int_equal(events.n, 4);
    assert_int_equal(events.events[0].kind, WM_EVENT_TEXT);
    assert_string_equal(events.events[0].text, "Ol\xc3\xa1 \xf0\x9f\x98\x80");
    for (int i = 1; i < 4; i++) {
        assert_int_equal(events.events[i].kind, WM_EVENT_STATUS);
        assert_string_equal(events.events[i].ref, "job-1");
    }
    wm_event_list_free(&events);
    a->close(c);
    world_free(w);
}

/* Hands the adapter's call to the simulator, and the simulator's answer back. */
static struct wm_outcome send_through(struct world *w, const struct wm_adapter *a, struct wm_channel *c,
                                      const struct wm_outgoing *what)
{
    struct wm_http_call *call = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(a->request(c, what, &call, &err), WM_OK);
    int status = request(w, &(struct wm_sim_request){.method = call->method,
                                                     .path = strstr(call->url, "/v25.0"),
                                                     .authorization = header_of(call, "Authorization: "),
                                                     .content_type = header_of(call, "Content-Type: "),
                                                     .body = call->body,
                                                     .body_len = call->body_len});
    const struct wm_http_result result = {.fate = w->last.drop ? WM_HTTP_LOST : WM_HTTP_ANSWERED,
                                          .status = status,
                                          .body = w->last.body.data,
                                          .body_len = w->last.body.len,
                                          .retry_after_ms = -1,
                                          .cause = w->last.drop ? "cut" : NULL};
    struct wm_outcome outcome = {0};
    a->outcome(c, what, &result, 1, &outcome);
    wm_http_call_free(call);
    return outcome;
}

static void the_adapter_reads_every_answer_of_the_simulator_rightly(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        enum wm_outcome_kind kind;
        bool contact_only;
    } cases[] = {{NULL, WM_OUTCOME_SENT, false},
                 {"{\"kind\":\"server_error\"}", WM_OUTCOME_RETRY, false},
                 {"{\"kind\":\"html_error\"}", WM_OUTCOME_UNKNOWN, false},
                 {"{\"kind\":\"rate_limit\"}", WM_OUTCOME_RETRY, false},
                 {"{\"kind\":\"pair_limit\"}", WM_OUTCOME_RETRY, true},
                 {"{\"kind\":\"lost_answer\"}", WM_OUTCOME_UNKNOWN, false},
                 {"{\"kind\":\"error\",\"code\":190}", WM_OUTCOME_PAUSE, false},
                 {"{\"kind\":\"error\",\"code\":131026}", WM_OUTCOME_FAILED, false}};
    const struct wm_adapter *a = wm_adapter_find("whatsapp");
    struct wm_channel *c = open_adapter(a);
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (cases[i].fault)
            assert_int_equal(verb(w, "/sim/fault", cases[i].fault), 200);
        struct wm_outcome o = send_through(
            w, a, c,
            &(struct wm_outgoing){.kind = WM_OUT_TEXT, .to = WORLD_PHONE, .text = "Hello", .ref = "job-7"});
        assert_int_equal(o.kind, cases[i].kind);
        assert_int_equal(o.retry_contact_only, cases[i].contact_only);
    }
    assert_int_equal(sends_with(w, "job-7"), 2); /* accepted, and accepted with its answer lost */
    world_free(w);
    a->close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_adapter_verifies_and_understands_what_the_simulator_posts),
        cmocka_unit_test(the_adapter_reads_every_answer_of_the_simulator_rightly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* send_test.c -- the calls that WhatsApp gets from us, and what its answers mean for a message. */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"

static struct wm_channel *channel;

static const struct wm_adapter *adapter(void)
{
    return wm_adapter_find("whatsapp");
}

static int open_channel(void **state)
{
    (void)state;
    const struct wm_channel_config config = {.name = "test",
                                             .account = "400000000000002",
                                             .app_secrets = {"shhh-test-secret-0123456789abcdef"},
                                             .access_token = "EAATESTTOKEN123",
                                             .graph_url = "http://127.0.0.1:1/v25.0"};
    return adapter()->open(&config, &channel, NULL);
}

static int close_channel(void **state)
{
    (void)state;
    adapter()->close(channel);
    return 0;
}

static void a_call_says_what_the_platform_wants(void **state)
{
    (void)state;
    static const struct {
        struct wm_outgoing what;
        const char *url, *body;
    } cases[] = {
        {{.kind = WM_OUT_TEXT, .to = "34600", .text = "Hi \"you\"\n", .ref = "row-1"},
         "http://127.0.0.1:1/v25.0/400000000000002/messages",
         "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\",\"to\":\"34600\",\"type\":"
         "\"text\","
         "\"text\":{\"preview_url\":false,\"body\":\"Hi "
         "\\\"you\\\"\\n\"},\"biz_opaque_callback_data\":\"row-1\"}"},
        {{.kind = WM_OUT_TEXT, .to = "ES.9001", .text = "x", .account = "500"},
         "http://127.0.0.1:1/v25.0/500/messages",
         "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\",\"recipient\":\"ES.9001\","
         "\"type\":\"text\",\"text\":{\"preview_url\":false,\"body\":\"x\"}}"},
        {{.kind = WM_OUT_TEXT, .to = "34600", .text = "x", .target = "wamid.1"},
         "http://127.0.0.1:1/v25.0/400000000000002/messages",
         "{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"individual\",\"to\":\"34600\",\"type\":"
         "\"text\","
         "\"text\":{\"preview_url\":false,\"body\":\"x\"},\"context\":{\"message_id\":\"wamid.1\"}}"},
        {{.kind = WM_OUT_READ, .to = "34600", .target = "wamid.1"},
         "http://127.0.0.1:1/v25.0/400000000000002/messages",
         "{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.1\"}"},
        {{.kind = WM_OUT_TYPING, .to = "34600", .target = "wamid.1"},
         "http://127.0.0.1:1/v25.0/400000000000002/messages",
         "{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.1\",\"typing_"
         "indicator\":{"
         "\"type\":\"text\"}}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_http_call *call;
        struct wm_error err = WM_ERROR_INIT;
        if (adapter()->request(channel, &cases[i].what, &call, &err) != WM_OK)
            fail_msg("%s", err.text);
        assert_string_equal(call->method, "POST");
        assert_string_equal(call->url, cases[i].url);
        assert_string_equal(call->body, cases[i].body);
        assert_int_equal(call->body_len, strlen(cases[i].body));
        assert_string_equal(call->headers[0], "Authorization: Bearer EAATESTTOKEN123");
        assert_string_equal(call->headers[1], "Content-Type: application/json");
        wm_http_call_free(call);
    }
}

static void a_call_that_cannot_be_right_is_refused(void **state)
{
    (void)state;
    char ref[514];
    memset(ref, 'r', sizeof ref - 1);
    ref[sizeof ref - 1] = '\0';
    const struct wm_outgoing cases[] = {
        {.kind = WM_OUT_TEXT, .text = "x"},
        {.kind = WM_OUT_TEXT, .to = "", .text = "x"},
        {.kind = WM_OUT_TEXT, .to = "34600"},
        {.kind = WM_OUT_TEXT, .to = "34600", .text = ""},
        {.kind = WM_OUT_TEXT, .to = "34600", .text = "x", .account = "../me"},
        {.kind = WM_OUT_TEXT, .to = "34600", .text = "x", .account = ""},
        {.kind = WM_OUT_TEXT, .to = "34600", .text = "x", .ref = ref},
        {.kind = WM_OUT_READ, .to = "34600"},
        {.kind = WM_OUT_TYPING, .to = "34600"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_http_call *call = NULL;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(adapter()->request(channel, &cases[i], &call, &err), WM_EINVAL);
        assert_true(err.text[0] != '\0');
        assert_null(call);
    }
}

#define ERROR(code) "{\"error\":{\"message\":\"m\",\"code\":" #code ",\"error_data\":{\"details\":\"why\"}}}"
#define OK          "{\"messages\":[{\"id\":\"wamid.OUT\"}]}"
#define HTML        "<html><body>Bad gateway</body></html>"

static void every_answer_has_its_meaning(void **state)
{
    (void)state;
    enum { SECOND = 1000, MINUTE = 60000, HOUR = 3600000 };
    static const struct {
        int status;
        const char *body;
        int attempt;
        int64_t retry_after_ms;
        enum wm_outcome_kind kind;
        int64_t retry_ms;
        int32_t code;
    } cases[] = {
        {200, OK, 1, -1, WM_OUTCOME_SENT, 0, 0},
        {200, "{\"messages\":[{\"id\":\"wamid.OUT\",\"message_status\":\"held_for_quality_assessment\"}]}", 1,
         -1, WM_OUTCOME_SENT, 0, 0},
        {200, "{}", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {200, "", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {200, HTML, 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {200, "{\"messages\":[{\"id\":\"\"}]}", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {200, "{\"messages\":[{\"id\":\"wamid", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0}, /* half */
        {200, ERROR(131047), 1, -1, WM_OUTCOME_FAILED, 0, 131047},
        {400, ERROR(131047), 1, -1, WM_OUTCOME_FAILED, 0, 131047},
        {400, ERROR(131026), 1, -1, WM_OUTCOME_FAILED, 0, 131026},
        {400, ERROR(100), 1, -1, WM_OUTCOME_FAILED, 0, 100},
        {400, ERROR(999999), 1, -1, WM_OUTCOME_FAILED, 0, 999999},
        {500, ERROR(999999), 1, -1, WM_OUTCOME_RETRY, 5 * SECOND, 999999},
        {500, ERROR(999999), 5, -1, WM_OUTCOME_FAILED, 0, 999999},
        {400, ERROR(130429), 1, -1, WM_OUTCOME_RETRY, 2 * SECOND, 130429},
        {400, ERROR(130429), 3, -1, WM_OUTCOME_RETRY, 8 * SECOND, 130429},
        {400, ERROR(130429), 1000, -1, WM_OUTCOME_RETRY, HOUR, 130429},
        {429, ERROR(130429), 1, 9 * SECOND, WM_OUTCOME_RETRY, 9 * SECOND, 130429},
        {400, ERROR(131056), 1, -1, WM_OUTCOME_RETRY, 1 * SECOND, 131056},
        {400, ERROR(131056), 3, -1, WM_OUTCOME_RETRY, 16 * SECOND, 131056},
        {400, ERROR(131056), 50, -1, WM_OUTCOME_RETRY, HOUR, 131056},
        {503, ERROR(2), 1, -1, WM_OUTCOME_RETRY, 5 * SECOND, 2},
        {500, ERROR(131000), 4, -1, WM_OUTCOME_RETRY, 40 * SECOND, 131000},
        {500, ERROR(131000), 5, -1, WM_OUTCOME_FAILED, 0, 131000},
        {400, ERROR(4), 1, -1, WM_OUTCOME_RETRY, 5 * MINUTE, 4},
        {401, ERROR(190), 1, -1, WM_OUTCOME_PAUSE, MINUTE, 190},
        {401, ERROR(0), 1, -1, WM_OUTCOME_PAUSE, MINUTE, 0},
        {403, ERROR(10), 1, -1, WM_OUTCOME_PAUSE, MINUTE, 10},
        {403, ERROR(200), 1, -1, WM_OUTCOME_PAUSE, MINUTE, 200},
        {403, ERROR(299), 1, -1, WM_OUTCOME_PAUSE, MINUTE, 299},
        {403, ERROR(131031), 1, -1, WM_OUTCOME_PAUSE, HOUR, 131031},
        {400, ERROR(131048), 1, -1, WM_OUTCOME_PAUSE, HOUR, 131048},
        {429, "", 1, -1, WM_OUTCOME_RETRY, 5 * SECOND, 0},
        {429, "", 1, 30 * SECOND, WM_OUTCOME_RETRY, 30 * SECOND, 0},
        {429, "", 1, 0, WM_OUTCOME_RETRY, 5 * SECOND, 0}, /* never sooner than ours */
        {401, HTML, 1, -1, WM_OUTCOME_PAUSE, MINUTE, 0},
        {404, HTML, 1, -1, WM_OUTCOME_PAUSE, MINUTE, 0},
        {302, "", 1, -1, WM_OUTCOME_PAUSE, MINUTE, 0},
        {400, "", 1, -1, WM_OUTCOME_FAILED, 0, 0},
        {500, HTML, 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {502, HTML, 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {504, "", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
        {500, "{\"error\":\"text\"}", 1, -1, WM_OUTCOME_UNKNOWN, 0, 0},
    };
    const struct wm_outgoing text = {.kind = WM_OUT_TEXT, .to = "34600", .text = "x"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct wm_http_result result = {.fate = WM_HTTP_ANSWERED,
                                              .status = cases[i].status,
                                              .body = cases[i].body,
                                              .body_len = strlen(cases[i].body),
                                              .retry_after_ms = cases[i].retry_after_ms};
        struct wm_outcome out;
        adapter()->outcome(channel, &text, &result, cases[i].attempt, &out);
        if (out.kind != cases[i].kind || out.retry_ms != cases[i].retry_ms || out.code != cases[i].code)
            fail_msg("%d %s, attempt %d: kind %d, again in %lld ms, code %d: %s", cases[i].status,
                     cases[i].body, cases[i].attempt, out.kind, (long long)out.retry_ms, out.code,
                     out.sentence);
        assert_int_equal(out.retry_contact_only, cases[i].code == 131056);
        assert_int_equal(out.sentence[0] != '\0', out.kind != WM_OUTCOME_SENT);
        assert_string_equal(out.platform_id, out.kind == WM_OUTCOME_SENT ? "wamid.OUT" : "");
    }
}

static void a_call_without_an_answer_is_again_or_unknown(void **state)
{
    (void)state;
    const struct wm_outgoing text = {.kind = WM_OUT_TEXT, .to = "34600", .text = "x"};
    struct wm_http_result result = {
        .fate = WM_HTTP_NOT_SENT, .retry_after_ms = -1, .cause = "connection refused"};
    struct wm_outcome out;
    static const int64_t waits[] = {1000, 2000, 4000, 8000};
    for (int attempt = 1; attempt <= 4; attempt++) {
        adapter()->outcome(channel, &text, &result, attempt, &out);
        assert_int_equal(out.kind, WM_OUTCOME_RETRY);
        assert_int_equal(out.retry_ms, waits[attempt - 1]);
        assert_string_equal(out.sentence, "connection refused");
    }
    result.fate = WM_HTTP_LOST;
    adapter()->outcome(channel, &text, &result, 1, &out);
    assert_int_equal(out.kind, WM_OUTCOME_UNKNOWN);
}

static void an_effect_needs_no_message_id(void **state)
{
    (void)state;
    const struct wm_outgoing read = {.kind = WM_OUT_READ, .to = "34600", .target = "wamid.1"};
    static const char body[] = "{\"success\":true}";
    const struct wm_http_result result = {.fate = WM_HTTP_ANSWERED,
                                          .status = 200,
                                          .body = body,
                                          .body_len = strlen(body),
                                          .retry_after_ms = -1};
    struct wm_outcome out;
    adapter()->outcome(channel, &read, &result, 1, &out);
    assert_int_equal(out.kind, WM_OUTCOME_SENT);
}

static void a_message_id_that_cannot_be_kept_is_not_kept_cut(void **state)
{
    (void)state;
    const struct wm_outgoing text = {.kind = WM_OUT_TEXT, .to = "34600", .text = "x"};
    for (size_t len = 255; len <= 256; len++) {
        struct wm_buffer body = WM_BUFFER(1024);
        wm_buffer_printf(&body, "{\"messages\":[{\"id\":\"%0*d\"}]}", (int)len, 1);
        const struct wm_http_result result = {.fate = WM_HTTP_ANSWERED,
                                              .status = 200,
                                              .body = body.data,
                                              .body_len = body.len,
                                              .retry_after_ms = -1};
        struct wm_outcome out;
        adapter()->outcome(channel, &text, &result, 1, &out);
        assert_int_equal(out.kind, len < sizeof out.platform_id ? WM_OUTCOME_SENT : WM_OUTCOME_UNKNOWN);
        wm_buffer_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_says_what_the_platform_wants),
        cmocka_unit_test(a_call_that_cannot_be_right_is_refused),
        cmocka_unit_test(every_answer_has_its_meaning),
        cmocka_unit_test(a_call_without_an_answer_is_again_or_unknown),
        cmocka_unit_test(an_effect_needs_no_message_id),
        cmocka_unit_test(a_message_id_that_cannot_be_kept_is_not_kept_cut),
    };
    return cmocka_run_group_tests(tests, open_channel, close_channel);
}

/* media_test.c -- pictures on Meta's platforms: where they lie, which hosts are called, who sees the token, and what the
 * answers mean.
 */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"

#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TOKEN  "Authorization: Bearer EAATESTTOKEN123"

struct side {
    const struct wm_adapter *adapter;
    struct wm_channel *channel;
};

static struct side open_side(const char *platform, const char *graph_url)
{
    const struct wm_channel_config config = {.name = "test",
                                             .account = "400000000000002",
                                             .app_secrets = {"shhh-test-secret-0123456789abcdef"},
                                             .access_token = "EAATESTTOKEN123",
                                             .graph_url = graph_url};
    struct side s = {.adapter = wm_adapter_find(platform)};
    assert_int_equal(s.adapter->open(&config, &s.channel, NULL), WM_OK);
    assert_non_null(s.adapter->media);
    return s;
}

static void close_side(struct side *s)
{
    s->adapter->close(s->channel);
}

static void whatsapp_is_asked_where_a_picture_lies(void **state)
{
    (void)state;
    struct side s = open_side("whatsapp", "https://graph.facebook.com/v25.0");
    struct wm_http_call *call = NULL;
    struct wm_media_place place;
    assert_int_equal(s.adapter->media->ask(s.channel, "500000000000001", &call, &place, NULL), WM_OK);
    assert_string_equal(call->method, "GET");
    assert_string_equal(call->url, "https://graph.facebook.com/v25.0/500000000000001");
    assert_string_equal(call->headers[0], TOKEN);
    wm_http_call_free(call);
    static const char *const bad[] = {"", "../me", "5/6", "5?x=1", "5 6", "\xC3\xA9"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(s.adapter->media->ask(s.channel, bad[i], &call, &place, &err), WM_EINVAL);
        assert_null(call);
        assert_non_null(strstr(err.text, "media id"));
    }
    close_side(&s);
}

static void messenger_and_instagram_say_it_in_the_webhook(void **state)
{
    (void)state;
    static const char *const platforms[] = {"messenger", "instagram"};
    static const char url[] = "https://scontent.xx.fbcdn.net/v/t1.15752-9/a.jpg?oe=1";
    for (size_t i = 0; i < COUNT(platforms); i++) {
        struct side s = open_side(platforms[i], "https://graph.facebook.com/v25.0");
        struct wm_http_call *call = NULL;
        struct wm_media_place place;
        assert_int_equal(s.adapter->media->ask(s.channel, url, &call, &place, NULL), WM_OK);
        assert_null(call);
        assert_string_equal(place.url, url);
        assert_int_equal(place.bytes, -1);
        assert_int_equal(s.adapter->media->ask(s.channel, "12345", &call, &place, NULL), WM_EINVAL);
        char *endless = calloc(1, 2 * WM_MEDIA_URL_BYTES);
        memset(endless, 'a', 2 * WM_MEDIA_URL_BYTES - 1);
        memcpy(endless, "https://", 8);
        assert_int_equal(s.adapter->media->ask(s.channel, endless, &call, &place, NULL), WM_EINVAL);
        free(endless);
        close_side(&s);
    }
}

enum access { REFUSED, OPEN, WITH_TOKEN };

static void only_metas_hosts_are_called_and_few_see_the_token(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum access whatsapp, messenger;
    } cases[] = {
        {"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", WITH_TOKEN, OPEN},
        {"https://LOOKASIDE.fbsbx.com/x", WITH_TOKEN, OPEN},
        {"https://lookaside.fbsbx.com:443/x", WITH_TOKEN, OPEN},
        {"https://cdn.fbsbx.com/v/x.jpg", OPEN, OPEN},
        {"https://scontent-mad1-1.xx.fbcdn.net/v/x.jpg?oh=1&oe=2", OPEN, OPEN},
        {"https://scontent.cdninstagram.com/x", OPEN, OPEN},
        /* the Graph host itself, whatever its scheme and address */
        {"http://127.0.0.1:4567/media/1?ext=2", WITH_TOKEN, WITH_TOKEN},
        {"https://127.0.0.1:4567/media/1", WITH_TOKEN, WITH_TOKEN},
        {"http://127.0.0.1:4567", WITH_TOKEN, WITH_TOKEN},
        /* everything else */
        {"http://127.0.0.1:4568/media/1", REFUSED, REFUSED},
        {"http://127.0.0.1/media/1", REFUSED, REFUSED},
        {"http://localhost:4567/", REFUSED, REFUSED},
        {"http://2130706433:4567/", REFUSED, REFUSED},
        {"http://0x7f.1:4567/", REFUSED, REFUSED},
        {"http://[::ffff:127.0.0.1]:4567/", REFUSED, REFUSED},
        {"http://169.254.169.254/latest/meta-data", REFUSED, REFUSED},
        {"http://lookaside.fbsbx.com/x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com:8443/x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com.evil.example/x", REFUSED, REFUSED},
        {"https://evil.example/lookaside.fbsbx.com/x", REFUSED, REFUSED},
        {"https://evilfbsbx.com/x", REFUSED, REFUSED},
        {"https://fbcdn.net/x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com.", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com@evil.example/", REFUSED, REFUSED},
        {"https://evil.example\\@lookaside.fbsbx.com/", REFUSED, REFUSED},
        {"https://evil.example#.fbsbx.com/", REFUSED, REFUSED},
        {"https://evil.example?.fbsbx.com/", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com/ x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com/\r\nX: y", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.c\xC3\xB8m/", REFUSED, REFUSED},
        {"https://:443/x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com:/x", REFUSED, REFUSED},
        {"https://lookaside.fbsbx.com:999999/x", REFUSED, REFUSED},
        {"file:///etc/passwd", REFUSED, REFUSED},
        {"ftp://lookaside.fbsbx.com/x", REFUSED, REFUSED},
        {"", REFUSED, REFUSED},
    };
    struct side sides[] = {open_side("whatsapp", "http://127.0.0.1:4567/v25.0"),
                           open_side("messenger", "http://127.0.0.1:4567/v25.0")};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int k = 0; k < 2; k++) {
            struct wm_media_place place = {.bytes = -1};
            struct wm_http_call *call = NULL;
            struct wm_error err = WM_ERROR_INIT;
            enum access want = k == 0 ? cases[i].whatsapp : cases[i].messenger;
            snprintf(place.url, sizeof place.url, "%s", cases[i].url);
            enum wm_status st = sides[k].adapter->media->fetch(sides[k].channel, &place, 1000, &call, &err);
            enum access got = st != WM_OK ? REFUSED : call->headers[0] ? WITH_TOKEN : OPEN;
            if (got != want)
                fail_msg("%s: %s: access %d, not %d", sides[k].adapter->platform, cases[i].url, got, want);
            if (st != WM_OK) {
                assert_int_equal(st, WM_EDENIED);
                assert_non_null(strstr(err.text, "no host of Meta's"));
                continue;
            }
            assert_int_equal(call->max_answer_bytes, 1000);
            assert_int_equal(call->public_only, strstr(cases[i].url, "127.0.0.1") == NULL);
            wm_http_call_free(call);
        }
    close_side(&sides[0]);
    close_side(&sides[1]);
}

static void whatsapps_answer_says_where_and_what(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum wm_media_outcome_kind kind;
        const char *url, *mime, *sha256; /* with GOT */
        int64_t bytes;
    } cases[] = {
        {200,
         "{\"url\":\"https://lookaside.fbsbx.com/a\",\"mime_type\":\"image/jpeg\",\"sha256\":\"" DIGEST
         "\",\"file_size\":\"303833\",\"id\":\"5\"}",
         WM_MEDIA_GOT, "https://lookaside.fbsbx.com/a", "image/jpeg", DIGEST, 303833},
        {200, "{\"url\":\"https://a/\",\"file_size\":7,\"mime_type\":\"image/webp; x=1\"}", WM_MEDIA_GOT,
         "https://a/", "image/webp", "", 7},
        {200, "{\"url\":\"https://a/\",\"sha256\":\"E3B0\",\"file_size\":\"-1\"}", WM_MEDIA_GOT, "https://a/",
         "", "", -1},
        {200, "{\"url\":\"https://a/\",\"file_size\":\"99999999999999999999\"}", WM_MEDIA_GOT, "https://a/",
         "", "", -1},
        {200, "{}", WM_MEDIA_GONE, NULL, NULL, NULL, 0},
        {200, "{\"url\":\"/etc/passwd\"}", WM_MEDIA_GONE, NULL, NULL, NULL, 0},
        {200, "{\"url\":7}", WM_MEDIA_GONE, NULL, NULL, NULL, 0},
        {200, "<html>", WM_MEDIA_GONE, NULL, NULL, NULL, 0},
        {404, "", WM_MEDIA_GONE, NULL, NULL, NULL, 0},
        {400, "{\"error\":{\"code\":100,\"message\":\"no such object\"}}", WM_MEDIA_GONE, NULL, NULL, NULL,
         0},
        {401, "{\"error\":{\"code\":190,\"message\":\"token\"}}", WM_MEDIA_PAUSE, NULL, NULL, NULL, 0},
        {500, "{\"error\":{\"code\":131000,\"message\":\"oh\"}}", WM_MEDIA_RETRY, NULL, NULL, NULL, 0},
        {503, "busy", WM_MEDIA_RETRY, NULL, NULL, NULL, 0},
        {429, "{}", WM_MEDIA_RETRY, NULL, NULL, NULL, 0},
    };
    struct side s = open_side("whatsapp", "https://graph.facebook.com/v25.0");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_http_result result = {.fate = WM_HTTP_ANSWERED,
                                        .status = cases[i].status,
                                        .body = cases[i].body,
                                        .body_len = strlen(cases[i].body),
                                        .retry_after_ms = -1};
        struct wm_media_place place = {0};
        struct wm_media_outcome out = {0};
        s.adapter->media->told(s.channel, &result, 1, &place, &out);
        if (out.kind != cases[i].kind)
            fail_msg("%d %s: %d, not %d: %s", cases[i].status, cases[i].body, out.kind, cases[i].kind,
                     out.sentence);
        if (out.kind == WM_MEDIA_GOT) {
            assert_string_equal(place.url, cases[i].url);
            assert_string_equal(place.mime, cases[i].mime);
            assert_string_equal(place.sha256, cases[i].sha256);
            assert_int_equal(place.bytes, cases[i].bytes);
        } else {
            assert_true(out.sentence[0] != '\0');
            assert_int_equal(out.retry_ms > 0, out.kind != WM_MEDIA_GONE);
        }
    }
    struct wm_http_result lost = {.fate = WM_HTTP_LOST, .cause = "timed out", .retry_after_ms = -1};
    struct wm_media_place place = {0};
    struct wm_media_outcome out = {0};
    s.adapter->media->told(s.channel, &lost, 1, &place, &out);
    assert_int_equal(out.kind, WM_MEDIA_RETRY); /* a question may be asked again */
    close_side(&s);
}

static void a_download_ends_in_one_of_few_ways(void **state)
{
    (void)state;
    static const struct {
        enum wm_http_fate fate;
        int status;
        bool too_long;
        enum wm_media_outcome_kind whatsapp, messenger;
    } cases[] = {
        {WM_HTTP_ANSWERED, 200, false, WM_MEDIA_GOT, WM_MEDIA_GOT},
        {WM_HTTP_ANSWERED, 206, false, WM_MEDIA_GONE, WM_MEDIA_GONE},
        {WM_HTTP_ANSWERED, 302, false, WM_MEDIA_GONE, WM_MEDIA_GONE},
        {WM_HTTP_ANSWERED, 401, false, WM_MEDIA_PAUSE, WM_MEDIA_GONE},
        {WM_HTTP_ANSWERED, 403, false, WM_MEDIA_RETRY, WM_MEDIA_GONE}, /* WhatsApp gives a new address */
        {WM_HTTP_ANSWERED, 404, false, WM_MEDIA_RETRY, WM_MEDIA_GONE},
        {WM_HTTP_ANSWERED, 400, false, WM_MEDIA_GONE, WM_MEDIA_GONE},
        {WM_HTTP_ANSWERED, 429, false, WM_MEDIA_RETRY, WM_MEDIA_RETRY},
        {WM_HTTP_ANSWERED, 502, false, WM_MEDIA_RETRY, WM_MEDIA_RETRY},
        {WM_HTTP_NOT_SENT, 0, false, WM_MEDIA_RETRY, WM_MEDIA_RETRY},
        {WM_HTTP_LOST, 0, false, WM_MEDIA_RETRY, WM_MEDIA_RETRY},
        {WM_HTTP_LOST, 0, true, WM_MEDIA_GONE, WM_MEDIA_GONE},
    };
    struct side sides[] = {open_side("whatsapp", "https://graph.facebook.com/v25.0"),
                           open_side("messenger", "https://graph.facebook.com/v25.0")};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int k = 0; k < 2; k++) {
            struct wm_http_result result = {.fate = cases[i].fate,
                                            .status = cases[i].status,
                                            .too_long = cases[i].too_long,
                                            .retry_after_ms = -1,
                                            .body = "",
                                            .cause = "because"};
            struct wm_media_outcome out;
            enum wm_media_outcome_kind want = k == 0 ? cases[i].whatsapp : cases[i].messenger;
            sides[k].adapter->media->fetched(sides[k].channel, &result, 1, &out);
            if (out.kind != want)
                fail_msg("%s, case %zu: %d, not %d", sides[k].adapter->platform, i, out.kind, want);
            assert_int_equal(out.sentence[0] == '\0', want == WM_MEDIA_GOT);
        }
    struct wm_http_result busy = {.fate = WM_HTTP_ANSWERED, .status = 503, .retry_after_ms = -1};
    struct wm_media_outcome first, fifth;
    sides[0].adapter->media->fetched(sides[0].channel, &busy, 1, &first);
    sides[0].adapter->media->fetched(sides[0].channel, &busy, 5, &fifth);
    assert_true(fifth.retry_ms > first.retry_ms);
    busy.retry_after_ms = 20000;
    sides[0].adapter->media->fetched(sides[0].channel, &busy, 1, &first);
    assert_int_equal(first.retry_ms, 20000);
    close_side(&sides[0]);
    close_side(&sides[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatsapp_is_asked_where_a_picture_lies),
        cmocka_unit_test(messenger_and_instagram_say_it_in_the_webhook),
        cmocka_unit_test(only_metas_hosts_are_called_and_few_see_the_token),
        cmocka_unit_test(whatsapps_answer_says_where_and_what),
        cmocka_unit_test(a_download_ends_in_one_of_few_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

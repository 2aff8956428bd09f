/* verify_test.c -- who gets in: the channel's secrets, the webhook's signature, the GET handshake. */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"

#define SECRET       "shhh-test-secret-0123456789abcdef"
#define OTHER_SECRET "another-secret-0123456789abcdef0"

/* Published vectors: this body under SECRET, and the same after what proxies do to JSON. */
#define BODY_HEAD                                                                                            \
    "{\"object\":\"page\",\"entry\":[{\"id\":\"104000000000001\",\"time\":1767225600123,\"messaging\":[{"    \
    "\"sender\":{"                                                                                           \
    "\"id\":\"24000000000000001\"},\"recipient\":{\"id\":\"104000000000001\"},\"timestamp\":1767225599000,"  \
    "\"message\":{\"mid\":\"m_TEST_1\",\"text\":\""
#define BODY_TAIL    "\"}}]}]}"
#define BODY         BODY_HEAD "Ol\\u00e1 \\ud83d\\ude00 a\\/b" BODY_TAIL
#define BODY_SLASH   BODY_HEAD "Ol\\u00e1 \\ud83d\\ude00 a/b" BODY_TAIL
#define BODY_UTF8    BODY_HEAD "Ol\xC3\xA1 \xF0\x9F\x98\x80 a/b" BODY_TAIL
#define DIGEST       "e5a248f108e83612ae05c09475f8898d8c813ee8d0ebcbe3280f83ed7292e697"
#define DIGEST_UPPER "E5A248F108E83612AE05C09475F8898D8C813EE8D0EBCBE3280F83ED7292E697"
#define DIGEST_SLASH "a64e1b33bceb0992dd9c469bffa70dec6c701074ac3c1d3fb45dfafd2d9d90ac"
#define DIGEST_UTF8  "1e8009d11d8a91bafe8c5097d9e300240da45e5ee8ac3d34dc7a88885dbfc60a"
#define DIGEST_EMPTY "ffaa5ca9eb062714a532a188679a0f19bb4120fcc5148e018c099a24763446ac"

static struct wm_channel_config good_config(void)
{
    return (struct wm_channel_config){.name = "test",
                                      .account = "400000000000002",
                                      .app_secrets = {SECRET},
                                      .verify_token = "s3cret-word",
                                      .access_token = "EAATESTTOKEN123"};
}

static const struct wm_adapter *adapter(void)
{
    return wm_adapter_find("whatsapp");
}

static struct wm_channel *open_channel(const struct wm_channel_config *config)
{
    struct wm_channel *c;
    struct wm_error err = WM_ERROR_INIT;
    if (adapter()->open(config, &c, &err) != WM_OK)
        fail_msg("%s", err.text);
    return c;
}

/* --- the signature ------------------------------------------------------------------------------------------- */

struct request {
    const char *header; /* X-Hub-Signature-256; NULL: none */
    int count;
};

static const char *header_of(void *arg, const char *name, size_t *len, int *count)
{
    const struct request *r = arg;
    bool wanted = r->header && strcmp(name, "x-hub-signature-256") == 0;
    if (count)
        *count = wanted ? r->count : 0;
    if (len)
        *len = wanted ? strlen(r->header) : 0;
    return wanted ? r->header : NULL;
}

static enum wm_status verify(struct wm_channel *c, const char *header, int count, const char *body,
                             struct wm_error *err)
{
    struct request r = {header, count};
    struct wm_webhook hook = {.body = body, .body_len = strlen(body), .header = header_of, .arg = &r};
    return adapter()->verify(c, &hook, err);
}

static void only_the_digest_of_the_raw_bytes_gets_in(void **state)
{
    (void)state;
    static const struct {
        const char *claim, *header;
        int count;
        const char *body;
        enum wm_status want;
    } cases[] = {
        {"right digest", "sha256=" DIGEST, 1, BODY, WM_OK},
        {"right digest in upper case", "sha256=" DIGEST_UPPER, 1, BODY, WM_OK},
        {"right digest of an unescaped body", "sha256=" DIGEST_SLASH, 1, BODY_SLASH, WM_OK},
        {"right digest of a UTF-8 body", "sha256=" DIGEST_UTF8, 1, BODY_UTF8, WM_OK},
        {"right digest of nothing", "sha256=" DIGEST_EMPTY, 1, "", WM_OK},
        {"body with a slash unescaped", "sha256=" DIGEST, 1, BODY_SLASH, WM_EDENIED},
        {"body re-serialised", "sha256=" DIGEST, 1, BODY_UTF8, WM_EDENIED},
        {"body one byte longer", "sha256=" DIGEST, 1, BODY "\n", WM_EDENIED},
        {"no header", NULL, 0, BODY, WM_EDENIED},
        {"empty header", "", 1, BODY, WM_EDENIED},
        {"no digest", "sha256=", 1, BODY, WM_EDENIED},
        {"63 digits", "sha256=5a248f108e83612ae05c09475f8898d8c813ee8d0ebcbe3280f83ed7292e697", 1, BODY,
         WM_EDENIED},
        {"65 digits", "sha256=" DIGEST "0", 1, BODY, WM_EDENIED},
        {"128 digits", "sha256=" DIGEST DIGEST, 1, BODY, WM_EDENIED},
        {"no scheme", DIGEST, 1, BODY, WM_EDENIED},
        {"scheme in upper case", "SHA256=" DIGEST, 1, BODY, WM_EDENIED},
        {"sha1", "sha1=0123456789012345678901234567890123456789", 1, BODY, WM_EDENIED},
        {"two headers, both right", "sha256=" DIGEST, 2, BODY, WM_EDENIED},
    };
    struct wm_channel_config config = good_config();
    struct wm_channel *c = open_channel(&config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_error err = WM_ERROR_INIT;
        enum wm_status st = verify(c, cases[i].header, cases[i].count, cases[i].body, &err);
        if (st != cases[i].want)
            fail_msg("%s: %s %s", cases[i].claim, wm_status_name(st), err.text);
        assert_null(strstr(err.text, "e5a248")); /* no expected value, no secret */
        assert_null(strstr(err.text, "shhh"));
    }
    adapter()->close(c);
}

static void a_wrong_character_is_refused_at_every_position(void **state)
{
    (void)state;
    struct wm_channel_config config = good_config();
    struct wm_channel *c = open_channel(&config);
    for (size_t i = 0; i < strlen(DIGEST); i++)
        for (const char *wrong = "g/:@`G \x7F\x80"; *wrong; wrong++) {
            char header[] = "sha256=" DIGEST;
            header[7 + i] = *wrong;
            assert_int_equal(verify(c, header, 1, BODY, NULL), WM_EDENIED);
        }
    for (size_t i = 0; i < strlen(DIGEST); i++) { /* a digit, but another one */
        char header[] = "sha256=" DIGEST;
        header[7 + i] = header[7 + i] == '0' ? '1' : '0';
        assert_int_equal(verify(c, header, 1, BODY, NULL), WM_EDENIED);
    }
    assert_int_equal(verify(c, "sha256=" DIGEST, 1, BODY, NULL), WM_OK); /* and the context is still good */
    adapter()->close(c);
}

static void any_of_several_secrets_gets_in_and_no_other(void **state)
{
    (void)state;
    struct wm_channel_config config = good_config();
    config.app_secrets[0] = OTHER_SECRET;
    struct wm_channel *c = open_channel(&config);
    assert_int_equal(verify(c, "sha256=" DIGEST, 1, BODY, NULL), WM_EDENIED);
    adapter()->close(c);
    for (int at = 1; at < WM_CHANNEL_SECRETS; at++) { /* the last place of a full list too */
        config.app_secrets[at - 1] = OTHER_SECRET;
        config.app_secrets[at] = SECRET;
        c = open_channel(&config);
        for (int again = 0; again < 2; again++)
            assert_int_equal(verify(c, "sha256=" DIGEST, 1, BODY, NULL), WM_OK);
        adapter()->close(c);
    }
}

/* --- the secrets --------------------------------------------------------------------------------------------- */

static void a_secret_that_is_none_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const none[] = {NULL,
                                       "",
                                       "short",
                                       "0123456789abcde",
                                       "undefined",
                                       "null",
                                       "CHANGEME",
                                       "changeme",
                                       "None",
                                       "your-app-secret",
                                       "has space 0123456789",
                                       "line\n0123456789abcdef"};
    for (size_t i = 0; i < COUNT(none); i++) {
        struct wm_channel_config config = good_config();
        config.app_secrets[0] = none[i];
        struct wm_channel *c = NULL;
        struct wm_error err = WM_ERROR_INIT;
        if (adapter()->open(&config, &c, &err) != WM_EINVAL)
            fail_msg("app_secret \"%s\" was accepted", none[i] ? none[i] : "(none)");
        assert_non_null(strstr(err.text, "app_secret"));
        assert_non_null(strstr(err.text, "channel test"));
        assert_null(c);
    }
    struct wm_channel_config config = good_config(); /* one bad among good ones */
    config.app_secrets[1] = "short";
    struct wm_channel *c = NULL;
    assert_int_equal(adapter()->open(&config, &c, NULL), WM_EINVAL);
}

static void tokens_and_addresses_are_checked_too(void **state)
{
    (void)state;
    struct wm_channel *c = NULL;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_channel_config config = good_config();
    config.access_token = NULL;
    assert_int_equal(adapter()->open(&config, &c, &err), WM_EINVAL);
    assert_non_null(strstr(err.text, "access_token"));
    config.access_token = "abc\r\nX-Injected: 1";
    assert_int_equal(adapter()->open(&config, &c, NULL), WM_EINVAL);
    config = good_config();
    config.verify_token = "undefined";
    assert_int_equal(adapter()->open(&config, &c, NULL), WM_EINVAL);
    config = good_config();
    config.graph_url = "file:///etc/passwd";
    assert_int_equal(adapter()->open(&config, &c, NULL), WM_EINVAL);
    adapter()->close(NULL);
}

/* --- the handshake ------------------------------------------------------------------------------------------- */

static void a_handshake_gives_back_the_challenge_to_who_knows_the_token(void **state)
{
    (void)state;
    static const struct {
        const char *query, *want; /* NULL: denied */
    } cases[] = {
        {"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=s3cret-word", "1158201444"},
        {"hub.verify_token=s3cret%2Dword&x=1&hub%2Emode=subscribe&hub.challenge=a_b", "a_b"},
        {"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=wrong", NULL},
        {"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=", NULL},
        {"hub.mode=subscribe&hub.challenge=1158201444", NULL},
        {"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token[]=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.challenge=1&hub.verify_token=s3cret-word&hub.verify_token=s3cret-word",
         NULL},
        {"hub.mode=unsubscribe&hub.challenge=1158201444&hub.verify_token=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.verify_token=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.challenge=&hub.verify_token=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.challenge=a%0Ab&hub.verify_token=s3cret-word", NULL},
        {"hub.mode=subscribe&hub.challenge=1&hub.verify_token=s3cret-word%00", NULL},
        {"hub.mode=subscribe&hub.challenge=1&hub.verify_token=s3cret-word%2", NULL},
        {"hub_mode=subscribe&hub_challenge=1&hub_verify_token=s3cret-word", NULL},
        {"&&==&hub.mode", NULL},
        {"", NULL},
    };
    struct wm_channel_config config = good_config();
    struct wm_channel *c = open_channel(&config);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_buffer out = WM_BUFFER(4096);
        struct wm_error err = WM_ERROR_INIT;
        enum wm_status st = adapter()->challenge(c, cases[i].query, strlen(cases[i].query), &out, &err);
        if (st != (cases[i].want ? WM_OK : WM_EDENIED))
            fail_msg("%s: %s %s", cases[i].query, wm_status_name(st), err.text);
        if (cases[i].want)
            assert_string_equal(out.data, cases[i].want);
        else
            assert_int_equal(out.len, 0);
        assert_null(strstr(err.text, "s3cret-word"));
        wm_buffer_free(&out);
    }
    adapter()->close(c);
}

static void a_challenge_has_at_most_256_bytes(void **state)
{
    (void)state;
    struct wm_channel_config config = good_config();
    struct wm_channel *c = open_channel(&config);
    for (int bytes = 255; bytes <= 257; bytes++) {
        struct wm_buffer query = WM_BUFFER(1024), out = WM_BUFFER(1024);
        wm_buffer_printf(&query, "hub.mode=subscribe&hub.verify_token=s3cret-word&hub.challenge=%0*d", bytes,
                         7);
        assert_int_equal(adapter()->challenge(c, query.data, query.len, &out, NULL),
                         bytes <= 256 ? WM_OK : WM_EDENIED);
        wm_buffer_free(&query);
        wm_buffer_free(&out);
    }
    adapter()->close(c);
}

static void without_a_verify_token_every_handshake_is_denied(void **state)
{
    (void)state;
    struct wm_channel_config config = good_config();
    config.verify_token = NULL;
    struct wm_channel *c = open_channel(&config);
    struct wm_buffer out = WM_BUFFER(64);
    static const char query[] = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=";
    assert_int_equal(adapter()->challenge(c, query, strlen(query), &out, NULL), WM_EDENIED);
    adapter()->close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_digest_of_the_raw_bytes_gets_in),
        cmocka_unit_test(a_wrong_character_is_refused_at_every_position),
        cmocka_unit_test(any_of_several_secrets_gets_in_and_no_other),
        cmocka_unit_test(a_secret_that_is_none_is_refused_with_a_sentence),
        cmocka_unit_test(tokens_and_addresses_are_checked_too),
        cmocka_unit_test(a_handshake_gives_back_the_challenge_to_who_knows_the_token),
        cmocka_unit_test(a_challenge_has_at_most_256_bytes),
        cmocka_unit_test(without_a_verify_token_every_handshake_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

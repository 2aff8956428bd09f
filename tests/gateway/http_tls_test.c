/* http_tls_test.c -- the same server behind TLS: what is negotiated, what is refused, and certificates that change. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "kernels/base/clock.h"
#include "tests/gateway/http_peer.h"

static char folder[] = "/tmp/wm_http_tls_XXXXXX", certificate[64], key[64];
static struct house house;
static struct heard heard;
static SSL_CTX *client;

/* Writes a fresh key, and a certificate of it for `name`. */
static void write_certificate(const char *name)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    FILE *f;
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pair);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
    assert_non_null(f = fopen(certificate, "w"));
    PEM_write_X509(f, x);
    fclose(f);
    assert_non_null(f = fopen(key, "w"));
    PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(pair);
}

/* Shakes hands; p.ssl stays NULL when that fails. Offers h2 before http/1.1, as browsers do. */
static struct peer tls_connect(long highest_version)
{
    static const unsigned char offers[] = "\x02h2\x08http/1.1";
    struct peer p = peer_connect(house.port);
    SSL *ssl = SSL_new(client);
    SSL_set_fd(ssl, p.fd);
    SSL_set_alpn_protos(ssl, offers, sizeof offers - 1);
    if (highest_version) {
        SSL_set_security_level(ssl, 0);
        SSL_set_max_proto_version(ssl, highest_version);
    }
    if (SSL_connect(ssl) == 1)
        p.ssl = ssl;
    else
        SSL_free(ssl);
    ERR_clear_error();
    return p;
}

/* The name in the certificate that the server shows. */
static void shown_name(char *out, int size)
{
    struct peer p = tls_connect(0);
    assert_non_null(p.ssl);
    X509 *x = SSL_get1_peer_certificate(p.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out, size);
    X509_free(x);
    peer_close(&p);
}

static int open_house(void **state)
{
    (void)state;
    static const struct wm_http_limits limits = {.head_ms = 400, .idle_ms = 2000, .answer_ms = 1000};
    if (!mkdtemp(folder))
        return 1;
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    write_certificate("first.example");
    client = SSL_CTX_new(TLS_client_method());
    house_open(&house, &limits, certificate, key);
    return client == NULL;
}

static int close_house(void **state)
{
    (void)state;
    house_close(&house);
    SSL_CTX_free(client);
    wm_buffer_free(&heard.body);
    unlink(certificate);
    unlink(key);
    return rmdir(folder);
}

static void requests_are_answered_and_only_http_1_1_is_negotiated(void **state)
{
    (void)state;
    struct peer p = tls_connect(0);
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    assert_non_null(p.ssl);
    SSL_get0_alpn_selected(p.ssl, &chosen, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    for (int i = 0; i < 3; i++) {
        peer_post(&p, "/echo", "hello", 5);
        assert_int_equal(peer_hear(&p, &heard), 200);
        assert_string_equal(heard.body.data, "POST /echo? 5 hello");
    }
    peer_close(&p);
}

static void a_large_request_and_a_large_answer_pass_whole(void **state)
{
    (void)state;
    enum { LIMIT = 3 << 20 };
    char *body = calloc(1, LIMIT);
    struct peer p = tls_connect(0);
    peer_post(&p, "/echo", body, LIMIT);
    assert_int_equal(peer_hear(&p, &heard), 200);
    peer_get(&p, "/big?5000000");
    usleep(100000); /* its socket is full by now */
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_int_equal(heard.body.len, 5000000);
    peer_close(&p);
    free(body);
}

static void pipelined_requests_in_one_record_are_answered_in_order(void **state)
{
    (void)state;
    enum { REQUESTS = 100 };
    struct wm_buffer all = WM_BUFFER(1 << 20);
    for (int i = 0; i < REQUESTS; i++)
        wm_buffer_printf(&all, "GET /echo?%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
    struct peer p = tls_connect(0);
    peer_send(&p, all.data, all.len);
    for (int i = 0; i < REQUESTS; i++) {
        char want[64];
        snprintf(want, sizeof want, "GET /echo?%d 0 ", i);
        assert_int_equal(peer_hear(&p, &heard), 200);
        assert_string_equal(heard.body.data, want);
    }
    peer_close(&p);
    wm_buffer_free(&all);
}

static void the_last_answer_ends_with_a_goodbye(void **state)
{
    (void)state;
    struct peer p = tls_connect(0);
    peer_say(&p, "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(peer_hear(&p, &heard), 200);
    assert_true(peer_ended(&p, 2000));
    assert_true(SSL_get_shutdown(p.ssl) & SSL_RECEIVED_SHUTDOWN);
    peer_close(&p);
}

static void a_stream_notices_that_its_peer_has_gone(void **state)
{
    (void)state;
    struct peer p = tls_connect(0);
    peer_get(&p, "/events");
    struct wm_http_stream *st = wm_http_stream_begin(house_take(&house), 200, "text/event-stream", NULL);
    assert_int_equal(wm_http_stream_write(st, "data: 1\n\n", 9), WM_OK);
    house_await(&house, open_streams, 1);
    peer_close(&p);
    house_await(&house, open_streams, 0);
    assert_int_equal(wm_http_stream_write(st, "x", 1), WM_ECANCELED);
    wm_http_stream_end(st);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    static const long old[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < COUNT(old); i++) {
        struct peer p = tls_connect(old[i]);
        assert_null(p.ssl);
        peer_close(&p);
    }
    struct peer p = tls_connect(TLS1_2_VERSION);
    assert_non_null(p.ssl);
    peer_close(&p);
}

static void what_is_no_handshake_ends_in_time(void **state)
{
    (void)state;
    static const char *const first_bytes[] = {"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                              "\x16\x03\x01\x02\x00\x01", "\x16\x03\x01\xff\xff\xff\xff\xff"};
    for (size_t i = 0; i < COUNT(first_bytes); i++) {
        struct peer p = peer_connect(house.port);
        int64_t began = wm_now_ms();
        peer_say(&p, first_bytes[i]);
        assert_true(peer_ended(&p, 3000));
        assert_true(wm_now_ms() - began < 2500);
        peer_close(&p);
    }
    house_await(&house, open_connections, 0);
}

static void silence_after_the_handshake_ends_in_time(void **state)
{
    (void)state;
    struct peer p = tls_connect(0);
    assert_true(peer_ended(&p, 3000));
    peer_close(&p);
}

static void half_handshakes_are_bounded(void **state)
{
    (void)state;
    enum { HALVES = 300 };
    static struct peer halves[HALVES];
    for (int i = 0; i < HALVES; i++) {
        halves[i] = peer_connect(house.port);
        peer_send(&halves[i], "\x16\x03\x01\x02\x00\x01\x00", 7);
    }
    struct peer p = tls_connect(0);
    assert_non_null(p.ssl);
    peer_get(&p, "/echo");
    assert_int_equal(peer_hear(&p, &heard), 200);
    peer_close(&p);
    house_await(&house, open_connections, 0);
    for (int i = 0; i < HALVES; i++)
        peer_close(&halves[i]);
}

static void a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    char name[64];
    struct peer old = tls_connect(0);
    peer_get(&old, "/echo");
    assert_int_equal(peer_hear(&old, &heard), 200);
    write_certificate("second.example");
    assert_int_equal(wm_http_server_reload_tls(house.server, &err), WM_OK);
    shown_name(name, sizeof name);
    assert_string_equal(name, "second.example");
    peer_get(&old, "/echo");
    assert_int_equal(peer_hear(&old, &heard), 200);
    peer_close(&old);
}

static void a_broken_certificate_changes_nothing_and_is_a_sentence(void **state)
{
    (void)state;
    char name[64], before[64], good[4096];
    shown_name(before, sizeof before);
    FILE *f = fopen(key, "r");
    size_t len = fread(good, 1, sizeof good, f);
    fclose(f);
    write_certificate("third.example"); /* the key of another certificate */
    assert_non_null(f = fopen(key, "w"));
    fwrite(good, 1, len, f);
    fclose(f);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_not_equal(wm_http_server_reload_tls(house.server, &err), WM_OK);
    assert_non_null(strstr(err.text, key));
    shown_name(name, sizeof name);
    assert_string_equal(name, before);

    assert_int_equal(truncate(certificate, 40), 0);
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_not_equal(wm_http_server_reload_tls(house.server, &err), WM_OK);
    assert_non_null(strstr(err.text, certificate));
    shown_name(name, sizeof name);
    assert_string_equal(name, before);

    struct wm_http_server *s = NULL;
    struct wm_http_listener l = {.address = "127.0.0.1", .certificate = certificate, .key = key};
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_not_equal(wm_http_server_new(&l, 1, NULL, "broken", &s, &err), WM_OK);
    assert_non_null(strstr(err.text, certificate));
}

static void a_stopped_server_has_nothing_to_reload(void **state)
{
    (void)state;
    struct house h;
    struct wm_error err = WM_ERROR_INIT;
    house_open(&h, NULL, NULL, NULL);
    assert_int_equal(wm_http_server_reload_tls(h.server, &err), WM_OK); /* no TLS: nothing to do */
    wm_http_server_drain(h.server, 0);
    assert_int_equal(wm_http_server_reload_tls(h.server, &err), WM_ECANCELED);
    house_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_and_only_http_1_1_is_negotiated),
        cmocka_unit_test(a_large_request_and_a_large_answer_pass_whole),
        cmocka_unit_test(pipelined_requests_in_one_record_are_answered_in_order),
        cmocka_unit_test(the_last_answer_ends_with_a_goodbye),
        cmocka_unit_test(a_stream_notices_that_its_peer_has_gone),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(what_is_no_handshake_ends_in_time),
        cmocka_unit_test(silence_after_the_handshake_ends_in_time),
        cmocka_unit_test(half_handshakes_are_bounded),
        cmocka_unit_test(a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on),
        cmocka_unit_test(a_broken_certificate_changes_nothing_and_is_a_sentence),
        cmocka_unit_test(a_stopped_server_has_nothing_to_reload),
    };
    return cmocka_run_group_tests(tests, open_house, close_house);
}

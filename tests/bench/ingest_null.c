/* ingest_null.c -- the HTTP server with nothing behind it: what the way in costs before a store is asked.
 *
 *   bench_ingest_null [--thread] [--secret TEXT]
 *
 * Prints its port. Every request is answered 200 at once, or from another thread (--thread), as the store's answers
 * are; with --secret only when its X-Hub-Signature-256 is right. Ends when standard input does.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "gateway/http/server.h"
#include "kernels/base/mailbox.h"

struct waiting {
    struct wm_letter letter;
    struct wm_http_exchange *x;
};

static struct wm_mailbox *box; /* NULL: answer at once */
static EVP_MAC_CTX *mac;       /* NULL: do not verify; the server's thread only */

static void *answer_all(void *arg)
{
    (void)arg;
    while (!wm_mailbox_closed(box)) {
        for (struct wm_letter *l = wm_mailbox_wait(box, -1), *next; l; l = next) {
            struct waiting *w = (struct waiting *)l;
            next = l->next;
            wm_http_reply(w->x, 200, NULL, NULL, NULL, 0);
            free(w);
        }
    }
    return NULL;
}

static bool is_signed(struct wm_http_exchange *x)
{
    static const char digits[] = "0123456789abcdef";
    const struct wm_http_request *r = wm_http_request(x);
    unsigned char sum[32];
    char text[71] = "sha256=";
    size_t len = 0, sum_len = 0;
    const char *given = wm_http_header(x, "x-hub-signature-256", &len, NULL);
    if (!given || len != 71 || EVP_MAC_init(mac, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(mac, (const unsigned char *)r->body, r->body_len) != 1 ||
        EVP_MAC_final(mac, sum, &sum_len, sizeof sum) != 1)
        return false;
    for (int i = 0; i < 32; i++) {
        text[7 + 2 * i] = digits[sum[i] >> 4];
        text[8 + 2 * i] = digits[sum[i] & 15];
    }
    return CRYPTO_memcmp(text, given, 71) == 0;
}

static void handle(void *arg, struct wm_http_exchange *x)
{
    (void)arg;
    struct waiting *w;
    if (mac && !is_signed(x)) {
        wm_http_reply(x, 401, NULL, NULL, NULL, 0);
    } else if (!box || !(w = malloc(sizeof *w))) {
        wm_http_reply(x, 200, NULL, NULL, NULL, 0);
    } else {
        w->x = x;
        wm_mailbox_post_reply(box, &w->letter);
    }
}

static bool make_mac(const char *secret)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char[]){"SHA256"}, 0),
                           OSSL_PARAM_construct_end()};
    mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    return mac && EVP_MAC_init(mac, (const unsigned char *)secret, strlen(secret), params) == 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"thread", no_argument, NULL, 't'}, {"secret", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct wm_error err = WM_ERROR_INIT;
    pthread_t thread;
    bool threaded = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 't')
            threaded = true;
        else if (option != 's' || !make_mac(optarg))
            return 2;
    }
    if (threaded && (wm_mailbox_new(0, NULL, NULL, &box, &err) != WM_OK ||
                     pthread_create(&thread, NULL, answer_all, NULL) != 0))
        return 1;
    struct wm_http_listener listener = {.address = "127.0.0.1", .handle = handle};
    struct wm_http_server *server;
    if (wm_http_server_new(&listener, 1, NULL, "null", &server, &err) != WM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%d\n", wm_http_server_port(server, 0));
    fflush(stdout);
    for (char byte; read(STDIN_FILENO, &byte, 1) > 0;)
        ;
    wm_http_server_drain(server, 1000);
    if (threaded) {
        wm_mailbox_close(box);
        pthread_join(thread, NULL);
        wm_mailbox_free(box);
    }
    wm_http_server_free(server);
    EVP_MAC_CTX_free(mac);
    return 0;
}

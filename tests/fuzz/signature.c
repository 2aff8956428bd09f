/* signature.c -- fuzzes what a stranger meets first: the signature header and the handshake's query.
 * First byte: which of the two. Signature: the header up to a newline, then the body. What is let in must carry the
 * digest that OpenSSL's one-call HMAC gives.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "adapters/meta/handshake.h"
#include "adapters/meta/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "shhh-test-secret-0123456789abcdef";

struct header {
    const char *text;
    size_t len;
};

static const char *header_of(void *arg, const char *name, size_t *len, int *count)
{
    const struct header *h = arg;
    (void)name;
    *len = h->len;
    *count = 1;
    return h->text;
}

static bool is_right(const struct header *h, const char *body, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char want[80] = "sha256=";
    HMAC(EVP_sha256(), secret, sizeof secret - 1, (const unsigned char *)body, len, digest, &n);
    for (unsigned int i = 0; i < n; i++)
        snprintf(want + 7 + 2 * i, 3, "%02x", digest[i]);
    return h->len == strlen(want) && strncasecmp(h->text, want, h->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wm_meta_signature *checker;
    static const char *const secrets[WM_CHANNEL_SECRETS] = {"another-secret-0123456789abcdef0", secret};
    if (!checker && wm_meta_signature_new(secrets, &checker, NULL) != WM_OK)
        abort();
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size--;
    if (*data & 1) {
        struct wm_buffer out = WM_BUFFER(WM_META_CHALLENGE_MAX);
        enum wm_status st = wm_meta_handshake("token", text, size, &out, NULL);
        if (st != WM_OK && out.len)
            abort();
        wm_buffer_free(&out);
        return 0;
    }
    const char *newline = memchr(text, '\n', size);
    struct header h = {text, newline ? (size_t)(newline - text) : size};
    struct wm_webhook hook = {.body = newline ? newline + 1 : text + size, .header = header_of, .arg = &h};
    hook.body_len = size - (size_t)(hook.body - text);
    bool let_in = wm_meta_signature_check(checker, &hook, NULL) == WM_OK;
    if (let_in && !is_right(&h, hook.body, hook.body_len))
        abort();
    return 0;
}

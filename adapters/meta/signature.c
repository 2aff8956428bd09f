/* signature.c -- Meta's X-Hub-Signature-256: HMAC-SHA256 of the raw body, keyed with the app's secret.
 *
 * WHY     This check is the only thing between a stranger and the model, and it runs for every request of every
 *         stranger. It must be right about the bytes, give nothing away by its timing, and be cheap.
 *
 * HOW     Meta signs the body as it travels: non-ASCII as \uXXXX, slashes as \/. So the bytes are hashed as they came,
 *         before anything reads them; a proxy that re-serialises JSON breaks the signature, and must.
 *         Each secret has its own EVP_MAC context, keyed once; a check only rewinds it, which saves the two hash
 *         blocks of the key and every allocation. Every secret is tried, also after a match, so that the time does not
 *         tell which one it was.
 *
 * ALWAYS  (1) The digest is compared with CRYPTO_memcmp, all 32 bytes, after the header is decoded.
 *         (2) Exactly one header, exactly "sha256=" and 64 hex digits. Upper-case digits are the same number and are
 *             accepted. Two headers are ambiguous (which one did the proxy check?) and are refused even when both are
 *             right. The older sha1 header alone is refused: SHA-1 is not a signature any more.
 *         (3) No sentence holds a digest.
 */
#include "adapters/meta/signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "adapters/meta/hex.h"

enum { DIGEST_BYTES = 32, DIGEST_HEX = 2 * DIGEST_BYTES };

static const char scheme[] = "sha256=";
enum { SCHEME_LEN = sizeof scheme - 1 };

struct wm_meta_signature {
    EVP_MAC_CTX *keyed[WM_CHANNEL_SECRETS];
    int n;
};

static EVP_MAC_CTX *context_of(EVP_MAC *mac, const char *secret)
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    if (ctx && EVP_MAC_init(ctx, (const unsigned char *)secret, strlen(secret), params))
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

enum wm_status wm_meta_signature_new(const char *const secrets[WM_CHANNEL_SECRETS],
                                     struct wm_meta_signature **out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    struct wm_meta_signature *s = calloc(1, sizeof *s);
    if (!mac || !s) {
        st = wm_fail(err, WM_ENOMEM, "no memory for the webhook signature");
        goto done;
    }
    for (; s->n < WM_CHANNEL_SECRETS && secrets[s->n]; s->n++) {
        s->keyed[s->n] = context_of(mac, secrets[s->n]);
        if (!s->keyed[s->n]) {
            st = wm_fail(err, WM_EUNSUPPORTED, "OpenSSL gave no HMAC-SHA256; check its providers");
            goto done;
        }
    }
    if (s->n == 0) {
        st = wm_fail(err, WM_EINVAL, "no app secret to check webhook signatures with");
        goto done;
    }
    *out = s;
    s = NULL;
done:
    wm_meta_signature_free(s);
    EVP_MAC_free(mac); /* the contexts hold it */
    return st;
}

void wm_meta_signature_free(struct wm_meta_signature *s)
{
    if (!s)
        return;
    for (int i = 0; i < WM_CHANNEL_SECRETS; i++)
        EVP_MAC_CTX_free(s->keyed[i]);
    free(s);
}

static enum wm_status read_header(const struct wm_webhook *hook, unsigned char claimed[DIGEST_BYTES],
                                  struct wm_error *err)
{
    int count = 0;
    size_t len = 0;
    const char *value = hook->header(hook->arg, "x-hub-signature-256", &len, &count);
    if (!value)
        return wm_fail(err, WM_EDENIED, "the request has no X-Hub-Signature-256 header");
    if (count > 1)
        return wm_fail(err, WM_EDENIED, "the request has %d X-Hub-Signature-256 headers, it must have one",
                       count);
    if (len != SCHEME_LEN + DIGEST_HEX || memcmp(value, scheme, SCHEME_LEN) != 0)
        return wm_fail(err, WM_EDENIED, "X-Hub-Signature-256 is not \"sha256=\" and %d hex digits",
                       DIGEST_HEX);
    const char *hex = value + SCHEME_LEN;
    for (int i = 0; i < DIGEST_BYTES; i++) {
        int high = wm_meta_hex(hex[2 * i]), low = wm_meta_hex(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return wm_fail(err, WM_EDENIED, "X-Hub-Signature-256 holds a character that is no hex digit");
        claimed[i] = (unsigned char)(high << 4 | low);
    }
    return WM_OK;
}

enum wm_status wm_meta_signature_check(struct wm_meta_signature *s, const struct wm_webhook *hook,
                                       struct wm_error *err)
{
    unsigned char claimed[DIGEST_BYTES];
    enum wm_status st = read_header(hook, claimed, err);
    if (st != WM_OK)
        return st;
    int matches = 0;
    for (int i = 0; i < s->n; i++) {
        unsigned char right[DIGEST_BYTES] = {0};
        size_t got = 0;
        /* without a key: rewinds to the keyed start */
        int hashed = EVP_MAC_init(s->keyed[i], NULL, 0, NULL) &&
                     EVP_MAC_update(s->keyed[i], (const unsigned char *)hook->body, hook->body_len) &&
                     EVP_MAC_final(s->keyed[i], right, &got, sizeof right) && got == DIGEST_BYTES;
        matches += hashed && CRYPTO_memcmp(right, claimed, DIGEST_BYTES) == 0;
        OPENSSL_cleanse(right, sizeof right);
    }
    if (!matches)
        return wm_fail(err, WM_EDENIED,
                       "the signature is not of this body under %s; was the body changed on its way, or is "
                       "app_secret of another app?",
                       s->n > 1 ? "any of the app's secrets" : "the app's secret");
    return WM_OK;
}

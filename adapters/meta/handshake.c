/* handshake.c -- the GET with which Meta asks whether a webhook address is ours.
 *
 *   GET /webhooks/NAME?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=TOKEN
 *
 * The challenge is the one thing of a stranger that is sent back, and only to one who knows the token: at most 256
 * printable ASCII characters without markup, as text/plain. A parameter that comes twice is refused, since two readers
 * could take it differently. Other parameters are ignored.
 */
#include "adapters/meta/handshake.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "adapters/meta/hex.h"

enum { TOKEN_MAX = 1024 };

/* Percent-decodes; false for a broken escape, a NUL, or more than `max` bytes. */
static bool decode(const char *text, size_t len, char *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i] == '+' ? ' ' : text[i];
        if (c == '%') {
            int high = i + 2 < len ? wm_meta_hex(text[i + 1]) : -1,
                low = i + 2 < len ? wm_meta_hex(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || n == max)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

struct parameter {
    const char *name;
    char *value; /* room for max + 1 */
    size_t max;
    int count;
};

static enum wm_status read_query(const char *query, size_t len, struct parameter *wanted, int n,
                                 struct wm_error *err)
{
    const char *end = query + len;
    for (const char *p = query; p < end;) {
        const char *amp = memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
        const char *equals = memchr(p, '=', (size_t)(stop - p));
        char name[32]; /* longer than any wanted one; a longer name is of no interest */
        if (equals && decode(p, (size_t)(equals - p), name, sizeof name - 1)) {
            for (int i = 0; i < n; i++) {
                if (strcmp(name, wanted[i].name) != 0)
                    continue;
                if (++wanted[i].count > 1)
                    return wm_fail(err, WM_EDENIED, "the handshake gives %s twice", wanted[i].name);
                if (!decode(equals + 1, (size_t)(stop - equals - 1), wanted[i].value, wanted[i].max))
                    return wm_fail(err, WM_EDENIED,
                                   "the handshake's %s is badly escaped or longer than %zu bytes",
                                   wanted[i].name, wanted[i].max);
            }
        }
        p = stop + 1;
    }
    return WM_OK;
}

/* Compares digests, so that neither the length nor the first difference shows in the time. */
static bool same_secret(const char *a, const char *b)
{
    unsigned char da[EVP_MAX_MD_SIZE], db[EVP_MAX_MD_SIZE];
    unsigned int na = 0, nb = 0;
    return EVP_Digest(a, strlen(a), da, &na, EVP_sha256(), NULL) &&
           EVP_Digest(b, strlen(b), db, &nb, EVP_sha256(), NULL) && na == nb &&
           CRYPTO_memcmp(da, db, na) == 0;
}

static bool harmless(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || strchr("<>&\"'", *text))
            return false;
    return true;
}

enum wm_status wm_meta_handshake(const char *verify_token, const char *query, size_t len,
                                 struct wm_buffer *out, struct wm_error *err)
{
    char mode[16] = "", token[TOKEN_MAX + 1] = "", challenge[WM_META_CHALLENGE_MAX + 1] = "";
    struct parameter wanted[] = {{"hub.mode", mode, sizeof mode - 1, 0},
                                 {"hub.verify_token", token, TOKEN_MAX, 0},
                                 {"hub.challenge", challenge, WM_META_CHALLENGE_MAX, 0}};
    if (!verify_token)
        return wm_fail(
            err, WM_EDENIED,
            "a handshake came, but the channel has no verify_token; set it as in Meta's App Dashboard");
    enum wm_status st = read_query(query, len, wanted, 3, err);
    if (st != WM_OK)
        return st;
    for (int i = 0; i < 3; i++)
        if (!wanted[i].count)
            return wm_fail(err, WM_EDENIED, "the handshake has no %s", wanted[i].name);
    if (strcmp(mode, "subscribe") != 0)
        return wm_fail(err, WM_EDENIED, "the handshake's hub.mode is not \"subscribe\"");
    if (!same_secret(token, verify_token))
        return wm_fail(err, WM_EDENIED, "the handshake's hub.verify_token is not the channel's");
    if (!*challenge || !harmless(challenge))
        return wm_fail(err, WM_EDENIED,
                       "the handshake's hub.challenge is empty or holds more than plain characters");
    st = wm_buffer_puts(out, challenge);
    return st == WM_OK ? WM_OK : wm_fail(err, st, "no room for the handshake's answer");
}

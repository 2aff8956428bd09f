/* draft.c -- see draft.h.
 *
 * A made-up key is a truncated SHA-256 of the content in a canonical form (keys sorted, no spaces): platforms send a
 * repeat with other neighbours in another batch, so a digest of the whole body would not recognise it.
 */
#include "adapters/meta/draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernels/base/utf8.h"

enum {
    KEY_ID_MAX = 256,    /* bytes of a platform id in a key */
    KEY_PREFIX_MAX = 64, /* bytes of what stands before it */
    KEY_DIGEST = 16,     /* bytes of the digest in a made-up key: 2^64 events until a collision is likely */
    FUTURE_MS = 5 * 60 * 1000
};

#define MILLISECONDS_FROM 100000000000LL /* 10^11: a larger time stamp counts milliseconds */

static void give_up(struct wm_draft *d, enum wm_status st)
{
    if (d->st == WM_OK)
        d->st = st == WM_ELIMIT ? wm_fail(d->err, st, "the body holds more than %d updates", WM_EVENTS_MAX)
                                : wm_fail(d->err, st, "no memory for the updates of a body");
}

struct wm_event *wm_draft_add(struct wm_draft *d, enum wm_event_kind kind)
{
    struct wm_event *e = NULL;
    if (d->st == WM_OK) {
        e = wm_event_list_add(d->list);
        if (!e)
            give_up(d, d->list->n >= WM_EVENTS_MAX ? WM_ELIMIT : WM_ENOMEM);
    }
    if (!e)
        e = &d->spare;
    e->kind = kind;
    e->at_ms = d->arrived_ms;
    return e;
}

void wm_draft_set(struct wm_draft *d, char **slot, const char *text)
{
    if (d->st != WM_OK)
        return;
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) {
        give_up(d, WM_ENOMEM);
        return;
    }
    free(*slot);
    *slot = copy;
}

void wm_draft_time(struct wm_draft *d, struct wm_event *e, const char *literal)
{
    wm_draft_set(d, &e->timestamp, literal);
    e->at_ms = d->arrived_ms;
    if (!literal)
        return;
    char *rest;
    errno = 0;
    long long n = strtoll(literal, &rest, 10); /* a fraction is cut; past 64 bits it clamps, and so do we */
    if (rest == literal)
        return;
    int64_t latest = d->arrived_ms + FUTURE_MS;
    if (n <= 0)
        e->at_ms = 0;
    else if (n >= MILLISECONDS_FROM)
        e->at_ms = n < latest ? n : latest;
    else
        e->at_ms = n * 1000 < latest ? n * 1000 : latest;
}

void wm_draft_alias(struct wm_draft *d, struct wm_event *e, const char *id)
{
    if (!id || !*id || (e->sender && strcmp(e->sender, id) == 0))
        return;
    for (int i = 0; i < WM_EVENT_ALIASES; i++) {
        if (!e->aliases[i]) {
            wm_draft_set(d, &e->aliases[i], id);
            return;
        }
        if (strcmp(e->aliases[i], id) == 0)
            return;
    }
}

/* Bytes of a prefix that a key takes: not half a character. */
static int prefix_len(const char *prefix)
{
    size_t len = strlen(prefix);
    if (len > KEY_PREFIX_MAX)
        len = KEY_PREFIX_MAX - wm_utf8_incomplete_tail(prefix, KEY_PREFIX_MAX);
    return (int)len;
}

static void set_digest_key(struct wm_draft *d, struct wm_event *e, const char *prefix, const char *what,
                           const char *where)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * KEY_DIGEST + 1], key[KEY_PREFIX_MAX + sizeof hex + 1];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, what, strlen(what)) &&
             EVP_DigestUpdate(ctx, "", 1) && EVP_DigestUpdate(ctx, where, strlen(where)) &&
             EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        give_up(d, WM_ENOMEM);
        return;
    }
    for (int i = 0; i < KEY_DIGEST; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    snprintf(key, sizeof key, "%.*s#%s", prefix_len(prefix), prefix, hex);
    wm_draft_set(d, &e->key, key);
}

void wm_draft_key(struct wm_draft *d, struct wm_event *e, const char *prefix, const char *id)
{
    if (strlen(id) > KEY_ID_MAX) {
        set_digest_key(d, e, prefix, id, "");
        return;
    }
    char key[KEY_PREFIX_MAX + KEY_ID_MAX + 2];
    snprintf(key, sizeof key, "%.*s%s%s", prefix_len(prefix), prefix, *prefix ? ":" : "", id);
    wm_draft_set(d, &e->key, key);
}

void wm_draft_key_of(struct wm_draft *d, struct wm_event *e, const char *prefix, const json_t *what,
                     const char *where)
{
    char *canonical = json_dumps(what, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    if (canonical)
        set_digest_key(d, e, prefix, canonical, where ? where : "");
    else
        give_up(d, WM_ENOMEM);
    free(canonical);
}

/* A failure may leave the last event without its key: it goes, so that every event of the list is whole. */
enum wm_status wm_draft_end(struct wm_draft *d)
{
    struct wm_event_list *list = d->list;
    if (d->st != WM_OK && list->n > 0 && !list->events[list->n - 1].key) {
        struct wm_event_list broken = {.events = malloc(sizeof *broken.events), .n = 1, .cap = 1};
        if (broken.events) {
            broken.events[0] = list->events[--list->n];
            wm_event_list_free(&broken);
        }
    }
    return d->st;
}

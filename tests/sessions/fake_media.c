/* fake_media.c -- pictures on the platform of fake_channel.c. Every id is known: its picture is a JPEG's first bytes and the
 * id. A test's hook changes what is announced and what comes.
 */
#include "tests/sessions/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static const char ask_url[] = "fake:ask/", get_url[] = "fake:get/";
enum { RETRY_MS = 20, PAUSE_MS = 50 };

/* --- the adapter ---------------------------------------------------------------------------------------------------- */

/* "direct-..." is an address already. */
static enum wm_status ask(struct wm_channel *c, const char *id, struct wm_http_call **out,
                          struct wm_media_place *place, struct wm_error *err)
{
    (void)c;
    char url[sizeof place->url];
    *out = NULL;
    if (strchr(id, ' '))
        return wm_fail(err, WM_EINVAL, "\"%s\" is no id", id);
    if (strncmp(id, "direct-", 7) == 0) {
        *place = (struct wm_media_place){.bytes = -1};
        snprintf(place->url, sizeof place->url, "%s%s", get_url, id);
        return WM_OK;
    }
    snprintf(url, sizeof url, "%s%s", ask_url, id);
    *out = wm_http_call_new("GET", url, NULL, 0);
    return *out ? WM_OK : WM_ENOMEM;
}

static bool judge(const struct wm_http_result *result, struct wm_media_outcome *out)
{
    int status = result->fate == WM_HTTP_ANSWERED ? result->status : 503;
    *out = (struct wm_media_outcome){.kind = result->too_long ? WM_MEDIA_GONE
                                             : status == 200  ? WM_MEDIA_GOT
                                             : status == 401  ? WM_MEDIA_PAUSE
                                             : status >= 500  ? WM_MEDIA_RETRY
                                                              : WM_MEDIA_GONE,
                                     .retry_ms = status == 401 ? PAUSE_MS : RETRY_MS,
                                     .sentence = "the platform said no"};
    return out->kind == WM_MEDIA_GOT;
}

static void told(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                 struct wm_media_place *place, struct wm_media_outcome *out)
{
    (void)c, (void)attempt;
    long long bytes;
    if (!judge(result, out))
        return;
    *place = (struct wm_media_place){0};
    sscanf(result->body, "%255s %63s %64s %lld", place->url, place->mime, place->sha256, &bytes);
    place->bytes = bytes;
}

static enum wm_status fetch(struct wm_channel *c, const struct wm_media_place *place, size_t max_bytes,
                            struct wm_http_call **out, struct wm_error *err)
{
    (void)c;
    if (strncmp(place->url, get_url, sizeof get_url - 1) != 0)
        return wm_fail(err, WM_EDENIED, "%s is no host of the platform", place->url);
    *out = wm_http_call_new("GET", place->url, NULL, 0);
    if (!*out)
        return WM_ENOMEM;
    (*out)->max_answer_bytes = max_bytes;
    return WM_OK;
}

static void fetched(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                    struct wm_media_outcome *out)
{
    (void)c, (void)attempt;
    judge(result, out);
}

const struct wm_adapter_media fake_media = {.ask = ask, .told = told, .fetch = fetch, .fetched = fetched};

/* --- the platform ----------------------------------------------------------------------------------------------------- */

static void fill(struct picture *p)
{
    unsigned char digest[32];
    p->status = 200;
    p->len = (size_t)snprintf(p->body, sizeof p->body, "\xFF\xD8\xFF%s", p->id);
    p->bytes = (int64_t)p->len;
    EVP_Digest(p->body, p->len, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(p->sha256 + 2 * i, 3, "%02x", digest[i]);
    snprintf(p->mime, sizeof p->mime, "image/jpeg");
    snprintf(p->url, sizeof p->url, "%s%s", get_url, p->id);
}

static void answer(const struct picture *p, void (*done)(void *arg, const struct wm_http_result *result),
                   void *arg)
{
    char told_text[512];
    struct wm_http_result result = {.fate = p->lost ? WM_HTTP_LOST : WM_HTTP_ANSWERED,
                                    .status = p->lost ? 0 : p->status,
                                    .too_long = p->too_long,
                                    .retry_after_ms = -1,
                                    .cause = p->lost ? "the answer is lost" : NULL};
    if (p->asked) {
        result.body_len = (size_t)snprintf(told_text, sizeof told_text, "%s %s %s %lld", p->url, p->mime,
                                           p->sha256, (long long)p->bytes);
        result.body = told_text;
    } else {
        result.body = p->body;
        result.body_len = p->len;
    }
    done(arg, &result);
}

void platform_picture(struct platform *f, const char *url,
                      void (*done)(void *arg, const struct wm_http_result *result), void *arg)
{
    struct picture p = {.asked = strncmp(url, ask_url, sizeof ask_url - 1) == 0};
    snprintf(p.id, sizeof p.id, "%s", strrchr(url, '/') + 1);
    fill(&p);
    p.nth = p.asked ? ++f->asked : ++f->fetched;
    void (*hook)(struct picture * p) = f->picture;
    if (hook)
        hook(&p);
    if (!p.hold) {
        answer(&p, done, arg);
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->late = p;
    f->late_done = done;
    f->late_arg = arg;
    pthread_mutex_unlock(&f->lock);
}

void platform_release_picture(struct platform *f)
{
    pthread_mutex_lock(&f->lock);
    struct picture p = f->late;
    void (*done)(void *arg, const struct wm_http_result *result) = f->late_done;
    void *arg = f->late_arg;
    f->late_done = NULL;
    pthread_mutex_unlock(&f->lock);
    if (done)
        answer(&p, done, arg);
}

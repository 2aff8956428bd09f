/* media.c -- where a picture on WhatsApp lies: GET graph_url/ID answers with an address that lives for five minutes, so a
 * download that fails begins here again. Source: Meta's media page (December 2025).
 */
#include "adapters/whatsapp/channel.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/meta/json.h"
#include "adapters/meta/media.h"

static enum wm_status ask(struct wm_channel *c, const char *id, struct wm_http_call **out,
                          struct wm_media_place *place, struct wm_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    *out = NULL;
    if (wm_meta_media_is_address(id)) /* a webhook may come without an id */
        return wm_meta_media_place(id, place, err);
    if (!*id || id[strspn(id, plain)] != '\0')
        return wm_fail(err, WM_EINVAL, "channel %s: \"%.64s\" is no media id of Meta's", c->name, id);
    struct wm_buffer url = WM_BUFFER(WM_MEDIA_URL_BYTES);
    enum wm_status st = wm_buffer_printf(&url, "%s/%s", c->graph_url, id);
    struct wm_http_call *call = st == WM_OK ? wm_http_call_new("GET", url.data, NULL, 0) : NULL;
    wm_buffer_free(&url);
    if (!call || wm_http_call_header(call, "Authorization: Bearer %s", c->access_token) != WM_OK) {
        wm_http_call_free(call);
        return wm_fail(err, WM_ENOMEM, "channel %s: no memory for a call", c->name);
    }
    *out = call;
    return WM_OK;
}

/* 64 hex digits, else nothing. */
static void copy_digest(char out[WM_MEDIA_SHA256_HEX + 1], const char *hex)
{
    out[0] = '\0';
    if (!hex || strlen(hex) != WM_MEDIA_SHA256_HEX ||
        strspn(hex, "0123456789abcdefABCDEF") != WM_MEDIA_SHA256_HEX)
        return;
    for (int i = 0; i <= WM_MEDIA_SHA256_HEX; i++)
        out[i] = (char)tolower((unsigned char)hex[i]);
}

static int64_t size_of(const json_t *answer)
{
    const char *text = wm_meta_json_text(answer, "file_size"); /* a string, or a number */
    return text && *text && strlen(text) < 19 && strspn(text, "0123456789") == strlen(text)
               ? strtoll(text, NULL, 10)
               : -1;
}

static void told(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                 struct wm_media_place *place, struct wm_media_outcome *out)
{
    (void)c;
    *out = (struct wm_media_outcome){.kind = WM_MEDIA_GONE};
    if (result->fate == WM_HTTP_ANSWERED && (result->status == 404 || result->status == 410)) {
        snprintf(out->sentence, sizeof out->sentence, "WhatsApp does not know this medium any more");
        return;
    }
    json_t *answer = NULL;
    struct wm_outcome call = {0};
    if (wm_whatsapp_refused(result, attempt, &call, &answer)) {
        static const enum wm_media_outcome_kind kinds[] = {[WM_OUTCOME_RETRY] = WM_MEDIA_RETRY,
                                                           [WM_OUTCOME_UNKNOWN] = WM_MEDIA_RETRY,
                                                           [WM_OUTCOME_FAILED] = WM_MEDIA_GONE,
                                                           [WM_OUTCOME_PAUSE] = WM_MEDIA_PAUSE};
        *out =
            (struct wm_media_outcome){.kind = kinds[call.kind], .retry_ms = call.retry_ms, .code = call.code};
        memcpy(out->sentence, call.sentence, sizeof out->sentence);
        if (call.kind == WM_OUTCOME_UNKNOWN) /* no deed was asked for: asking twice does no harm */
            wm_meta_media_again(out, result, attempt);
        return;
    }
    const char *url = wm_meta_json_text(answer, "url"), *mime = wm_meta_json_text(answer, "mime_type");
    if (url && wm_meta_media_place(url, place, NULL) == WM_OK) {
        copy_digest(place->sha256, wm_meta_json_text(answer, "sha256"));
        place->bytes = size_of(answer);
        snprintf(place->mime, sizeof place->mime, "%.*s", mime ? (int)strcspn(mime, "; ") : 0,
                 mime ? mime : "");
        out->kind = WM_MEDIA_GOT;
    } else {
        snprintf(out->sentence, sizeof out->sentence, "the Graph API did not say where the medium lies");
    }
    json_decref(answer);
}

static enum wm_status fetch(struct wm_channel *c, const struct wm_media_place *place, size_t max_bytes,
                            struct wm_http_call **out, struct wm_error *err)
{
    return wm_meta_media_fetch(c, place, max_bytes, true, out, err);
}

static void fetched(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                    struct wm_media_outcome *out)
{
    (void)c;
    wm_meta_media_fetched(result, attempt, true, out);
}

const struct wm_adapter_media wm_whatsapp_media = {
    .ask = ask, .told = told, .fetch = fetch, .fetched = fetched};

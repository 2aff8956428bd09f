/* media.c -- fetching what people send, as far as all of Meta's platforms do it the same way.
 *
 * WHY     The address of a medium comes from outside: in a webhook, or in an answer of the Graph API. Whoever can choose
 *         it could make us fetch from inside our own network, or collect the access token.
 *
 * HOW     The address is read by strict rules of our own: whatever libcurl could read differently (backslash, user
 *         before @, fragment, blanks, bytes that are not ASCII) is refused, not repaired. Then its host decides:
 *
 *           graph_url's host and port          allowed, whatever its scheme and address; sees the token anyway
 *           lookaside.fbsbx.com                https, public address; sees the token where the platform asks for it
 *           *.fbcdn.net, *.fbsbx.com,          https, public address; no token
 *           *.cdninstagram.com
 *           any other                          refused
 *
 * ALWAYS  (1) No other host gets a call, and none but the first two the token. The courier follows no redirect.
 *         (2) A name of Meta's that leads to a private address gets no connection (public_only).
 *
 * LIMITS  An address of WM_MEDIA_URL_BYTES; a download of FETCH_MS as a whole, so that a byte a second ends too.
 */
#include "adapters/meta/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapters/meta/channel.h"

enum { FETCH_MS = 30 * 1000, AGAIN_MS = 1000, LONGEST_MS = 60 * 1000, PAUSE_MS = 60 * 1000 };

static const char token_host[] = "lookaside.fbsbx.com";
static const char *const own_domains[] = {".fbcdn.net", ".fbsbx.com", ".cdninstagram.com"};

struct origin {
    bool https;
    char host[256];
    int port;
};

/* Visible ASCII without what two readers of URLs may read in two ways. */
static bool plain(const char *url)
{
    for (const char *c = url; *c; c++)
        if (*c <= ' ' || *c >= 0x7F || strchr("\\@#\"<>^`{|}", *c))
            return false;
    return true;
}

/* The first part of "https://host:port/..."; false when it is not exactly that. */
static bool read_origin(const char *url, struct origin *out)
{
    bool https = strncmp(url, "https://", 8) == 0;
    if (!plain(url) || (!https && strncmp(url, "http://", 7) != 0))
        return false;
    const char *host = url + (https ? 8 : 7);
    bool bracket = *host == '[';
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-",
                      v6[] = "0123456789abcdefABCDEF:.";
    size_t len = bracket ? 1 + strspn(host + 1, v6) + 1 : strspn(host, names);
    if (len < 1 || len >= sizeof out->host || (bracket && host[len - 1] != ']'))
        return false;
    *out = (struct origin){.https = https, .port = https ? 443 : 80};
    memcpy(out->host, host, len);
    const char *end = host + len;
    if (*end == ':') {
        size_t digits = strspn(end + 1, "0123456789");
        if (digits < 1 || digits > 5)
            return false;
        out->port = (int)strtol(end + 1, NULL, 10);
        end += 1 + digits;
    }
    return *end == '/' || *end == '?' || *end == '\0';
}

static bool ends_in(const char *host, const char *domain)
{
    size_t len = strlen(host), tail = strlen(domain);
    return len > tail && strcasecmp(host + len - tail, domain) == 0;
}

static bool of_meta(const struct origin *at)
{
    for (size_t i = 0; i < sizeof own_domains / sizeof *own_domains; i++)
        if (ends_in(at->host, own_domains[i]))
            return at->https && at->port == 443;
    return false;
}

static bool of_graph(const struct wm_channel *c, const struct origin *at)
{
    struct origin graph;
    return read_origin(c->graph_url, &graph) && strcasecmp(graph.host, at->host) == 0 &&
           graph.port == at->port && (at->https || !graph.https);
}

bool wm_meta_media_is_address(const char *id)
{
    return strncmp(id, "https://", 8) == 0 || strncmp(id, "http://", 7) == 0;
}

enum wm_status wm_meta_media_place(const char *address, struct wm_media_place *out, struct wm_error *err)
{
    if (!wm_meta_media_is_address(address) || strlen(address) >= sizeof out->url)
        return wm_fail(err, WM_EINVAL, "\"%.64s\" is no address of a medium, or longer than %d bytes",
                       address, WM_MEDIA_URL_BYTES - 1);
    *out = (struct wm_media_place){.bytes = -1};
    memcpy(out->url, address, strlen(address) + 1);
    return WM_OK;
}

enum wm_status wm_meta_media_fetch(const struct wm_channel *c, const struct wm_media_place *place,
                                   size_t max_bytes, bool bearer, struct wm_http_call **out,
                                   struct wm_error *err)
{
    struct origin at = {0};
    bool read = read_origin(place->url, &at), graph = read && of_graph(c, &at);
    if (!graph && !(read && of_meta(&at)))
        return wm_fail(
            err, WM_EDENIED,
            "channel %s: a medium is said to lie at %s, which is no host of Meta's; it is not fetched",
            c->name, read ? at.host : "an address that cannot be read");
    struct wm_http_call *call = wm_http_call_new("GET", place->url, NULL, 0);
    bool token = graph || (bearer && strcasecmp(at.host, token_host) == 0);
    if (!call || (token && wm_http_call_header(call, "Authorization: Bearer %s", c->access_token) != WM_OK)) {
        wm_http_call_free(call);
        return wm_fail(err, WM_ENOMEM, "channel %s: no memory for a call", c->name);
    }
    call->timeout_ms = FETCH_MS;
    call->max_answer_bytes = max_bytes;
    call->public_only = !graph;
    *out = call;
    return WM_OK;
}

void wm_meta_media_again(struct wm_media_outcome *out, const struct wm_http_result *result, int attempt)
{
    int64_t ms = AGAIN_MS;
    for (int i = 1; i < attempt && ms < LONGEST_MS; i++)
        ms *= 2;
    out->kind = WM_MEDIA_RETRY;
    out->retry_ms = result->retry_after_ms > ms ? result->retry_after_ms : ms;
}

void wm_meta_media_fetched(const struct wm_http_result *result, int attempt, bool renewable,
                           struct wm_media_outcome *out)
{
    int status = result->status;
    *out = (struct wm_media_outcome){.kind = WM_MEDIA_GONE};
    if (result->fate != WM_HTTP_ANSWERED) {
        if (!result->too_long)
            wm_meta_media_again(out, result, attempt);
        snprintf(out->sentence, sizeof out->sentence, "the download failed: %.200s",
                 result->cause ? result->cause : "no answer");
        return;
    }
    if (status == 200) {
        out->kind = WM_MEDIA_GOT;
        return;
    }
    if (status == 401 && renewable) {
        out->kind = WM_MEDIA_PAUSE;
        out->retry_ms = PAUSE_MS;
    } else if (status == 408 || status == 429 || status >= 500) {
        wm_meta_media_again(out, result, attempt);
    } else if (renewable && (status == 403 || status == 404 || status == 410)) {
        wm_meta_media_again(out, result, attempt); /* the address has expired: ask for a new one */
    }
    snprintf(out->sentence, sizeof out->sentence,
             status == 401 && renewable ? "the download was answered %d; check the channel's access_token"
             : status >= 300 && status < 400
                 ? "the download was answered %d: a redirect, which is not followed"
                 : "the download was answered %d",
             status);
}

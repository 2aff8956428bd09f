/* media.c -- fuzzes where a picture is said to lie: the address itself, and the Graph API's answer that holds it. Whatever
 * comes, a call goes to hosts of Meta's or to graph_url's only, and only where it may the token goes too.
 *
 *   first byte odd: an answer of the Graph API; even: an address
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapters/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char graph[] = "https://graph.facebook.com/v25.0";

static struct wm_channel *open_channel(const struct wm_adapter *adapter)
{
    const struct wm_channel_config config = {.name = "fuzz",
                                             .account = "1",
                                             .app_secrets = {"shhh-test-secret-0123456789abcdef"},
                                             .access_token = "TOKEN",
                                             .graph_url = graph};
    struct wm_channel *channel = NULL;
    if (adapter->open(&config, &channel, NULL) != WM_OK)
        abort();
    return channel;
}

/* Told apart from the adapter's own way: the bytes between "https://" and the first / ? or :443. */
static bool host_ends(const char *url, const char *end, bool whole)
{
    if (strncmp(url, "https://", 8) != 0)
        return false;
    const char *host = url + 8;
    size_t len = strcspn(host, "/?:"), tail = strlen(end);
    if (host[len] == ':' && (strncmp(host + len, ":443", 4) != 0 || !strchr("/?", host[len + 4])))
        return strtol(host + len + 1, NULL, 10) == 443 && len >= tail &&
               strncasecmp(host + len - tail, end, tail) == 0; /* ":00443" */
    return (whole ? len == tail : len > tail) && strncasecmp(host + len - tail, end, tail) == 0;
}

static void check_call(const struct wm_http_call *call)
{
    bool meta = host_ends(call->url, ".fbcdn.net", false) || host_ends(call->url, ".fbsbx.com", false) ||
                host_ends(call->url, ".cdninstagram.com", false);
    bool of_graph = host_ends(call->url, "graph.facebook.com", true);
    bool token = call->headers[0] != NULL;
    if (!meta && !of_graph)
        abort();
    if (token && !of_graph && !host_ends(call->url, "lookaside.fbsbx.com", true))
        abort();
    if (call->public_only == of_graph || strpbrk(call->url, "\\@# \t\r\n"))
        abort();
}

static void try_place(const struct wm_adapter *adapter, struct wm_channel *channel,
                      const struct wm_media_place *place)
{
    struct wm_http_call *call = NULL;
    if (adapter->media->fetch(channel, place, 1000, &call, NULL) != WM_OK)
        return;
    check_call(call);
    wm_http_call_free(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wm_adapter *whatsapp, *messenger;
    static struct wm_channel *one, *two;
    if (!whatsapp) {
        whatsapp = wm_adapter_find("whatsapp");
        messenger = wm_adapter_find("messenger");
        one = open_channel(whatsapp);
        two = open_channel(messenger);
    }
    if (size < 1 || size > WM_MEDIA_URL_BYTES)
        return 0;
    struct wm_media_place place = {.bytes = -1};
    if (data[0] & 1) {
        struct wm_http_result answer = {.fate = WM_HTTP_ANSWERED,
                                        .status = 200,
                                        .body = (const char *)data + 1,
                                        .body_len = size - 1,
                                        .retry_after_ms = -1};
        struct wm_media_outcome out;
        whatsapp->media->told(one, &answer, 1, &place, &out);
        if (out.kind != WM_MEDIA_GOT)
            return 0;
        if (!place.url[0] || (place.sha256[0] && strlen(place.sha256) != WM_MEDIA_SHA256_HEX))
            abort();
    } else {
        memcpy(place.url, data + 1, size - 1);
    }
    try_place(whatsapp, one, &place);
    try_place(messenger, two, &place);
    return 0;
}

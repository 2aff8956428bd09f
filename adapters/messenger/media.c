/* media.c -- pictures on Messenger and Instagram: the webhook carries their addresses, so nobody has to be
 * asked, and an address that has expired cannot be renewed. They are signed: no token is needed.
 */
#include "adapters/messenger/channel.h"

#include "adapters/meta/media.h"

static enum wm_status ask(struct wm_channel *c, const char *id, struct wm_http_call **out,
                          struct wm_media_place *place, struct wm_error *err)
{
    (void)c;
    *out = NULL;
    return wm_meta_media_place(id, place, err);
}

static enum wm_status fetch(struct wm_channel *c, const struct wm_media_place *place, size_t max_bytes,
                            struct wm_http_call **out, struct wm_error *err)
{
    return wm_meta_media_fetch(c, place, max_bytes, false, out, err);
}

static void fetched(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                    struct wm_media_outcome *out)
{
    (void)c;
    wm_meta_media_fetched(result, attempt, false, out);
}

const struct wm_adapter_media wm_messenger_media = {.ask = ask, .fetch = fetch, .fetched = fetched};

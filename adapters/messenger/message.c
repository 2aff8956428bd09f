/* message.c -- what a Messenger or Instagram message says: kind, text, payload and media.
 *
 * HOW     A message is its text, or what its first attachment is; a text under a picture is its caption. The
 *         attachments' addresses are kept in order, each once: Messenger tells a sticker twice, as `sticker`
 *         and as `image`. A type that is not in the table is a normal thing: both platforms invent some every year.
 */
#include "adapters/messenger/channel.h"

#include <string.h>

#include "adapters/meta/json.h"
#include "kernels/base/buffer.h"

static const struct {
    const char *type;
    enum wm_event_kind kind;
} types[] = {
    {"image", WM_EVENT_IMAGE},     {"audio", WM_EVENT_AUDIO},       {"video", WM_EVENT_VIDEO},
    {"reel", WM_EVENT_VIDEO},      {"ig_reel", WM_EVENT_VIDEO},     {"file", WM_EVENT_DOCUMENT},
    {"sticker", WM_EVENT_STICKER}, {"location", WM_EVENT_LOCATION},
};

static enum wm_event_kind kind_of(const json_t *message, const json_t *attachment)
{
    const char *type = wm_meta_json_text(attachment, "type");
    bool sticker = wm_meta_json_text(message, "sticker_id") ||
                   wm_meta_json_text_at(attachment, "payload", "sticker_id", NULL);
    if (sticker)
        return WM_EVENT_STICKER;
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].kind;
    return WM_EVENT_UNSUPPORTED;
}

static void add_medium(struct wm_draft *d, struct wm_event *e, const char *url)
{
    for (int i = 0; url && *url && i < WM_EVENT_MEDIA; i++) {
        if (!e->media[i]) {
            wm_draft_set(d, &e->media[i], url);
            return;
        }
        if (strcmp(e->media[i], url) == 0)
            return;
    }
}

/* The payload is an object, a text, null, or missing. A fallback has its address beside it. */
static void read_attachment(struct wm_draft *d, struct wm_event *e, const json_t *attachment,
                            enum wm_event_kind kind)
{
    const char *url = wm_meta_json_text_at(attachment, "payload", "url", NULL);
    if (kind != WM_EVENT_UNSUPPORTED || url)
        add_medium(d, e, url);
    if (kind != WM_EVENT_LOCATION || e->text)
        return;
    const char *latitude = wm_meta_json_text_at(attachment, "payload", "coordinates", "lat", NULL),
               *longitude = wm_meta_json_text_at(attachment, "payload", "coordinates", "long", NULL);
    struct wm_buffer words = WM_BUFFER(256);
    if (latitude && longitude && wm_buffer_printf(&words, "%s, %s", latitude, longitude) == WM_OK)
        wm_draft_set(d, &e->text, words.data);
    wm_buffer_free(&words);
}

void wm_messenger_content(struct wm_draft *d, struct wm_event *e, const json_t *message)
{
    const json_t *attachments = json_object_get(message, "attachments"), *attachment;
    const char *text = wm_meta_json_text(message, "text");
    wm_draft_set(d, &e->text, text && *text ? text : NULL);
    wm_draft_set(d, &e->payload, wm_meta_json_text_at(message, "quick_reply", "payload", NULL));
    wm_draft_set(d, &e->target, wm_meta_json_text_at(message, "reply_to", "mid", NULL));
    bool told = false;
    size_t i;
    e->kind = WM_EVENT_UNSUPPORTED;
    json_array_foreach(attachments, i, attachment)
    {
        enum wm_event_kind kind = kind_of(message, attachment);
        if (!told && kind != WM_EVENT_UNSUPPORTED) {
            e->kind = kind;
            told = true;
        }
        if (e->kind == WM_EVENT_UNSUPPORTED)
            wm_draft_set(d, &e->field, wm_meta_json_text(attachment, "type")); /* "template", "share" */
        read_attachment(d, e, attachment, kind);
    }
    if (!told && e->text && !json_is_true(json_object_get(message, "is_unsupported")))
        e->kind = WM_EVENT_TEXT;
    if (e->kind != WM_EVENT_UNSUPPORTED)
        wm_draft_set(d, &e->field, NULL);
}

/* content.c -- what a WhatsApp message says: kind, text, payload and media, by its `type`.
 *
 * HOW     A table from type to kind and filler. A filler gets the object that the type names. What a person sent
 *         without words (a place, a card, an order) gets words, so that the model has something to answer; they hold
 *         the literals of the body.
 *         A type that is not in the table is a normal thing: WhatsApp invents some every year.
 */
#include "adapters/whatsapp/channel.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/meta/json.h"
#include "kernels/base/buffer.h"

enum { WORDS_MAX = 64 << 10 }; /* bytes of text made from an order, a place or cards; the rest is left out */

static void set_words(struct wm_draft *d, struct wm_event *e, struct wm_buffer *words)
{
    wm_draft_set(d, &e->text, words->len ? words->data : NULL);
    wm_buffer_free(words);
}

static void fill_text(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    wm_draft_set(d, &e->text, wm_meta_json_text(content, "body"));
}

static void fill_media(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    const char *id = wm_meta_json_text(content, "id"), *type = wm_meta_json_text(content, "mime_type");
    wm_draft_set(d, &e->media[0], id ? id : wm_meta_json_text(content, "url"));
    wm_draft_set(d, &e->text, wm_meta_json_text(content, "caption"));
    wm_draft_set(d, &e->mime, type);
    if (e->mime)
        e->mime[strcspn(e->mime, "; ")] = '\0'; /* "audio/ogg; codecs=opus" */
}

static void fill_location(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    struct wm_buffer words = WM_BUFFER(WORDS_MAX);
    const char *const names[] = {wm_meta_json_text(content, "name"), wm_meta_json_text(content, "address")};
    const char *latitude = wm_meta_json_text(content, "latitude"),
               *longitude = wm_meta_json_text(content, "longitude");
    for (int i = 0; i < 2; i++)
        if (names[i] && *names[i])
            wm_buffer_printf(&words, "%s%s", words.len ? ", " : "", names[i]);
    if (latitude && longitude)
        wm_buffer_printf(&words, words.len ? " (%s, %s)" : "%s, %s", latitude, longitude);
    set_words(d, e, &words);
}

static void fill_contacts(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    struct wm_buffer words = WM_BUFFER(WORDS_MAX);
    size_t i, k;
    const json_t *card, *phone;
    json_array_foreach(content, i, card)
    {
        const char *name = wm_meta_json_text_at(card, "name", "formatted_name", NULL);
        wm_buffer_printf(&words, "%s%s", words.len ? "\n" : "", name ? name : "?");
        json_array_foreach(json_object_get(card, "phones"), k, phone)
        {
            const char *number = wm_meta_json_text(phone, "phone");
            if (!number)
                number = wm_meta_json_text(phone, "wa_id");
            if (number)
                wm_buffer_printf(&words, "%s %s", k ? "," : ":", number);
        }
    }
    set_words(d, e, &words);
}

static void fill_order(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    struct wm_buffer words = WM_BUFFER(WORDS_MAX);
    const char *note = wm_meta_json_text(content, "text");
    if (note && *note)
        wm_buffer_puts(&words, note);
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(content, "product_items"), i, item)
    {
        const char *sku = wm_meta_json_text(item, "product_retailer_id"),
                   *quantity = wm_meta_json_text(item, "quantity"),
                   *price = wm_meta_json_text(item, "item_price"),
                   *currency = wm_meta_json_text(item, "currency");
        wm_buffer_printf(&words, "%s%s x %s", words.len ? "\n" : "", quantity ? quantity : "?",
                         sku ? sku : "?");
        if (price)
            wm_buffer_printf(&words, " (%s%s%s)", price, currency ? " " : "", currency ? currency : "");
    }
    wm_draft_set(d, &e->payload, wm_meta_json_text(content, "catalog_id"));
    set_words(d, e, &words);
}

/* The answer stands in a member named like its type. */
static void fill_interactive(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    const char *type = wm_meta_json_text(content, "type");
    const json_t *answer = type ? json_object_get(content, type) : NULL;
    /* button_reply and list_reply: id, title; nfm_reply: response_json, body; call_permission_reply: response */
    static const char *const payloads[] = {"id", "response_json", "response"}, *const titles[] = {"title",
                                                                                                  "body"};
    for (int i = 0; i < 3 && !e->payload; i++)
        wm_draft_set(d, &e->payload, wm_meta_json_text(answer, payloads[i]));
    for (int i = 0; i < 2 && !e->text; i++)
        wm_draft_set(d, &e->text, wm_meta_json_text(answer, titles[i]));
    wm_draft_set(d, &e->field, type);
}

static void fill_button(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    wm_draft_set(d, &e->text, wm_meta_json_text(content, "text"));
    wm_draft_set(d, &e->payload, wm_meta_json_text(content, "payload"));
}

static void fill_reaction(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    const char *emoji = wm_meta_json_text(content, "emoji");
    wm_draft_set(d, &e->text, emoji ? emoji : ""); /* none: taken back */
    wm_draft_set(d, &e->target, wm_meta_json_text(content, "message_id"));
}

/* A new number or id is a further id of the same person. */
static void fill_system(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    static const char *const ids[] = {"user_id", "parent_user_id", "wa_id", "new_wa_id"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        wm_draft_alias(d, e, wm_meta_json_text(content, ids[i]));
    wm_draft_set(d, &e->text, wm_meta_json_text(content, "body"));
    wm_draft_set(d, &e->field, wm_meta_json_text(content, "type"));
}

static void fill_unsupported(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    wm_draft_set(d, &e->field, wm_meta_json_text(content, "type")); /* "poll" */
}

static void fill_edit(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    const json_t *now = json_object_get(content, "message");
    const char *type = wm_meta_json_text(now, "type");
    if (type && strcmp(type, "edit") != 0) { /* an edit of an edit would recurse for ever */
        enum wm_event_kind kind = e->kind;
        wm_whatsapp_content(d, e, now);
        e->kind = kind;
    }
    wm_draft_set(d, &e->target, wm_meta_json_text(content, "original_message_id"));
}

static void fill_revoke(struct wm_draft *d, struct wm_event *e, const json_t *content)
{
    wm_draft_set(d, &e->target, wm_meta_json_text(content, "original_message_id"));
}

static const struct {
    const char *type;
    enum wm_event_kind kind;
    void (*fill)(struct wm_draft *, struct wm_event *, const json_t *content);
} types[] = {
    {"text", WM_EVENT_TEXT, fill_text},
    {"image", WM_EVENT_IMAGE, fill_media},
    {"audio", WM_EVENT_AUDIO, fill_media},
    {"voice", WM_EVENT_AUDIO, fill_media},
    {"video", WM_EVENT_VIDEO, fill_media},
    {"document", WM_EVENT_DOCUMENT, fill_media},
    {"sticker", WM_EVENT_STICKER, fill_media},
    {"location", WM_EVENT_LOCATION, fill_location},
    {"contacts", WM_EVENT_CONTACTS, fill_contacts},
    {"interactive", WM_EVENT_INTERACTIVE, fill_interactive},
    {"button", WM_EVENT_BUTTON, fill_button},
    {"order", WM_EVENT_ORDER, fill_order},
    {"reaction", WM_EVENT_REACTION, fill_reaction},
    {"system", WM_EVENT_SYSTEM, fill_system},
    {"edit", WM_EVENT_EDIT, fill_edit},
    {"revoke", WM_EVENT_DELETE, fill_revoke},
    {"unsupported", WM_EVENT_UNSUPPORTED, fill_unsupported},
};

void wm_whatsapp_content(struct wm_draft *d, struct wm_event *e, const json_t *message)
{
    const char *type = wm_meta_json_text(message, "type");
    /* What the message answers; edits, deletions and reactions overwrite it with what they change. */
    wm_draft_set(d, &e->target, wm_meta_json_text_at(message, "context", "id", NULL));
    wm_whatsapp_error(d, e, json_object_get(message, "errors"));
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0) {
            e->kind = types[i].kind;
            types[i].fill(d, e, json_object_get(message, type));
            return;
        }
    e->kind = WM_EVENT_UNSUPPORTED;
    wm_draft_set(d, &e->field, type);
}

void wm_whatsapp_error(struct wm_draft *d, struct wm_event *e, const json_t *errors)
{
    const json_t *first = json_array_get(errors, 0);
    if (!first)
        return;
    e->error_code = wm_meta_json_int(first, "code");
    const char *const words[] = {wm_meta_json_text_at(first, "error_data", "details", NULL),
                                 wm_meta_json_text(first, "details"), wm_meta_json_text(first, "message"),
                                 wm_meta_json_text(first, "title")};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i]) {
            wm_draft_set(d, &e->error_text, words[i]);
            return;
        }
}

/* message.c -- one WhatsApp message: who wrote it to whom, and whether an answer is expected.
 *
 * HOW     A person has up to four ids here: phone number (wa_id), business-scoped id, its parent, and, after a change
 *         of number, the new one. The sender is the id that the message itself gives, the number first: it is what an
 *         answer goes to. The others become aliases. contacts[] is matched by id, never by position: a batch may hold
 *         messages of several people.
 *
 * ALWAYS  (1) Nothing that the business wrote itself is a question: echoes, history, and any message whose sender is
 *             the business's own number.
 *         (2) No answer into a group, to an edit, a reaction, a deletion or a system notice.
 */
#include "adapters/whatsapp/channel.h"

#include <string.h>

#include "adapters/meta/json.h"

struct person {
    const char *number, *user, *parent; /* any may be NULL */
};

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* Meta writes the same number with and without '+', spaces and hyphens. */
static bool same_number(const char *a, const char *b)
{
    static const char filling[] = "+ -()";
    if (!a || !b || !*a)
        return false;
    for (;;) {
        a += strspn(a, filling);
        b += strspn(b, filling);
        if (*a != *b)
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

/* The entry of contacts[] that is this person, or NULL. A message that names nobody takes the only contact there is. */
static const json_t *contact_of(const json_t *contacts, const struct person *p)
{
    size_t i;
    const json_t *contact;
    json_array_foreach(contacts, i,
                       contact) if (same(wm_meta_json_text(contact, "wa_id"), p->number) ||
                                    same(wm_meta_json_text(contact, "user_id"), p->user)) return contact;
    return !p->number && !p->user && json_array_size(contacts) == 1 ? json_array_get(contacts, 0) : NULL;
}

static void set_person(struct wm_draft *d, struct wm_event *e, const struct wm_whatsapp_context *in,
                       const struct person *p)
{
    const json_t *contact = contact_of(json_object_get(in->value, "contacts"), p);
    const char *const ids[] = {p->number,
                               p->user,
                               p->parent,
                               wm_meta_json_text(contact, "wa_id"),
                               wm_meta_json_text(contact, "user_id"),
                               wm_meta_json_text(contact, "parent_user_id")};
    enum { NUMBER, USER, PARENT, CONTACT_NUMBER, CONTACT_USER, CONTACT_PARENT, IDS };
    for (int i = 0; i < IDS && !e->sender; i++)
        if (ids[i] && *ids[i])
            wm_draft_set(d, &e->sender, ids[i]);
    /* most lasting first: a number is given up more often than an account */
    static const int lasting[] = {USER, CONTACT_USER, PARENT, CONTACT_PARENT, NUMBER, CONTACT_NUMBER};
    for (int i = 0; i < IDS; i++)
        wm_draft_alias(d, e, ids[lasting[i]]);
    wm_draft_set(d, &e->name, wm_meta_json_text_at(contact, "profile", "name", NULL));
}

/* What every message has. `prefix` keeps apart what may carry the same id. */
static struct wm_event *start(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message,
                              const char *prefix)
{
    struct wm_event *e = wm_draft_add(d, WM_EVENT_UNSUPPORTED);
    wm_draft_set(d, &e->account, in->account);
    wm_draft_set(d, &e->id, wm_meta_json_text(message, "id"));
    wm_draft_time(d, e, wm_meta_json_text(message, "timestamp"));
    if (e->id && *e->id)
        wm_draft_key(d, e, prefix, e->id);
    else
        wm_draft_key_of(d, e, *prefix ? prefix : "message", message, in->account);
    return e;
}

static bool asks(enum wm_event_kind kind)
{
    switch (kind) {
    case WM_EVENT_TEXT:
    case WM_EVENT_IMAGE:
    case WM_EVENT_AUDIO:
    case WM_EVENT_VIDEO:
    case WM_EVENT_DOCUMENT:
    case WM_EVENT_STICKER:
    case WM_EVENT_LOCATION:
    case WM_EVENT_CONTACTS:
    case WM_EVENT_INTERACTIVE:
    case WM_EVENT_BUTTON:
    case WM_EVENT_ORDER:
    case WM_EVENT_UNSUPPORTED: /* a polite word that this cannot be read */
        return true;
    default:
        return false;
    }
}

void wm_whatsapp_message(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message)
{
    const struct person from = {wm_meta_json_text(message, "from"),
                                wm_meta_json_text(message, "from_user_id"),
                                wm_meta_json_text(message, "from_parent_user_id")};
    if (same_number(from.number, wm_meta_json_text_at(in->value, "metadata", "display_phone_number", NULL))) {
        wm_whatsapp_echo(d, in, message);
        return;
    }
    struct wm_event *e = start(d, in, message, "");
    set_person(d, e, in, &from);
    wm_whatsapp_content(d, e, message);
    /* why WhatsApp could not read a message stands, for some, beside it */
    if (!e->error_code)
        wm_whatsapp_error(d, e, json_object_get(in->value, "errors"));
    e->from_group = wm_meta_json_text(message, "group_id") != NULL;
    /* "standby": another system serves this number, we only listen */
    e->wants_reply = asks(e->kind) && e->sender && !e->from_group && strcmp(in->field, "standby") != 0;
}

void wm_whatsapp_echo(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message)
{
    const struct person to = {wm_meta_json_text(message, "to"), wm_meta_json_text(message, "to_user_id"),
                              wm_meta_json_text(message, "to_parent_user_id")};
    struct wm_event *e = start(d, in, message, "");
    if (to.number || to.user)
        set_person(d, e, in, &to);
    wm_whatsapp_content(d, e, message);
    e->kind = WM_EVENT_ECHO;
    wm_draft_set(d, &e->field, wm_meta_json_text(message, "type"));
}

/* Old messages, given once after a number was connected. Their ids may come again live, hence the prefix. */
void wm_whatsapp_history(struct wm_draft *d, const struct wm_whatsapp_context *in, const char *person,
                         const json_t *message)
{
    struct wm_event *e = start(d, in, message, "history");
    wm_draft_set(d, &e->sender, person ? person : wm_meta_json_text(message, "from"));
    wm_whatsapp_content(d, e, message);
    e->kind = WM_EVENT_OTHER;
    wm_draft_set(d, &e->field, "history");
    wm_draft_set(d, &e->status, wm_meta_json_text_at(message, "history_context", "status", NULL));
}

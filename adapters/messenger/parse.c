/* parse.c -- a Messenger or Instagram webhook body becomes events, one for every update in it.
 *
 *   {"object":"page" or "instagram",
 *    "entry":[{"id":ACCOUNT,"messaging":[UPDATE ...]}]}       we own the conversation, or nobody does
 *              "standby":[UPDATE ...]                         another app owns it: to be known, never answered
 *              "changes":[{"field":F,"value":...}]            not a message: comments, feed, leads
 *
 * HOW     What an update is, is told by the member that it has: a table names them. An update with none of
 *         these is one event of kind OTHER under the name of the member that it does have.
 *
 * ALWAYS  (1) All entries, all updates. What is missing, null or of another type costs that piece, never its
 *             neighbours.
 *         (2) Nothing that the account wrote itself is a question: echoes, and updates whose sender is the account.
 *         (3) Only a text that is not JSON or not an envelope of this platform is an error.
 */
#include "adapters/messenger/channel.h"

#include <string.h>

#include "adapters/meta/json.h"

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* The person behind an update: who wrote, or, when the account did, who was written to. */
static const char *person_of(const struct wm_messenger_context *in, const json_t *update)
{
    static const char *const ends[] = {"sender", "recipient"};
    for (int i = 0; i < 2; i++) {
        const char *id = wm_meta_json_text_at(update, ends[i], "id", NULL);
        if (!id)
            id = wm_meta_json_text_at(update, ends[i], "user_ref", NULL); /* a plug-in's visitor */
        if (id && !same(id, in->account))
            return id;
    }
    return NULL;
}

/* What every update has. The key is made of its content until the reader knows a better one. */
static struct wm_event *start(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                              enum wm_event_kind kind, const char *field)
{
    struct wm_event *e = wm_draft_add(d, kind);
    wm_draft_set(d, &e->account, in->account);
    wm_draft_set(d, &e->sender, person_of(in, update));
    wm_draft_time(d, e, wm_meta_json_text(update, "timestamp"));
    wm_draft_key_of(d, e, field, update, in->account);
    return e;
}

/* An id makes the event the same however often, and with whatever beside it, it is told. */
static void identify(struct wm_draft *d, struct wm_event *e, const char *id)
{
    wm_draft_set(d, &e->id, id);
    if (id && *id)
        wm_draft_key(d, e, "", id);
}

/* Another happening of the same id. */
static void set_apart(struct wm_draft *d, struct wm_event *e, const char *prefix)
{
    if (e->id && *e->id)
        wm_draft_key(d, e, prefix, e->id);
}

/* --- messages ------------------------------------------------------------------------------------------- */

/* What the account said, through us or not. Our own reference in it proves that a send arrived. */
static void read_echo(struct wm_draft *d, struct wm_event *e, const json_t *message)
{
    const char *metadata = wm_meta_json_text(message, "metadata");
    e->kind = WM_EVENT_ECHO;
    wm_draft_set(d, &e->ref, metadata);
    wm_draft_set(d, &e->payload, wm_meta_json_text(message, "app_id"));
    if (metadata && strncmp(metadata, WM_REF_PREFIX, strlen(WM_REF_PREFIX)) == 0) {
        e->kind = WM_EVENT_STATUS;
        e->delivery = WM_DELIVERY_SENT;
        wm_draft_set(d, &e->status, "sent");
        set_apart(d, e, "sent");
    }
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
    case WM_EVENT_UNSUPPORTED: /* a polite word that this cannot be read */
        return true;
    default:
        return false;
    }
}

static void read_message(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                         const json_t *message, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_UNSUPPORTED, member);
    identify(d, e, wm_meta_json_text(message, "mid"));
    wm_messenger_content(d, e, message);
    if (json_is_true(json_object_get(message, "is_echo")) ||
        same(wm_meta_json_text_at(update, "sender", "id", NULL), in->account)) {
        read_echo(d, e, message);
    } else if (json_is_true(json_object_get(message, "is_deleted"))) {
        e->kind = WM_EVENT_DELETE; /* the id is the message's own: the happening needs another key */
        wm_draft_set(d, &e->target, e->id);
        set_apart(d, e, "deleted");
    }
    e->wants_reply = asks(e->kind) && e->sender;
}

static void read_edit(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                      const json_t *edit, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_EDIT, member);
    wm_draft_set(d, &e->id, wm_meta_json_text(edit, "mid"));
    wm_draft_set(d, &e->target, e->id);
    wm_draft_set(d, &e->text, wm_meta_json_text(edit, "text"));
}

static void read_reaction(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                          const json_t *reaction, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_REACTION, member);
    const char *emoji = wm_meta_json_text(reaction, "emoji"), *word = wm_meta_json_text(reaction, "reaction");
    wm_draft_set(d, &e->target, wm_meta_json_text(reaction, "mid"));
    wm_draft_set(d, &e->text, emoji ? emoji : word ? word : "");
    wm_draft_set(d, &e->status, wm_meta_json_text(reaction, "action")); /* "react", "unreact" */
}

static void read_postback(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                          const json_t *postback, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_POSTBACK, member);
    identify(d, e, wm_meta_json_text(postback, "mid"));
    wm_draft_set(d, &e->text, wm_meta_json_text(postback, "title"));
    wm_draft_set(d, &e->payload, wm_meta_json_text(postback, "payload"));
    e->wants_reply = e->sender != NULL;
}

/* --- marks ---------------------------------------------------------------------------------------------- */

/* Both hold for all that was sent up to a watermark (Unix milliseconds: the payload), or for the message that is named:
 * Messenger's delivery names some, Instagram's read names one and has no watermark. */
static void read_mark(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                      const json_t *mark, const char *member)
{
    bool read = strcmp(member, "read") == 0;
    struct wm_event *e = start(d, in, update, read ? WM_EVENT_READ : WM_EVENT_DELIVERY, member);
    const json_t *mids = json_object_get(mark, "mids");
    const char *last = json_string_value(json_array_get(mids, json_array_size(mids) - 1));
    e->delivery = read ? WM_DELIVERY_READ : WM_DELIVERY_DELIVERED;
    wm_draft_set(d, &e->status, read ? "read" : "delivered");
    wm_draft_set(d, &e->target, last ? last : wm_meta_json_text(mark, "mid"));
    wm_draft_set(d, &e->payload, wm_meta_json_text(mark, "watermark"));
}

/* --- the rest ------------------------------------------------------------------------------------------- */

static void read_optin(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                       const json_t *optin, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_OPTIN, member);
    wm_draft_set(d, &e->payload, wm_meta_json_text(optin, "payload"));
    wm_draft_set(d, &e->text, wm_meta_json_text(optin, "title"));
    wm_draft_set(d, &e->ref, wm_meta_json_text(optin, "ref"));
}

static void read_referral(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                          const json_t *referral, const char *member)
{
    struct wm_event *e = start(d, in, update, WM_EVENT_REFERRAL, member);
    wm_draft_set(d, &e->payload, wm_meta_json_text(referral, "ref"));
    wm_draft_set(d, &e->field, wm_meta_json_text(referral, "source"));
}

/* Who owns the conversation from now on, or asks to. */
static void read_handover(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                          const json_t *handover, const char *member)
{
    static const char *const owners[] = {"new_owner_app_id", "requested_owner_app_id"};
    struct wm_event *e = start(d, in, update, WM_EVENT_HANDOVER, member);
    wm_draft_set(d, &e->sender, wm_meta_json_text_at(update, "sender", "id", NULL)); /* the account may ask */
    wm_draft_set(d, &e->field, member);
    for (int i = 0; i < 2 && !e->payload; i++)
        wm_draft_set(d, &e->payload, wm_meta_json_text(handover, owners[i]));
    wm_draft_set(d, &e->text, wm_meta_json_text(handover, "metadata"));
}

static void read_other(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update,
                       const json_t *value, const char *member)
{
    (void)value;
    struct wm_event *e = start(d, in, update, WM_EVENT_OTHER, member);
    wm_draft_set(d, &e->field, member);
}

/* In this order: a postback may stand beside a referral. */
static const struct {
    const char *member;
    void (*read)(struct wm_draft *, const struct wm_messenger_context *, const json_t *update,
                 const json_t *value, const char *member);
} members[] = {
    {"message", read_message},
    {"postback", read_postback},
    {"message_edit", read_edit},
    {"reaction", read_reaction},
    {"delivery", read_mark},
    {"read", read_mark},
    {"optin", read_optin},
    {"referral", read_referral},
    {"pass_thread_control", read_handover},
    {"take_thread_control", read_handover},
    {"request_thread_control", read_handover},
    {"app_roles", read_handover},
};

/* The member that tells what an update of no known kind is. */
static const char *telling_member(const json_t *update)
{
    static const char *const common[] = {"sender", "recipient", "timestamp", "hop_context"};
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)update, key, value)
    {
        bool is_common = false;
        for (size_t i = 0; i < sizeof common / sizeof *common; i++)
            is_common |= strcmp(key, common[i]) == 0;
        if (!is_common)
            return key;
    }
    return "update";
}

static void read_update(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *update)
{
    size_t before = d->list->n;
    bool known = false;
    for (size_t i = 0; i < sizeof members / sizeof *members && !known; i++) {
        const json_t *value = json_object_get(update, members[i].member);
        known = json_is_object(value) || json_is_array(value);
        if (known)
            members[i].read(d, in, update, value, members[i].member);
    }
    if (!known) {
        const char *member = telling_member(update);
        read_other(d, in, update, json_object_get(update, member), member);
    }
    for (size_t i = before; in->standby && i < d->list->n; i++) {
        struct wm_event *e = &d->list->events[i];
        e->wants_reply = false;
        if (asks(e->kind) ||
            e->kind == WM_EVENT_POSTBACK) { /* said to another app: not ours to remember as a turn */
            e->kind = WM_EVENT_OTHER;
            wm_draft_set(d, &e->field, "standby");
        }
    }
}

static void read_change(struct wm_draft *d, const json_t *entry, const json_t *change)
{
    const char *field = wm_meta_json_text(change, "field"), *account = wm_meta_json_text(entry, "id"),
               *when = wm_meta_json_text(entry, "time");
    struct wm_event *e = wm_draft_add(d, WM_EVENT_OTHER);
    wm_draft_set(d, &e->account, account);
    wm_draft_set(d, &e->field, field ? field : "change");
    wm_draft_time(d, e, when);
    wm_draft_key_of(d, e, e->field ? e->field : "change", change,
                    when); /* the same words may be true twice */
}

static void read_updates(struct wm_draft *d, const struct wm_messenger_context *in, const json_t *updates)
{
    size_t i;
    const json_t *update;
    json_array_foreach(updates, i, update) if (json_is_object(update)) read_update(d, in, update);
}

static void read_entry(struct wm_draft *d, const json_t *entry)
{
    const char *account = wm_meta_json_text(entry, "id");
    read_updates(d, &(struct wm_messenger_context){account, false}, json_object_get(entry, "messaging"));
    read_updates(d, &(struct wm_messenger_context){account, true}, json_object_get(entry, "standby"));
    size_t i;
    const json_t *change;
    json_array_foreach(json_object_get(entry, "changes"), i, change) if (json_is_object(change))
        read_change(d, entry, change);
}

static enum wm_status parse(const char *platform, const char *object, const char *body, size_t len,
                            int64_t arrived_ms, struct wm_event_list *out, struct wm_error *err)
{
    json_t *root = NULL;
    enum wm_status st = wm_meta_json_parse(body, len, &root, err);
    if (st != WM_OK)
        return st;
    struct wm_draft d = WM_DRAFT(out, arrived_ms, err);
    const char *got = wm_meta_json_text(root, "object");
    size_t i;
    const json_t *entry;
    if (!same(got, object))
        d.st = wm_fail(err, WM_EFORMAT,
                       "the body is not %s's: \"object\" is \"%.64s\", not \"%s\"; is the address of another "
                       "platform's webhook set to this channel?",
                       platform, got ? got : "", object);
    else
        json_array_foreach(json_object_get(root, "entry"), i, entry) if (json_is_object(entry))
            read_entry(&d, entry);
    json_decref(root);
    return wm_draft_end(&d);
}

enum wm_status wm_messenger_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                  struct wm_event_list *out, struct wm_error *err)
{
    (void)
        c; /* bodies of all the app's pages come to every channel; who serves which is the caller's question */
    return parse("Messenger", "page", body, len, arrived_ms, out, err);
}

enum wm_status wm_instagram_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                  struct wm_event_list *out, struct wm_error *err)
{
    (void)c;
    return parse("Instagram", "instagram", body, len, arrived_ms, out, err);
}

/* parse.c -- a WhatsApp webhook body becomes events, one for every update in it.
 *
 *   {"object":"whatsapp_business_account",
 *    "entry":[{"id":WABA,"changes":[{"field":F,"value":{"metadata":..., ARRAYS OF UPDATES}}]}]}
 *
 * HOW     All entries, all changes, all arrays of a value: Meta batches up to 1,000 updates, of several numbers, and
 *         shows one in its examples. A table names the arrays and who reads their elements. A change without any known
 *         array (account, template, phone number quality ...) is one event of kind OTHER under its field's name.
 *
 * ALWAYS  (1) What is missing, null or of another type than the documentation says costs that piece, never its
 *             neighbours: elements that are no objects are skipped, all else is read as far as it goes.
 *         (2) Only a text that is not JSON or not an envelope of this platform is an error.
 */
#include "adapters/whatsapp/channel.h"

#include <string.h>

#include "adapters/meta/json.h"

/* What all updates have. Without a key yet: one made of the content costs as much as all the rest. */
static struct wm_event *begin(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *update)
{
    struct wm_event *e = wm_draft_add(d, WM_EVENT_OTHER);
    wm_draft_set(d, &e->account, in->account);
    wm_draft_set(d, &e->field, in->field);
    wm_draft_set(d, &e->id, wm_meta_json_text(update, "id"));
    wm_draft_time(d, e, wm_meta_json_text(update, "timestamp"));
    return e;
}

static struct wm_event *other(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *update)
{
    struct wm_event *e = begin(d, in, update);
    wm_draft_key_of(d, e, in->field, update, in->account);
    return e;
}

/* --- statuses ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *word;
    enum wm_delivery delivery;
} progress[] = {{"sent", WM_DELIVERY_SENT},
                {"delivered", WM_DELIVERY_DELIVERED},
                {"read", WM_DELIVERY_READ},
                {"played", WM_DELIVERY_PLAYED},
                {"failed", WM_DELIVERY_FAILED}};

/* Meta has not settled on one name. */
static const char *first_text(const json_t *object, const char *const *keys)
{
    const char *text = NULL;
    for (; *keys && !text; keys++)
        text = wm_meta_json_text(object, *keys);
    return text;
}

static const char *const participant_keys[] = {"recipient_participant_id", "participant_recipient_id", NULL};
static const char *const participant_user_keys[] = {"recipient_participant_user_id", NULL};
static const char *const participant_parent_keys[] = {"recipient_participant_parent_user_id", NULL};
static const char *const user_keys[] = {"recipient_user_id", NULL};
static const char *const parent_keys[] = {"parent_recipient_user_id", "recipient_parent_user_id",
                                          "parent_user_id", NULL};

/* The id of a group is no id of a person: in groups the participant is who read or got it. */
static void read_recipient(struct wm_draft *d, struct wm_event *e, const json_t *status)
{
    const char *type = wm_meta_json_text(status, "recipient_type");
    e->from_group = type && strcmp(type, "group") == 0;
    const char *ids[] = {wm_meta_json_text(status, "recipient_id"), first_text(status, user_keys),
                         first_text(status, parent_keys)};
    if (e->from_group) {
        const char *group = ids[0];
        ids[0] = first_text(status, participant_keys);
        ids[1] = first_text(status, participant_user_keys);
        ids[2] = first_text(status, participant_parent_keys);
        if (!ids[0] && !ids[1])
            ids[0] = group;
    }
    for (int i = 0; i < 3 && !e->sender; i++)
        wm_draft_set(d, &e->sender, ids[i]);
    wm_draft_alias(d, e, ids[1]);
    wm_draft_alias(d, e, ids[2]);
}

static void read_status(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *status)
{
    const char *word = wm_meta_json_text(status, "status"), *type = wm_meta_json_text(status, "type");
    struct wm_event *e = begin(d, in, status);
    bool of_a_call = type && strcmp(type, "call") == 0;
    if (!of_a_call) {
        e->kind = WM_EVENT_STATUS;
        wm_draft_set(d, &e->field, NULL);
    }
    read_recipient(d, e, status);
    wm_draft_set(d, &e->status, word);
    wm_draft_set(d, &e->ref, wm_meta_json_text(status, "biz_opaque_callback_data"));
    wm_whatsapp_error(d, e, json_object_get(status, "errors"));
    for (size_t i = 0; word && !of_a_call && i < sizeof progress / sizeof *progress; i++)
        if (strcmp(progress[i].word, word) == 0)
            e->delivery = progress[i].delivery;
    /* In a group every member gives a status of the same id: there the key is made of its content. */
    if (e->id && word && !e->from_group)
        wm_draft_key(d, e, word, e->id);
    else
        wm_draft_key_of(d, e, in->field, status, in->account);
}

/* --- the rest ------------------------------------------------------------------------------------------------ */

static void read_call(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *call)
{
    struct wm_event *e = other(d, in, call);
    wm_draft_set(d, &e->sender, wm_meta_json_text(call, "from"));
    wm_draft_set(d, &e->status, wm_meta_json_text(call, "event"));
}

static void read_preference(struct wm_draft *d, const struct wm_whatsapp_context *in,
                            const json_t *preference)
{
    struct wm_event *e = other(d, in, preference);
    const char *number = wm_meta_json_text(preference, "wa_id"),
               *user = wm_meta_json_text(preference, "user_id");
    wm_draft_set(d, &e->sender, number ? number : user);
    wm_draft_alias(d, e, user);
    wm_draft_set(d, &e->text, wm_meta_json_text(preference, "detail"));
    wm_draft_set(d, &e->status, wm_meta_json_text(preference, "value"));
}

static void read_group(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *group)
{
    struct wm_event *e = other(d, in, group);
    e->from_group = true;
    wm_draft_set(d, &e->status, wm_meta_json_text(group, "type"));
}

/* The business's own address book changed. */
static void read_state(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *state)
{
    struct wm_event *e = other(d, in, state);
    wm_draft_set(d, &e->sender, wm_meta_json_text_at(state, "contact", "phone_number", NULL));
    wm_draft_set(d, &e->name, wm_meta_json_text_at(state, "contact", "full_name", NULL));
    wm_draft_set(d, &e->status, wm_meta_json_text(state, "action"));
    wm_draft_time(d, e, wm_meta_json_text_at(state, "metadata", "timestamp", NULL));
}

static void read_user_id(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *update)
{
    struct wm_event *e = other(d, in, update);
    static const char *const ids[] = {"user_id", "parent_user_id"};
    e->kind = WM_EVENT_SYSTEM;
    wm_draft_set(d, &e->sender, wm_meta_json_text(update, "wa_id"));
    for (int i = 0; i < 2; i++) {
        const char *now = wm_meta_json_text_at(update, ids[i], "current", NULL);
        if (!e->sender)
            wm_draft_set(d, &e->sender, now);
        wm_draft_alias(d, e, now);
        wm_draft_alias(d, e, wm_meta_json_text_at(update, ids[i], "previous", NULL));
    }
    wm_draft_set(d, &e->text, wm_meta_json_text(update, "detail"));
}

static void read_history(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *chunk)
{
    size_t i, k;
    const json_t *thread, *message;
    json_array_foreach(json_object_get(chunk, "threads"), i, thread)
        json_array_foreach(json_object_get(thread, "messages"), k, message) if (json_is_object(message))
            wm_whatsapp_history(d, in, wm_meta_json_text(thread, "id"), message);
    if (json_array_size(json_object_get(chunk, "errors"))) /* the owner refused to share it */
        wm_whatsapp_error(d, other(d, in, chunk), json_object_get(chunk, "errors"));
}

/* messages[] under field "history": the media of old messages. */
static void read_message(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message)
{
    if (strcmp(in->field, "history") == 0)
        wm_whatsapp_history(d, in, NULL, message);
    else
        wm_whatsapp_message(d, in, message);
}

/* Errors of the account. Beside messages they say why one could not be read, and stand there (message.c). */
static void read_error(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *error)
{
    if (json_array_size(json_object_get(in->value, "messages")))
        return;
    struct wm_event *e = other(d, in, error);
    wm_draft_set(d, &e->field, "errors");
    json_t *alone = json_pack("[O]", error);
    wm_whatsapp_error(d, e, alone);
    json_decref(alone);
}

static const struct {
    const char *array;
    void (*read)(struct wm_draft *, const struct wm_whatsapp_context *, const json_t *element);
} arrays[] = {
    {"messages", read_message}, {"statuses", read_status},
    {"calls", read_call},       {"message_echoes", wm_whatsapp_echo},
    {"history", read_history},  {"state_sync", read_state},
    {"groups", read_group},     {"user_preferences", read_preference},
    {"errors", read_error},     {"user_id_update", read_user_id},
};

static void read_change(struct wm_draft *d, const json_t *entry, const json_t *change)
{
    const char *field = wm_meta_json_text(change, "field");
    const json_t *value = json_object_get(change, "value");
    const struct wm_whatsapp_context in = {value, field ? field : "messages",
                                           wm_meta_json_text_at(value, "metadata", "phone_number_id", NULL)};
    bool known = false;
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) {
        const json_t *updates = json_object_get(value, arrays[a].array), *update;
        size_t i;
        known |= updates != NULL;
        json_array_foreach(updates, i, update) if (json_is_object(update)) arrays[a].read(d, &in, update);
        if (json_is_object(updates)) /* one update without its array */
            arrays[a].read(d, &in, updates);
    }
    if (known || strcmp(in.field, "messages") == 0)
        return;
    struct wm_event *e = other(d, &in, change);
    wm_draft_set(d, &e->status, wm_meta_json_text(value, "event"));
    const char *when = wm_meta_json_text(entry, "time"); /* the same words may be true twice */
    wm_draft_time(d, e, when);
    wm_draft_key_of(d, e, in.field, change, when);
}

enum wm_status wm_whatsapp_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                 struct wm_event_list *out, struct wm_error *err)
{
    (void)
        c; /* bodies of all the app's numbers come to every channel; who serves which is the caller's question */
    static const char platform[] = "whatsapp_business_account";
    json_t *root = NULL;
    enum wm_status st = wm_meta_json_parse(body, len, &root, err);
    if (st != WM_OK)
        return st;
    struct wm_draft d = WM_DRAFT(out, arrived_ms, err);
    const char *object = wm_meta_json_text(root, "object");
    if (!object || strcmp(object, platform) != 0) {
        d.st = wm_fail(err, WM_EFORMAT,
                       "the body is not WhatsApp's: \"object\" is \"%.64s\", not \"%s\"; is the address of "
                       "another platform's webhook set to this channel?",
                       object ? object : "", platform);
        goto done;
    }
    size_t i, k;
    const json_t *entry, *change;
    json_array_foreach(json_object_get(root, "entry"), i, entry)
        json_array_foreach(json_object_get(entry, "changes"), k, change) if (json_is_object(change))
            read_change(&d, entry, change);
done:
    json_decref(root);
    return wm_draft_end(&d);
}

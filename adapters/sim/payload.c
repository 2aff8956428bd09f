/* payload.c -- webhook bodies in Meta's shape, and in Meta's spelling.
 *
 * Meta writes what is not ASCII as \uXXXX with lower-case digits and a slash as \/, and signs that text. A gateway that
 * re-serialises before it checks the signature would pass a test with plain text; so the spelling is kept.
 */
#include "adapters/sim/world.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char waba[] = "100000000000099"; /* the business account that the number belongs to */
static const char display_number[] = "15550109999";

/* Takes `json`. */
static char *spell(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH) : NULL;
    json_decref(json);
    for (char *c = text; c && *c; c++) {
        if (*c != '\\')
            continue;
        c++; /* now at the escaped character: a second backslash is skipped with it */
        if (*c == 'u')
            for (int i = 1; i <= 4; i++)
                c[i] = (char)tolower((unsigned char)c[i]);
    }
    return text;
}

/* The envelope around one change; takes `list`, the value of `key`. */
static char *envelope(const struct wm_sim *sim, const struct sim_contact *c, const char *key, json_t *list)
{
    return spell(json_pack("{s:s, s:[{s:s, s:[{s:{s:s, s:{s:s, s:s}, s:[{s:{s:s}, s:s, s:s}], s:o}, s:s}]}]}",
                           "object", "whatsapp_business_account", "entry", "id", waba, "changes", "value",
                           "messaging_product", "whatsapp", "metadata", "display_phone_number",
                           display_number, "phone_number_id", sim->account, "contacts", "profile", "name",
                           c->name, "wa_id", c->wa_id, "user_id", c->user_id, key, list, "field",
                           "messages"));
}

static void seconds(char out[24], int64_t ms)
{
    snprintf(out, 24, "%lld", (long long)(ms / 1000));
}

char *wm_sim_payload_message(const struct wm_sim *sim, const struct sim_message *m)
{
    const struct sim_contact *c = &sim->contacts[m->contact];
    char at[24];
    seconds(at, m->at_ms);
    json_t *message = json_pack("{s:s, s:s, s:s, s:s, s:s}", "from", c->wa_id, "from_user_id", c->user_id,
                                "id", m->id, "timestamp", at, "type", m->kind);
    if (!m->media) {
        json_object_set_new(message, "text", json_pack("{s:s}", "body", m->text));
    } else {
        char id[24];
        snprintf(id, sizeof id, "%llu", (unsigned long long)m->media);
        const struct sim_media *media = wm_sim_media_find(sim, id);
        json_t *file = json_pack("{s:s, s:s, s:s}", "mime_type", media ? media->type : "image/jpeg", "sha256",
                                 media ? media->sha256 : "", "id", id);
        if (*m->text)
            json_object_set_new(file, "caption", json_string(m->text));
        json_object_set_new(message, m->kind, file);
    }
    return envelope(sim, c, "messages", json_pack("[o]", message));
}

char *wm_sim_payload_status(const struct wm_sim *sim, const struct sim_message *m, int64_t at_ms)
{
    const struct sim_contact *c = &sim->contacts[m->contact];
    char at[24];
    seconds(at, at_ms);
    json_t *status = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", m->id, "status", wm_sim_mark_name(m->mark),
                               "timestamp", at, "recipient_id", c->wa_id, "recipient_user_id", c->user_id);
    if (m->ref)
        json_object_set_new(status, "biz_opaque_callback_data", json_string(m->ref));
    if (m->mark == MARK_FAILED) {
        const char *title = wm_sim_graph_error_text(m->error);
        json_object_set_new(
            status, "errors",
            json_pack("[{s:i, s:s, s:s, s:{s:s}, s:s}]", "code", (int)m->error, "title", title, "message",
                      title, "error_data", "details", title, "href",
                      "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"));
    } else if (m->mark == MARK_SENT || m->mark == MARK_DELIVERED) {
        json_object_set_new(status, "pricing",
                            json_pack("{s:b, s:s, s:s, s:s}", "billable", 0, "pricing_model", "PMP", "type",
                                      "free_customer_service", "category", "service"));
    }
    return envelope(sim, c, "statuses", json_pack("[o]", status));
}

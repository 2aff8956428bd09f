/* graph.c -- Graph calls: a message to a person, a read mark with or without "typing", media.
 *
 * WHY     What Meta refuses, this must refuse, with Meta's code and status: a gateway decides by them whether to repeat,
 *         to wait or to give up, and each wrong guess costs somebody a message.
 *
 * HOW     route() looks at token, version and path. send() reads the whole message first, then asks the faults that
 *         refuse, then accepts; only then come the faults that lose the answer. What Meta finds out later (no such
 *         phone, window closed) is accepted, too, and fails by status webhook.
 *
 * ALWAYS  A refused message changes nothing. An accepted one is kept before it is answered.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kernels/base/utf8.h"

enum {
    WINDOW_MS = 24 * 3600 * 1000,
    TYPING_MS = 25000,
    PER_SECOND = 80,      /* throughput of a number */
    PAIR_EVERY_MS = 6000, /* one message to a person in this time ... */
    PAIR_BURST = 45       /* ... but so many at once, borrowed from the time that follows */
};

/* One message, read and found well-formed. `json` owns the strings. */
struct sending {
    json_t *json;
    const char *input; /* as the caller wrote the recipient */
    int contact;       /* -1: none of our phones */
    const char *type;
    const char *text; /* what the bubble shows */
    const char *ref;
};

bool wm_sim_graph_token_ok(const struct wm_sim *sim, const struct wm_sim_request *request)
{
    static const char scheme[] = "Bearer ";
    const char *given = request->authorization;
    if (!given || strncmp(given, scheme, sizeof scheme - 1) != 0)
        return false;
    given += sizeof scheme - 1;
    return strlen(given) == strlen(sim->access_token) &&
           CRYPTO_memcmp(given, sim->access_token, strlen(sim->access_token)) == 0;
}

/* --- reading a message --------------------------------------------------------------------------------------- */

/* The phone meant by `to`: digits with '+', spaces, hyphens and brackets. */
static int contact_of(const struct wm_sim *sim, const char *to)
{
    char digits[16];
    size_t n = 0;
    for (; *to; to++) {
        if (strchr("+ -()", *to))
            continue;
        if (*to < '0' || *to > '9' || n == sizeof digits - 1)
            return -1;
        digits[n++] = *to;
    }
    digits[n] = '\0';
    return wm_sim_contact_find(sim, digits);
}

/* Reads text.body. False: answered. */
static bool read_text(const json_t *text, struct sending *s, struct wm_sim_response *out)
{
    const char *body = json_string_value(json_object_get(text, "body"));
    if (!body || !*body) {
        wm_sim_graph_error(out, 131008, "Parameter 'text.body' is mandatory for type 'text'");
        return false;
    }
    if (wm_utf8_utf16_len(body, strlen(body)) > WM_SIM_TEXT) {
        wm_sim_graph_error(out, 100, "Param text['body'] must be at most 4096 characters long.");
        return false;
    }
    s->text = body;
    return true;
}

/* What a bubble shows of the other types: their words, where they have any. */
static const char *words_of(const json_t *object)
{
    static const char *const places[] = {"caption", "emoji", "name", "filename", "link"};
    const char *body = json_string_value(json_object_get(json_object_get(object, "body"), "text"));
    for (size_t i = 0; !body && i < sizeof places / sizeof *places; i++)
        body = json_string_value(json_object_get(object, places[i]));
    return body ? body : "";
}

static bool read_type(struct sending *s, struct wm_sim_response *out)
{
    static const char *const types[] = {"text",     "image",       "audio",    "video",
                                        "document", "sticker",     "location", "contacts",
                                        "reaction", "interactive", "template", NULL};
    const json_t *type = json_object_get(s->json, "type");
    s->type = type ? json_string_value(type) : "text";
    int known = 0;
    while (s->type && types[known] && strcmp(types[known], s->type) != 0)
        known++;
    if (!s->type || !types[known]) {
        wm_sim_graph_error(
            out, 100,
            "Param type must be one of {AUDIO, CONTACTS, DOCUMENT, IMAGE, INTERACTIVE, LOCATION, "
            "REACTION, STICKER, TEMPLATE, TEXT, VIDEO}");
        return false;
    }
    const json_t *object = json_object_get(s->json, s->type);
    if (!object) {
        char details[96];
        snprintf(details, sizeof details, "Parameter '%s' is mandatory for type '%s'", s->type, s->type);
        wm_sim_graph_error(out, 131008, details);
        return false;
    }
    if (strcmp(s->type, "text") == 0)
        return read_text(object, s, out);
    s->text = words_of(object);
    if (wm_utf8_utf16_len(s->text, strlen(s->text)) > WM_SIM_TEXT) {
        wm_sim_graph_error(out, 131009, "The text of the message is longer than 4096 characters");
        return false;
    }
    return true;
}

/* False: answered with the error. */
static bool read_sending(const struct wm_sim *sim, struct sending *s, struct wm_sim_response *out)
{
    const char *group = json_string_value(json_object_get(s->json, "recipient_type"));
    const json_t *to = json_object_get(s->json, "to"),
                 *ref = json_object_get(s->json, "biz_opaque_callback_data");
    const char *user_id = json_string_value(json_object_get(s->json, "recipient"));
    if (group && strcmp(group, "individual") != 0) {
        wm_sim_graph_error(out, 131009, "recipient_type must be 'individual'");
        return false;
    }
    s->input = to ? json_string_value(to) : user_id;
    if (!s->input || !*s->input) {
        wm_sim_graph_error(out, 100, "The parameter to is required.");
        return false;
    }
    s->contact = to ? contact_of(sim, s->input) : wm_sim_contact_find(sim, s->input);
    s->ref = json_string_value(ref);
    if (ref && (!s->ref || wm_utf8_utf16_len(s->ref, strlen(s->ref)) > WM_SIM_REF)) {
        wm_sim_graph_error(out, 100,
                           "Param biz_opaque_callback_data must be a string of at most 512 characters.");
        return false;
    }
    return read_type(s, out);
}

/* --- limits and faults --------------------------------------------------------------------------------------- */

/* The buckets of fault `limits`. 0, or the code that refuses. */
static int32_t over_limit(struct wm_sim *sim, int64_t now_ms, int contact)
{
    if (now_ms - sim->second_ms >= 1000) {
        sim->second_ms = now_ms;
        sim->in_second = 0;
    }
    if (sim->in_second >= PER_SECOND)
        return 130429;
    if (contact >= 0) {
        struct sim_contact *c = &sim->contacts[contact];
        if (now_ms >= c->pair_paid_ms) { /* all debts paid: a new burst may begin */
            c->pair_since_ms = now_ms;
            c->pair_paid_ms = now_ms;
        } else if (now_ms - c->pair_since_ms >= PAIR_EVERY_MS ||
                   c->pair_paid_ms - c->pair_since_ms >= (int64_t)PAIR_BURST * PAIR_EVERY_MS) {
            return 131056;
        }
        c->pair_paid_ms += PAIR_EVERY_MS;
    }
    sim->in_second++;
    return 0;
}

/* A fault that refuses the call. True: answered; `note` names it. */
static bool refused(struct wm_sim *sim, int64_t now_ms, int contact, struct wm_sim_response *out,
                    const char **note)
{
    static const struct {
        enum sim_fault_kind kind;
        int32_t code;
    } refusals[] = {{FAULT_SERVER_ERROR, 131000},
                    {FAULT_RATE_LIMIT, 130429},
                    {FAULT_PAIR_LIMIT, 131056},
                    {FAULT_ERROR, 0}};
    struct sim_fault fault;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (!wm_sim_strikes(sim, refusals[i].kind, contact, &fault))
            continue;
        *note = wm_sim_fault_name(fault.kind);
        wm_sim_graph_error(out, refusals[i].code ? refusals[i].code : fault.code, "A fault of the simulator");
        return true;
    }
    if (wm_sim_strikes(sim, FAULT_HTML_ERROR, contact, NULL)) {
        *note = wm_sim_fault_name(FAULT_HTML_ERROR);
        out->status = 500;
        out->content_type = "text/html; charset=utf-8";
        wm_buffer_puts(&out->body,
                       "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry, something "
                       "went wrong.</h1></body></html>");
        return true;
    }
    if (wm_sim_strikes(sim, FAULT_LIMITS, contact, NULL)) {
        int32_t code = over_limit(sim, now_ms, contact);
        if (code) {
            *note = wm_sim_fault_name(FAULT_LIMITS);
            wm_sim_graph_error(out, code, "Message failed to send because there were too many messages");
            return true;
        }
    }
    return false;
}

/* --- the calls ----------------------------------------------------------------------------------------------- */

static void accept_message(struct wm_sim *sim, int64_t now_ms, const struct sending *s,
                           struct wm_sim_response *out, const char **note)
{
    struct sim_fault fault;
    struct sim_message *m = wm_sim_message_add(sim, now_ms, s->contact, false, s->type, s->text);
    char *ref = s->ref ? strdup(s->ref) : NULL;
    if (!m || (s->ref && !ref)) {
        wm_sim_graph_error(out, 131000, "No memory");
        return;
    }
    m->ref = ref;
    const struct sim_contact *c = &sim->contacts[s->contact];
    bool shut = !c->wrote_ms || now_ms - c->wrote_ms > WINDOW_MS;
    if (wm_sim_strikes(sim, FAULT_WINDOW_CLOSED, s->contact, NULL) ||
        (shut && strcmp(s->type, "template") != 0)) {
        *note = "the 24-hour window is closed: it will fail";
        wm_sim_plan_failure(sim, now_ms, m, 131047);
    } else if (wm_sim_strikes(sim, FAULT_UNDELIVERABLE, s->contact, &fault)) {
        *note = "fault: it will fail";
        wm_sim_plan_failure(sim, now_ms, m, fault.code);
    } else {
        wm_sim_plan_delivery(sim, now_ms, m);
    }
    wm_sim_set_typing(sim, s->contact, 0);
    wm_sim_show_message(sim, m);
    if (wm_sim_strikes(sim, FAULT_LOST_ANSWER, s->contact, NULL)) {
        *note = "fault: accepted, but its answer gets lost";
        out->drop = true;
    }
    wm_sim_answer_json(out, 200,
                       json_pack("{s:s, s:[{s:s, s:s}], s:[{s:s}]}", "messaging_product", "whatsapp",
                                 "contacts", "input", s->input, "wa_id", c->wa_id, "messages", "id", m->id));
}

static void send_message(struct wm_sim *sim, int64_t now_ms, json_t *json, struct wm_sim_response *out,
                         int *contact, const char **note)
{
    struct sending s = {.json = json};
    if (!read_sending(sim, &s, out))
        return;
    *contact = s.contact;
    if (refused(sim, now_ms, s.contact, out, note))
        return;
    if (s.contact < 0)
        wm_sim_graph_error(out, 131026, "The recipient is none of the simulator's phones");
    else if (!wm_sim_plan_room(sim))
        wm_sim_graph_error(out, 131016, "Too many webhooks wait for the gateway");
    else
        accept_message(sim, now_ms, &s, out, note);
}

/* A read mark, which also reads what came before it, and "typing" when asked for. */
static void mark_read(struct wm_sim *sim, int64_t now_ms, const json_t *json, struct wm_sim_response *out,
                      int *contact)
{
    const char *id = json_string_value(json_object_get(json, "message_id"));
    struct sim_message *target = id ? wm_sim_message_find(sim, id) : NULL;
    if (!target || !target->from_person) {
        wm_sim_graph_error(out, id ? 131009 : 131008,
                           id ? "Message ID is invalid or not from a person"
                              : "Parameter 'message_id' is mandatory");
        return;
    }
    *contact = target->contact;
    for (uint64_t s = sim->first_message; s <= target->seq; s++) {
        struct sim_message *m = wm_sim_message_at(sim, s);
        if (m->contact == target->contact && m->from_person && m->mark != MARK_READ) {
            m->mark = MARK_READ;
            wm_sim_show_message(sim, m);
        }
    }
    if (json_object_get(json, "typing_indicator"))
        wm_sim_set_typing(sim, target->contact, now_ms + TYPING_MS);
    wm_sim_answer_json(out, 200, json_pack("{s:b}", "success", 1));
}

static void messages(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                     struct wm_sim_response *out, int *contact, const char **note)
{
    json_error_t why;
    json_t *json =
        json_loadb(request->body ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &why);
    const char *product = json_string_value(json_object_get(json, "messaging_product"));
    const char *status = json_string_value(json_object_get(json, "status"));
    if (!json_is_object(json))
        wm_sim_graph_error(out, 100, "The body is not a JSON object");
    else if (!product || strcmp(product, "whatsapp") != 0)
        wm_sim_graph_error(out, 100, "The parameter messaging_product is required.");
    else if (!status)
        send_message(sim, now_ms, json, out, contact, note);
    else if (strcmp(status, "read") == 0)
        mark_read(sim, now_ms, json, out, contact);
    else
        wm_sim_graph_error(out, 100, "Param status must be 'read'");
    json_decref(json);
}

/* Cuts "/v25.0/ID/edge" into id and edge; false: it has another form. */
static bool cut_path(const char *path, char id[64], const char **edge)
{
    const char *version = path + 2, *at = version + strspn(version, "0123456789");
    if (at == version || *at != '.')
        return false;
    at += 1 + strspn(at + 1, "0123456789");
    if (*at++ != '/')
        return false;
    size_t len = strcspn(at, "/");
    if (!len || len >= 64)
        return false;
    memcpy(id, at, len);
    id[len] = '\0';
    *edge = at + len;
    return true;
}

void wm_sim_graph(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                  struct wm_sim_response *out)
{
    char id[64] = "", title[sizeof((struct sim_log *)0)->title];
    const char *edge = "", *note = "";
    int contact = -1;
    snprintf(title, sizeof title, "%s %s", request->method, request->path);
    bool multipart = request->content_type && strncmp(request->content_type, "multipart/", 10) == 0;
    struct sim_log *entry =
        wm_sim_log_add(sim, now_ms, false, -1, title, multipart ? NULL : request->body, request->body_len);
    bool get = strcmp(request->method, "GET") == 0, post = strcmp(request->method, "POST") == 0;
    bool well_formed = cut_path(request->path, id, &edge), ours = strcmp(id, sim->account) == 0;
    const struct sim_media *media = wm_sim_media_find(sim, id);
    struct sim_fault fault;
    if (!wm_sim_graph_token_ok(sim, request))
        wm_sim_graph_error(out, 190, NULL);
    else if (well_formed && post && ours && strcmp(edge, "/messages") == 0)
        messages(sim, now_ms, request, out, &contact, &note);
    else if (well_formed && post && ours && strcmp(edge, "/media") == 0)
        wm_sim_media_upload(sim, request, out);
    else if (well_formed && get && media && !*edge)
        wm_sim_media_info(sim, now_ms, media, out);
    else
        wm_sim_graph_error(out, 100, "Unsupported request: no such object, or no such call on it");
    if (wm_sim_strikes(sim, FAULT_SLOW, contact, &fault)) {
        out->delay_ms = fault.delay_ms;
        note = *note ? note : "fault: the answer comes late";
    }
    if (!entry)
        return;
    entry->contact = contact;
    snprintf(entry->note, sizeof entry->note, "%s", note);
    wm_sim_log_end(sim, now_ms + out->delay_ms, entry, out->drop ? -1 : out->status, out->body.data,
                   out->body.len);
}

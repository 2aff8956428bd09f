/* sending.c -- a message to a person: read, refused or accepted.
 *
 * WHY     What Meta refuses, this must refuse, with Meta's code and status: a gateway decides by them whether to repeat,
 *         to wait or to give up, and each wrong guess costs somebody a message.
 *
 * HOW     The whole message is read first; then the faults that refuse are asked, then it is accepted; only then come
 *         the faults that lose the answer. What Meta finds out later (window closed, phone dead) is accepted, too, and
 *         fails by status webhook.
 *
 * ALWAYS  A refused message changes nothing. An accepted one is kept before it is answered.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum {
    WINDOW_MS = 24 * 3600 * 1000,
    PER_SECOND = 80,      /* throughput of a number */
    PAIR_EVERY_MS = 6000, /* one message to a person in this time ... */
    PAIR_BURST = 45       /* ... but so many at once, borrowed from the time that follows */
};

/* One message, read and found well-formed. The strings are those of `json`. */
struct sending {
    const json_t *json;
    const char *input; /* as the caller wrote the recipient */
    int contact;       /* -1: none of our phones */
    const char *type;
    const char *text; /* what the bubble shows */
    const char *ref;
};

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

/* A fault that refuses the call. True: answered. */
static bool refused(struct wm_sim *sim, struct sim_call *call)
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
        if (!wm_sim_strikes(sim, refusals[i].kind, call->contact, &fault))
            continue;
        call->note = wm_sim_fault_name(fault.kind);
        wm_sim_graph_error(call->out, refusals[i].code ? refusals[i].code : fault.code,
                           "A fault of the simulator");
        return true;
    }
    if (wm_sim_strikes(sim, FAULT_HTML_ERROR, call->contact, NULL)) {
        call->note = wm_sim_fault_name(FAULT_HTML_ERROR);
        call->out->status = 500;
        call->out->content_type = "text/html; charset=utf-8";
        wm_buffer_puts(&call->out->body,
                       "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry, something "
                       "went wrong.</h1></body></html>");
        return true;
    }
    if (wm_sim_strikes(sim, FAULT_LIMITS, call->contact, NULL)) {
        int32_t code = over_limit(sim, call->now_ms, call->contact);
        if (code) {
            call->note = wm_sim_fault_name(FAULT_LIMITS);
            wm_sim_graph_error(call->out, code,
                               "Message failed to send because there were too many messages");
            return true;
        }
    }
    return false;
}

/* --- accepting ----------------------------------------------------------------------------------------------- */

/* What will become of it. */
static void plan(struct wm_sim *sim, struct sim_call *call, struct sim_message *m)
{
    struct sim_fault fault;
    int64_t wrote_ms = sim->contacts[m->contact].wrote_ms;
    bool shut = (!wrote_ms || call->now_ms - wrote_ms > WINDOW_MS) && strcmp(m->kind, "template") != 0;
    if (wm_sim_strikes(sim, FAULT_WINDOW_CLOSED, m->contact, NULL) || shut) {
        call->note = "the 24-hour window is closed: it will fail";
        wm_sim_plan_failure(sim, call->now_ms, m, 131047);
    } else if (wm_sim_strikes(sim, FAULT_UNDELIVERABLE, m->contact, &fault)) {
        call->note = "fault: it will fail";
        wm_sim_plan_failure(sim, call->now_ms, m, fault.code);
    } else {
        wm_sim_plan_delivery(sim, call->now_ms, m);
    }
}

static void accept_message(struct wm_sim *sim, struct sim_call *call, const struct sending *s)
{
    char *ref = s->ref ? strdup(s->ref) : NULL;
    struct sim_message *m =
        s->ref && !ref ? NULL : wm_sim_message_add(sim, call->now_ms, s->contact, false, s->type, s->text);
    if (!m) {
        free(ref);
        wm_sim_graph_error(call->out, 131000, "No memory");
        return;
    }
    m->ref = ref;
    plan(sim, call, m);
    wm_sim_set_typing(sim, s->contact, 0);
    wm_sim_show_message(sim, m);
    if (wm_sim_strikes(sim, FAULT_LOST_ANSWER, s->contact, NULL)) {
        call->note = "fault: accepted, but its answer gets lost";
        call->out->drop = true;
    }
    wm_sim_answer_json(call->out, 200,
                       json_pack("{s:s, s:[{s:s, s:s}], s:[{s:s}]}", "messaging_product", "whatsapp",
                                 "contacts", "input", s->input, "wa_id", sim->contacts[s->contact].wa_id,
                                 "messages", "id", m->id));
}

void wm_sim_send(struct wm_sim *sim, struct sim_call *call, const json_t *json)
{
    struct sending s = {.json = json};
    call->what = "reply";
    if (!read_sending(sim, &s, call->out))
        return;
    call->contact = s.contact;
    if (refused(sim, call))
        return;
    if (s.contact < 0)
        wm_sim_graph_error(call->out, 131026, "The recipient is none of the simulator's phones");
    else if (!wm_sim_plan_room(sim))
        wm_sim_graph_error(call->out, 131016, "Too many webhooks wait for the gateway");
    else
        accept_message(sim, call, &s);
}

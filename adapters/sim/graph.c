/* graph.c -- Graph calls: token, version, path; read marks with or without "typing"; the note in the panel.
 * A message to a person is sending.c, a file media.c.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

enum { TYPING_MS = 25000 }; /* or until the reply */

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

/* A read mark, which also reads what came before it, and "typing" when asked for. */
static void mark_read(struct wm_sim *sim, struct sim_call *call, const json_t *json)
{
    const char *id = json_string_value(json_object_get(json, "message_id"));
    struct sim_message *target = id ? wm_sim_message_find(sim, id) : NULL;
    bool typing = json_object_get(json, "typing_indicator");
    call->what = typing ? "read and typing" : "read";
    if (!target || !target->from_person) {
        wm_sim_graph_error(call->out, id ? 131009 : 131008,
                           id ? "Message ID is invalid or not from a person"
                              : "Parameter 'message_id' is mandatory");
        return;
    }
    call->contact = target->contact;
    for (uint64_t s = sim->first_message; s <= target->seq; s++) {
        struct sim_message *m = wm_sim_message_at(sim, s);
        if (m->contact == target->contact && m->from_person && m->mark != MARK_READ) {
            m->mark = MARK_READ;
            wm_sim_show_message(sim, m);
        }
    }
    if (typing)
        wm_sim_set_typing(sim, target->contact, call->now_ms + TYPING_MS);
    wm_sim_answer_json(call->out, 200, json_pack("{s:b}", "success", 1));
}

static void messages(struct wm_sim *sim, struct sim_call *call, const struct wm_sim_request *request)
{
    json_error_t why;
    json_t *json =
        json_loadb(request->body ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &why);
    const char *product = json_string_value(json_object_get(json, "messaging_product"));
    const char *status = json_string_value(json_object_get(json, "status"));
    if (!json_is_object(json))
        wm_sim_graph_error(call->out, 100, "The body is not a JSON object");
    else if (!product || strcmp(product, "whatsapp") != 0)
        wm_sim_graph_error(call->out, 100, "The parameter messaging_product is required.");
    else if (!status)
        wm_sim_send(sim, call, json);
    else if (strcmp(status, "read") == 0)
        mark_read(sim, call, json);
    else
        wm_sim_graph_error(call->out, 100, "Param status must be 'read'");
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

static void route(struct wm_sim *sim, struct sim_call *call, const struct wm_sim_request *request)
{
    char id[64] = "";
    const char *edge = "";
    bool get = strcmp(request->method, "GET") == 0, post = strcmp(request->method, "POST") == 0;
    bool well_formed = cut_path(request->path, id, &edge), ours = strcmp(id, sim->account) == 0;
    const struct sim_media *media = wm_sim_media_find(sim, id);
    if (!wm_sim_graph_token_ok(sim, request)) {
        wm_sim_graph_error(call->out, 190, NULL);
    } else if (well_formed && post && ours && strcmp(edge, "/messages") == 0) {
        messages(sim, call, request);
    } else if (well_formed && post && ours && strcmp(edge, "/media") == 0) {
        call->what = "upload";
        wm_sim_media_upload(sim, request, call->out);
    } else if (well_formed && get && media && !*edge) {
        call->what = "file";
        wm_sim_media_info(sim, call->now_ms, media, call->out);
    } else {
        wm_sim_graph_error(call->out, 100, "Unsupported request: no such object, or no such call on it");
    }
}

void wm_sim_graph(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                  struct wm_sim_response *out)
{
    char title[WM_SIM_TITLE];
    snprintf(title, sizeof title, "%s %s", request->method, request->path);
    bool multipart = request->content_type && strncmp(request->content_type, "multipart/", 10) == 0;
    struct sim_log *entry = wm_sim_log_add(sim, now_ms, false, -1, "", title,
                                           multipart ? NULL : request->body, request->body_len);
    struct sim_call call = {.now_ms = now_ms, .contact = -1, .what = "", .note = "", .out = out};
    struct sim_fault fault;
    route(sim, &call, request);
    if (wm_sim_strikes(sim, FAULT_SLOW, call.contact, &fault)) {
        out->delay_ms = fault.delay_ms;
        call.note = *call.note ? call.note : "fault: the answer comes late";
    }
    if (!entry)
        return;
    entry->contact = call.contact;
    snprintf(entry->what, sizeof entry->what, "%s", call.what);
    snprintf(entry->note, sizeof entry->note, "%s", call.note);
    wm_sim_log_end(sim, now_ms + out->delay_ms, entry, out->drop ? -1 : out->status, out->body.data,
                   out->body.len);
}

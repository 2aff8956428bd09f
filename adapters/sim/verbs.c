/* verbs.c -- /sim/...: what the page and tests ask of the simulator.
 *
 *   GET  /sim/state?messages=N          everything; the N most recent messages (500)
 *   GET  /sim/sends?after=SEQ&limit=N   the messages that Graph accepted, in order; "next" is the next `after`
 *   GET  /sim/stream                    the state, then every change (server-sent events)
 *   POST /sim/message {contact, text, name?, image?: {type, data}}   a person writes; data is base64
 *   POST /sim/burst   {contact, texts: [...] | count, name?}         several messages at once
 *   POST /sim/contact {name?, contact?}                              a new phone
 *   POST /sim/open    {contact | null}                               the page shows this chat: it is read
 *   POST /sim/fault   {kind, contact?, count?, probability?, delay_ms?, code?} | {clear: true}
 *   POST /sim/reset   {}                                             forgets people, messages, webhooks, faults
 *
 * WHY guarded: the simulator listens on loopback, where every page in the same browser can reach it. A POST must say
 * that it carries JSON (a foreign page cannot without asking first, and is never answered yes) and, when it names its
 * origin, must come from here. The host must be an address or localhost, which defeats names that are made to resolve
 * to 127.0.0.1.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernels/base/utf8.h"

enum { STATE_MESSAGES = 500, SENDS_LIMIT = 1000, BURST_USUAL = 20 };

/* --- guards -------------------------------------------------------------------------------------------------- */

bool wm_sim_host_ok(const struct wm_sim *sim, const struct wm_sim_request *request)
{
    const char *host = request->host;
    if (!host) /* no browser */
        return true;
    const char *own = strstr(sim->public_url, "://");
    size_t own_len = own ? strcspn(own + 3, "/") : 0;
    if (own_len == strlen(host) && strncmp(own + 3, host, own_len) == 0)
        return true;
    size_t name = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    bool numeric = *host == '[' || strspn(host, "0123456789.") == name;
    return numeric || (name == 9 && strncmp(host, "localhost", 9) == 0);
}

static bool same_origin(const struct wm_sim_request *request)
{
    if (!request->origin)
        return true;
    const char *host = strstr(request->origin, "://");
    return host && request->host && strcmp(host + 3, request->host) == 0;
}

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strncmp(content_type, json, sizeof json - 1) != 0)
        return false;
    char after = content_type[sizeof json - 1];
    return after == '\0' || after == ';' || after == ' ';
}

/* --- reading ------------------------------------------------------------------------------------------------- */

/* The number of `key` in a query, clamped to [0, high]; `usual` when absent or no number. */
static uint64_t query_number(const char *query, const char *key, uint64_t usual, uint64_t high)
{
    size_t len = strlen(key);
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, key, len) != 0 || at[len] != '=' || at[len + 1] < '0' || at[len + 1] > '9')
            continue;
        uint64_t value = strtoull(at + len + 1, NULL, 10);
        return value < high ? value : high;
    }
    return usual;
}

static const char *text_at(const json_t *body, const char *key)
{
    return json_string_value(json_object_get(body, key));
}

/* The contact that the body names, made when new. -1: `err` says why. */
static int contact_of(struct wm_sim *sim, const json_t *body, struct wm_error *err)
{
    const char *id = text_at(body, "contact");
    if (!id) {
        wm_fail(err, WM_EINVAL,
                "'contact' is missing: the phone number of the person who writes, as a string");
        return -1;
    }
    return wm_sim_contact_get(sim, id, text_at(body, "name"), err);
}

static bool text_ok(const char *text, bool may_be_empty, struct wm_error *err)
{
    if (text && (*text || may_be_empty) && wm_utf8_utf16_len(text, strlen(text)) <= WM_SIM_TEXT)
        return true;
    wm_fail(err, WM_EINVAL, "a text must be a string of 1 to %d characters", WM_SIM_TEXT);
    return false;
}

static void answer_failure(struct wm_sim_response *out, const struct wm_error *err)
{
    int status = err->code == WM_EAGAIN   ? 503
                 : err->code == WM_ENOMEM ? 500
                 : err->code == WM_ENOENT ? 404
                                          : 400;
    wm_sim_answer_error(out, status, "%s", err->text);
}

/* --- the verbs ----------------------------------------------------------------------------------------------- */

/* Stores {"type", "data"}; 0: `err` says why. */
static uint64_t take_image(struct wm_sim *sim, const json_t *image, struct wm_error *err)
{
    const char *data = text_at(image, "data"), *type = text_at(image, "type");
    size_t len = data ? strlen(data) : 0, pad = 0;
    if (!type || strncmp(type, "image/", 6) != 0 || !len || len % 4 || len / 4 * 3 > WM_SIM_MEDIA_BYTES) {
        wm_fail(err, WM_EINVAL, "'image' must be {type: \"image/...\", data: base64 of at most %d bytes}",
                WM_SIM_MEDIA_BYTES);
        return 0;
    }
    while (pad < 2 && data[len - 1 - pad] == '=')
        pad++;
    unsigned char *bytes = malloc(len / 4 * 3 + 1);
    int n = bytes ? EVP_DecodeBlock(bytes, (const unsigned char *)data, (int)len) : 0;
    uint64_t id = n > 0 ? wm_sim_media_add(sim, type, (const char *)bytes, (size_t)n - pad) : 0;
    free(bytes);
    if (!id)
        wm_fail(err, n < 0 ? WM_EINVAL : WM_ENOMEM, "the image is not base64, or does not fit into memory");
    return id;
}

static void verb_message(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                         struct wm_error *err)
{
    const json_t *image = json_object_get(body, "image");
    const char *text = text_at(body, "text");
    if (image && !text)
        text = "";
    if (!text_ok(text, image, err))
        return;
    int contact = contact_of(sim, body, err);
    uint64_t media = contact >= 0 && image ? take_image(sim, image, err) : 0;
    if (contact < 0 || (image && !media))
        return;
    const struct sim_message *m =
        wm_sim_write(sim, now_ms, contact, image ? "image" : "text", text, media, err);
    if (m)
        wm_sim_answer_json(out, 200, json_pack("{s:s, s:I}", "id", m->id, "seq", (json_int_t)m->seq));
}

static void verb_burst(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                       struct wm_error *err)
{
    const json_t *texts = json_object_get(body, "texts"), *count = json_object_get(body, "count");
    json_int_t n = texts   ? (json_int_t)json_array_size(texts)
                   : count ? json_integer_value(count)
                           : BURST_USUAL;
    if (n < 1 || n > WM_SIM_BURST) {
        wm_fail(err, WM_EINVAL,
                "a burst has 1 to %d messages: 'texts' is a list of strings, 'count' a number", WM_SIM_BURST);
        return;
    }
    for (json_int_t i = 0; texts && i < n; i++)
        if (!text_ok(json_string_value(json_array_get(texts, (size_t)i)), false, err))
            return;
    int contact = contact_of(sim, body, err);
    if (contact < 0)
        return;
    json_t *ids = json_array();
    for (json_int_t i = 0; i < n; i++) {
        char counted[64];
        snprintf(counted, sizeof counted, "Message %lld of %lld", (long long)i + 1, (long long)n);
        const char *text = texts ? json_string_value(json_array_get(texts, (size_t)i)) : counted;
        const struct sim_message *m = wm_sim_write(sim, now_ms, contact, "text", text, 0, err);
        if (!m) {
            json_decref(ids);
            return;
        }
        json_array_append_new(ids, json_string(m->id));
    }
    wm_sim_answer_json(out, 200, json_pack("{s:o}", "ids", ids));
}

static void verb_contact(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                         struct wm_error *err)
{
    (void)now_ms;
    int contact = json_object_get(body, "contact") ? contact_of(sim, body, err)
                                                   : wm_sim_contact_new(sim, text_at(body, "name"), err);
    if (contact >= 0)
        wm_sim_answer_json(out, 200,
                           json_pack("{s:s, s:s}", "contact", sim->contacts[contact].wa_id, "name",
                                     sim->contacts[contact].name));
}

static void verb_open(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                      struct wm_error *err)
{
    const char *id = text_at(body, "contact");
    int contact = id ? wm_sim_contact_find(sim, id) : -1;
    if (id && contact < 0) {
        wm_fail(err, WM_ENOENT, "'contact' is none of the phones here");
        return;
    }
    wm_sim_open_chat(sim, now_ms, contact);
    wm_sim_answer_json(out, 200, json_object());
}

static void verb_fault(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                       struct wm_error *err)
{
    (void)now_ms;
    if (json_is_true(json_object_get(body, "clear")))
        wm_sim_faults_clear(sim);
    else if (wm_sim_fault_add(sim, body, err) != WM_OK)
        return;
    wm_sim_answer_json(out, 200, json_pack("{s:o}", "faults", wm_sim_faults_json(sim)));
}

static void verb_reset(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                       struct wm_error *err)
{
    (void)now_ms;
    (void)body;
    (void)err;
    sim->n_faults = 0;
    wm_sim_hooks_reset(sim);
    wm_sim_people_reset(sim);
    wm_sim_log_reset(sim);
    wm_sim_show_state(sim);
    wm_sim_answer_json(out, 200, json_object());
}

static const struct {
    const char *path;
    void (*run)(struct wm_sim *sim, int64_t now_ms, const json_t *body, struct wm_sim_response *out,
                struct wm_error *err);
} verbs[] = {{"/sim/message", verb_message}, {"/sim/burst", verb_burst}, {"/sim/contact", verb_contact},
             {"/sim/open", verb_open},       {"/sim/fault", verb_fault}, {"/sim/reset", verb_reset}};

static void ask(struct wm_sim *sim, const struct wm_sim_request *request, struct wm_sim_response *out)
{
    const char *query = request->query;
    if (strcmp(request->path, "/sim/state") == 0) {
        uint64_t n = query_number(query, "messages", STATE_MESSAGES, WM_SIM_MESSAGES);
        wm_sim_answer_json(out, 200, wm_sim_state_json(sim, n));
    } else if (strcmp(request->path, "/sim/stream") == 0) {
        wm_sim_answer_json(out, 200, wm_sim_state_json(sim, STATE_MESSAGES));
        out->stream = out->status == 200;
    } else if (strcmp(request->path, "/sim/sends") == 0) {
        uint64_t after = query_number(query, "after", 0, UINT64_MAX - 1);
        uint64_t limit = query_number(query, "limit", SENDS_LIMIT, SENDS_LIMIT);
        wm_sim_answer_json(out, 200, wm_sim_sends_json(sim, after, limit));
    } else {
        wm_sim_answer_error(out, 404,
                            "there is no question %s; there are /sim/state, /sim/sends and /sim/stream",
                            request->path);
    }
}

void wm_sim_verb(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                 struct wm_sim_response *out)
{
    size_t n = sizeof verbs / sizeof *verbs, i = 0;
    while (i < n && strcmp(verbs[i].path, request->path) != 0)
        i++;
    if (strcmp(request->method, "GET") == 0 && i == n) {
        ask(sim, request, out);
        return;
    }
    if (i == n) {
        wm_sim_answer_error(out, 404, "there is no such verb");
        return;
    }
    if (strcmp(request->method, "POST") != 0) {
        wm_sim_answer_error(out, 405, "%s must be asked with POST", verbs[i].path);
        out->headers = "Allow: POST\r\n";
        return;
    }
    if (!same_origin(request)) {
        wm_sim_answer_error(out, 403, "this request comes from a page of another site");
        return;
    }
    if (!is_json(request->content_type)) {
        wm_sim_answer_error(out, 415, "%s takes application/json", verbs[i].path);
        return;
    }
    json_error_t why;
    json_t *body =
        json_loadb(request->body ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(body)) {
        struct wm_error err = WM_ERROR_INIT;
        verbs[i].run(sim, now_ms, body, out, &err);
        if (err.code != WM_OK)
            answer_failure(out, &err);
    } else {
        wm_sim_answer_error(out, 400, "the body must be a JSON object%s%s", body ? "" : ": ",
                            body ? "" : why.text);
    }
    json_decref(body);
}

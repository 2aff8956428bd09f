/* graph.c -- reading the Graph API's answers.
 *
 * WHY     Each class of answer wants another deed, and two of them must not be mixed up: what was surely not accepted
 *         may be sent again; what may have been accepted may not, or a person gets the same reply twice.
 *
 * HOW     First the fate of the call. Then the error object of the body, whatever the HTTP status (Graph has been seen
 *         to answer 200 with an error in it): Graph says by it that it did not take the message, and its code decides,
 *         never its text. Without such an object the HTTP status decides:
 *
 *           2xx        success; the caller looks for the message id
 *           408 429    not taken: again later
 *           401 403    the token: the channel pauses
 *           3xx 404 405  not the Graph API that answers: the channel pauses, graph_url is wrong
 *           other 4xx  not taken, and will not be
 *           5xx        some proxy between us and what may have done the work: unknown
 *
 * LIMITS  A wait grows up to one hour; Retry-After may lengthen it, never shorten it.
 */
#include "adapters/meta/graph.h"

#include <stdio.h>
#include <string.h>

#include "adapters/meta/json.h"
#include "kernels/base/utf8.h"

enum { AGAIN_MS = 1000, BUSY_MS = 5000, PAUSE_MS = 60 * 1000 };

static int64_t grown(int64_t first_ms, int growth, int attempt)
{
    int64_t ms = first_ms;
    for (int i = 1; i < attempt && ms < WM_META_RETRY_MAX_MS; i++) {
        ms *= growth;
        if (growth <= 1)
            break;
    }
    return growth > 1 && ms > WM_META_RETRY_MAX_MS ? WM_META_RETRY_MAX_MS : ms;
}

static void decide(struct wm_outcome *out, enum wm_outcome_kind kind, int64_t retry_ms,
                   const struct wm_http_result *result)
{
    out->kind = kind;
    if (kind != WM_OUTCOME_RETRY && kind != WM_OUTCOME_PAUSE)
        return;
    out->retry_ms = result->retry_after_ms > retry_ms ? result->retry_after_ms : retry_ms;
}

static void apply_code(const struct wm_meta_rule *rules, size_t n, const json_t *error,
                       const struct wm_http_result *result, int attempt, struct wm_outcome *out)
{
    /* A code that nobody has told us of: what looks like the moment's trouble is tried a few times. */
    struct wm_meta_rule rule = {.kind = WM_OUTCOME_FAILED};
    if (json_is_true(json_object_get(error, "is_transient")) || result->status >= 500)
        rule =
            (struct wm_meta_rule){.kind = WM_OUTCOME_RETRY, .first_ms = BUSY_MS, .growth = 2, .attempts = 5};
    out->code = wm_meta_json_int(error, "code");
    int32_t subcode = wm_meta_json_int(error, "error_subcode");
    for (size_t i = 0; i < n; i++)
        if (out->code >= rules[i].first && out->code <= rules[i].last &&
            (!rules[i].subcode || rules[i].subcode == subcode)) {
            rule = rules[i];
            break;
        }
    const char *details = wm_meta_json_text_at(error, "error_data", "details", NULL);
    if (!details)
        details = wm_meta_json_text(error, "message");
    bool enough = rule.kind == WM_OUTCOME_RETRY && rule.attempts && attempt >= rule.attempts;
    decide(out, enough ? WM_OUTCOME_FAILED : rule.kind, grown(rule.first_ms, rule.growth, attempt), result);
    out->retry_contact_only = out->kind == WM_OUTCOME_RETRY && rule.contact_only;
    snprintf(out->sentence, sizeof out->sentence, "Meta refused it with code %d%s: %.160s", out->code,
             enough ? ", again and again" : "", details ? details : "no details");
}

static void apply_status(const struct wm_http_result *result, int attempt, struct wm_outcome *out)
{
    int status = result->status;
    if (status == 429 || status == 408) {
        decide(out, WM_OUTCOME_RETRY, grown(BUSY_MS, 2, attempt), result);
        snprintf(out->sentence, sizeof out->sentence, "the Graph API answered %d: too busy", status);
    } else if (status == 401 || status == 403) {
        decide(out, WM_OUTCOME_PAUSE, PAUSE_MS, result);
        snprintf(out->sentence, sizeof out->sentence,
                 "the Graph API answered %d; check the channel's access_token", status);
    } else if ((status >= 300 && status < 400) || status == 404 || status == 405) {
        decide(out, WM_OUTCOME_PAUSE, PAUSE_MS, result);
        snprintf(out->sentence, sizeof out->sentence,
                 "graph_url answered %d without a Graph API error; check that it leads to the Graph API",
                 status);
    } else if (status >= 400 && status < 500) {
        decide(out, WM_OUTCOME_FAILED, 0, result);
        snprintf(out->sentence, sizeof out->sentence, "graph_url answered %d without a Graph API error",
                 status);
    } else {
        decide(out, WM_OUTCOME_UNKNOWN, 0, result);
        snprintf(out->sentence, sizeof out->sentence,
                 "graph_url answered %d without saying whether it took the message", status);
    }
}

/* A quotation that was cut to fit may end within a character. */
static void end_sentence(struct wm_outcome *out)
{
    size_t len = strlen(out->sentence);
    out->sentence[len - wm_utf8_incomplete_tail(out->sentence, len)] = '\0';
}

bool wm_meta_graph_refused(const struct wm_meta_rule *rules, size_t n, const struct wm_http_result *result,
                           int attempt, struct wm_outcome *out, json_t **answer)
{
    *answer = NULL;
    if (result->fate != WM_HTTP_ANSWERED) {
        bool unsent = result->fate == WM_HTTP_NOT_SENT;
        decide(out, unsent ? WM_OUTCOME_RETRY : WM_OUTCOME_UNKNOWN, grown(AGAIN_MS, 2, attempt), result);
        snprintf(out->sentence, sizeof out->sentence, "%.200s",
                 result->cause ? result->cause : "the call failed");
        return true;
    }
    json_t *body = NULL;
    if (wm_meta_json_parse(result->body ? result->body : "", result->body ? result->body_len : 0, &body,
                           NULL) != WM_OK)
        body = NULL;
    const json_t *error = json_object_get(body, "error");
    if (json_is_object(error)) {
        apply_code(rules, n, error, result, attempt, out);
    } else if (result->status < 200 || result->status >= 300) {
        apply_status(result, attempt, out);
    } else {
        *answer = body;
        return false;
    }
    json_decref(body);
    end_sentence(out);
    return true;
}

static void set_unknown(struct wm_outcome *out, const char *sentence)
{
    out->kind = WM_OUTCOME_UNKNOWN;
    snprintf(out->sentence, sizeof out->sentence, "%s", sentence);
}

void wm_meta_graph_sent(const struct wm_outgoing *what, const char *id, struct wm_outcome *out)
{
    out->kind = WM_OUTCOME_SENT;
    if (what->kind != WM_OUT_TEXT)
        return;
    if (!id || !*id)
        set_unknown(out, "the Graph API answered success, but gave no message id");
    else if (strlen(id) >= sizeof out->platform_id)
        set_unknown(out, "the Graph API gave a message id that is too long to be kept");
    else
        memcpy(out->platform_id, id, strlen(id) + 1);
}

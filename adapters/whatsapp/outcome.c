/* outcome.c -- what the answer to a WhatsApp send means for the message.
 * How an answer is read: adapters/meta/graph.c. Here: what WhatsApp's codes mean, and where its message id stands.
 */
#include "adapters/whatsapp/channel.h"

#include "adapters/meta/graph.h"
#include "adapters/meta/json.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

#define ONE(code)                   (code), (code)
#define PAUSE(ms)                   WM_OUTCOME_PAUSE, (ms), 1, 0, false
#define AGAIN(ms, growth, attempts) WM_OUTCOME_RETRY, (ms), (growth), (attempts), false
#define NEVER                       WM_OUTCOME_FAILED, 0, 1, 0, false

/* A code that is not here is FAILED, or tried a few times when the answer was a 5xx. */
static const struct wm_meta_rule rules[] = {
    {ONE(131056), WM_OUTCOME_RETRY, SECOND, 4, 0, true}, /* this person gets too many: 4^X seconds */
    {ONE(130429), AGAIN(2 * SECOND, 2, 0)},              /* throughput of the number */
    {ONE(4), AGAIN(5 * MINUTE, 2, 0)},                   /* calls of the app */
    {ONE(80007), AGAIN(5 * MINUTE, 2, 0)},               /* calls of the account */
    {ONE(2), AGAIN(5 * SECOND, 2, 0)},                   /* service down */
    {ONE(131016), AGAIN(5 * SECOND, 2, 0)},
    {ONE(133004), AGAIN(5 * SECOND, 2, 0)},
    {ONE(131057), AGAIN(MINUTE, 1, 0)},     /* the number is being upgraded */
    {ONE(131000), AGAIN(5 * SECOND, 2, 5)}, /* "something went wrong" */
    {ONE(1), AGAIN(5 * SECOND, 2, 3)},      /* unknown, or a bad request */
    {ONE(131064), AGAIN(DAY, 1, 2)},        /* people reached today */
    {ONE(131208), AGAIN(5 * MINUTE, 2, 5)}, /* groups: too many */
    {ONE(0), PAUSE(MINUTE)},                /* token invalid or expired */
    {ONE(190), PAUSE(MINUTE)},
    {ONE(3), PAUSE(MINUTE)}, /* permission missing */
    {ONE(10), PAUSE(MINUTE)},
    {200, 299, PAUSE(MINUTE)},
    {ONE(131005), PAUSE(MINUTE)},
    {ONE(368), PAUSE(HOUR)}, /* account restricted, locked, gone */
    {ONE(131031), PAUSE(HOUR)},
    {ONE(33), PAUSE(HOUR)},
    {ONE(131048), PAUSE(HOUR)}, /* spam limit of the number */
    {ONE(131037), PAUSE(HOUR)}, /* display name not approved */
    {ONE(131042), PAUSE(HOUR)}, /* payment */
    {ONE(131044), PAUSE(HOUR)},
    {ONE(131045), PAUSE(HOUR)}, /* number not registered */
    {ONE(133010), PAUSE(HOUR)},
    {ONE(131047), NEVER}, /* the 24-hour window is closed */
};

bool wm_whatsapp_refused(const struct wm_http_result *result, int attempt, struct wm_outcome *out,
                         json_t **answer)
{
    return wm_meta_graph_refused(rules, sizeof rules / sizeof *rules, result, attempt, out, answer);
}

void wm_whatsapp_outcome(struct wm_channel *c, const struct wm_outgoing *what,
                         const struct wm_http_result *result, int attempt, struct wm_outcome *out)
{
    (void)c;
    *out = (struct wm_outcome){0};
    json_t *answer;
    if (wm_whatsapp_refused(result, attempt, out, &answer))
        return;
    const char *id = wm_meta_json_text(json_array_get(json_object_get(answer, "messages"), 0), "id");
    wm_meta_graph_sent(what, id, out);
    json_decref(answer);
}

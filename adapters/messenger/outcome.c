/* outcome.c -- what the answer to a Messenger or Instagram send means for the message.
 * How an answer is read: adapters/meta/graph.c. Here: what the codes mean; a subcode often says more than its code.
 * Source: Meta's error pages of the Send API (June 2026), as far as they and public clients agree.
 */
#include "adapters/messenger/channel.h"

#include "adapters/meta/graph.h"
#include "adapters/meta/json.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define ONE(code)                   (code), (code)
#define PAUSE(ms)                   WM_OUTCOME_PAUSE, (ms), 1, 0, false
#define AGAIN(ms, growth, attempts) WM_OUTCOME_RETRY, (ms), (growth), (attempts), false
#define NEVER                       WM_OUTCOME_FAILED, 0, 1, 0, false

/* A code that is not here is FAILED, or tried a few times when the answer was a 5xx. */
static const struct wm_meta_rule rules[] = {
    {ONE(10), NEVER, 2018278}, /* outside the 24-hour window */
    {ONE(10), NEVER, 2018065},
    {ONE(10), NEVER, 2534022},
    {ONE(10), NEVER, 2018108},            /* this person gets no messages now */
    {ONE(10), NEVER, 2534077},            /* Instagram: a permission case of one person */
    {ONE(10), PAUSE(HOUR), 1893063},      /* the page is restricted */
    {ONE(10), PAUSE(MINUTE), 0},          /* permission missing */
    {ONE(200), NEVER, 1545041},           /* this person is not available */
    {200, 299, PAUSE(MINUTE), 0},         /* permission, no role, access switched off */
    {ONE(190), PAUSE(MINUTE), 0},         /* the token */
    {ONE(2), AGAIN(5 * SECOND, 2, 5), 0}, /* temporary; also when the person has blocked the page */
    {ONE(1200), AGAIN(5 * SECOND, 2, 0), 0},
    {ONE(4), AGAIN(MINUTE, 2, 0), 0}, /* call limits */
    {ONE(613), AGAIN(MINUTE, 2, 0), 0},
    {ONE(368), PAUSE(HOUR), 0}, /* blocked for what Meta holds to be abuse */
    {ONE(551), NEVER, 0},       /* this person is not available */
    {ONE(2018300), NEVER, 0},   /* another app owns the conversation */
    {ONE(100), NEVER, 0},       /* no such person, bad parameter, another app owns it (2534037) */
};

void wm_messenger_outcome(struct wm_channel *c, const struct wm_outgoing *what,
                          const struct wm_http_result *result, int attempt, struct wm_outcome *out)
{
    (void)c;
    *out = (struct wm_outcome){0};
    json_t *answer;
    if (wm_meta_graph_refused(rules, sizeof rules / sizeof *rules, result, attempt, out, &answer))
        return;
    wm_meta_graph_sent(what, wm_meta_json_text(answer, "message_id"), out);
    json_decref(answer);
}

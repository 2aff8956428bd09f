/* graph.h -- reading the Graph API's answers: what an error code means for a message that we wanted to send.
 * Any thread.
 */
#ifndef WM_META_GRAPH_H
#define WM_META_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "sessions/channel.h"
#include "sessions/transport.h"

/* A platform's knowledge of its error codes: a table, first match counts. */
struct wm_meta_rule {
    int32_t first, last;       /* codes */
    enum wm_outcome_kind kind; /* RETRY, FAILED or PAUSE */
    int64_t first_ms;          /* wait after the first attempt */
    int growth;                /* factor for each further one; 1: constant */
    int attempts;              /* RETRY becomes FAILED after so many; 0: never */
    bool contact_only;
    int32_t subcode; /* only with this error_subcode; 0: with any. Such rows stand before the code's own */
};

enum { WM_META_RETRY_MAX_MS = 60 * 60 * 1000 }; /* ceiling of a growing wait */

/* Fills `out` from the fate of the call and, where there is one, the error of the answer; returns false when the answer
 * is a success (2xx without an error member), whose content is the caller's to read.
 * `*answer` is then the parsed body (new) or NULL when it is no JSON. */
bool wm_meta_graph_refused(const struct wm_meta_rule *rules, size_t n, const struct wm_http_result *result,
                           int attempt, struct wm_outcome *out, json_t **answer);

/* A success: `id` is what the answer calls the message, NULL when it has none. An effect needs none; a text without one, or with one
 * too long to be kept, becomes UNKNOWN. */
void wm_meta_graph_sent(const struct wm_outgoing *what, const char *id, struct wm_outcome *out);

#endif

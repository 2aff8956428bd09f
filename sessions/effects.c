/* effects.c -- the small signs of life beside the replies: read marks and typing. They are not stored, not repeated and
 * may fail: nobody is worse off than without them.
 */
#include <stdlib.h>
#include <string.h>

#include "sessions/director_parts.h"

enum { TYPING_MARGIN_MS = 2000 };

static void forget(void *arg, const struct wm_http_result *result)
{
    (void)arg, (void)result;
}

static bool show(struct wm_director *d, struct wm_talk *talk, enum wm_outgoing_kind kind)
{
    if (d->closing || !talk->contact || wm_director_now(d) < talk->line->not_before_ms)
        return false;
    struct wm_outgoing what = {
        .kind = kind, .account = talk->account, .to = talk->contact, .target = talk->target};
    struct wm_http_call *call = NULL;
    if (talk->line->adapter->request(talk->line->channel, &what, &call, NULL) != WM_OK)
        return false;
    if (d->o.transport->send(d->o.transport->self, call, forget, NULL) != WM_OK) {
        wm_http_call_free(call);
        return false;
    }
    return true;
}

void wm_effect_read(struct wm_director *d, struct wm_talk *talk)
{
    if (!(talk->line->adapter->caps & WM_CAP_READ) || !talk->target ||
        (talk->read && strcmp(talk->read, talk->target) == 0))
        return;
    if (show(d, talk, WM_OUT_READ)) {
        free(talk->read);
        talk->read = strdup(talk->target);
    }
}

void wm_effect_typing(struct wm_director *d, struct wm_talk *talk)
{
    const struct wm_adapter *a = talk->line->adapter;
    if (!(a->caps & WM_CAP_TYPING) || !talk->turn || !show(d, talk, WM_OUT_TYPING))
        return;
    int64_t again = a->typing_ms > 2 * TYPING_MARGIN_MS ? a->typing_ms - TYPING_MARGIN_MS : a->typing_ms;
    if (again > 0)
        wm_talks_due(&d->talks, talk, wm_director_now(d) + again);
}

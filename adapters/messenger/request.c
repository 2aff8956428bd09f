/* request.c -- the Send API's calls: a text, mark_seen, typing_on.
 *
 * On Messenger our reference travels as `metadata` and comes back in the echo of the message. Instagram
 * documents neither it nor messaging_type, so its calls are without.
 */
#include "adapters/messenger/channel.h"

#include <string.h>

enum { REF_MAX = 999 }; /* Meta: metadata has less than 1,000 characters */

static json_t *text_body(const struct wm_outgoing *what, bool messenger)
{
    json_t *reply_to = what->target ? json_pack("{ss}", "mid", what->target) : NULL;
    return json_pack("{s{ss} ss* s{ss ss*} so*}", "recipient", "id", what->to, "messaging_type",
                     messenger ? "RESPONSE" : NULL, "message", "text", what->text, "metadata",
                     messenger ? what->ref : NULL, "reply_to", reply_to);
}

static json_t *effect_body(const struct wm_outgoing *what)
{
    return json_pack("{s{ss} ss}", "recipient", "id", what->to, "sender_action",
                     what->kind == WM_OUT_TYPING ? "typing_on" : "mark_seen");
}

static enum wm_status request(struct wm_channel *c, const struct wm_outgoing *what, bool messenger,
                              struct wm_http_call **out, struct wm_error *err)
{
    const char *account;
    enum wm_status st = wm_meta_sender(c, what, &account, err);
    if (st != WM_OK)
        return st;
    if (!what->to || !*what->to)
        return wm_fail(err, WM_EINVAL, "a message needs a recipient");
    if (what->kind == WM_OUT_TEXT && (!what->text || !*what->text))
        return wm_fail(err, WM_EINVAL, "a message needs a text");
    if (what->ref && strlen(what->ref) > REF_MAX)
        return wm_fail(err, WM_EINVAL, "the reference has %zu bytes, Messenger gives back %d",
                       strlen(what->ref), REF_MAX);
    return wm_meta_call_new(
        c, account, what->kind == WM_OUT_TEXT ? text_body(what, messenger) : effect_body(what), out, err);
}

enum wm_status wm_messenger_request(struct wm_channel *c, const struct wm_outgoing *what,
                                    struct wm_http_call **out, struct wm_error *err)
{
    return request(c, what, true, out, err);
}

enum wm_status wm_instagram_request(struct wm_channel *c, const struct wm_outgoing *what,
                                    struct wm_http_call **out, struct wm_error *err)
{
    return request(c, what, false, out, err);
}

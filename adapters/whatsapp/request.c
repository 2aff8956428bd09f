/* request.c -- the Graph API calls that send a WhatsApp text, mark a message read, and show typing.
 *
 * Our reference travels as biz_opaque_callback_data and comes back in every status: it is how a send whose answer was
 * lost is told from one that never arrived.
 */
#include "adapters/whatsapp/channel.h"

#include <ctype.h>
#include <string.h>

enum { REF_MAX = 512 }; /* bytes that Meta gives back */

/* "ES.90010000000000000001": two-letter country, dot, id. Such a person has shown no number. */
static bool business_scoped(const char *id)
{
    return isupper((unsigned char)id[0]) && isupper((unsigned char)id[1]) && id[2] == '.';
}

static json_t *text_body(const struct wm_outgoing *what)
{
    json_t *body =
        json_pack("{ss ss ss ss s{sb ss} ss*}", "messaging_product", "whatsapp", "recipient_type",
                  "individual", business_scoped(what->to) ? "recipient" : "to", what->to, "type", "text",
                  "text", "preview_url", 0, "body", what->text, "biz_opaque_callback_data", what->ref);
    if (body && what->target &&
        json_object_set_new(body, "context", json_pack("{ss}", "message_id", what->target))) {
        json_decref(body);
        return NULL;
    }
    return body;
}

static json_t *effect_body(const struct wm_outgoing *what)
{
    json_t *typing = what->kind == WM_OUT_TYPING ? json_pack("{ss}", "type", "text") : NULL;
    return json_pack("{ss ss ss so*}", "messaging_product", "whatsapp", "status", "read", "message_id",
                     what->target, "typing_indicator", typing);
}

static enum wm_status check(const struct wm_outgoing *what, struct wm_error *err)
{
    if (what->kind != WM_OUT_TEXT && !what->target)
        return wm_fail(err, WM_EINVAL,
                       "WhatsApp marks a message as read, or typing below it, only by the message's id");
    if (what->kind == WM_OUT_TEXT && (!what->to || !*what->to || !what->text || !*what->text))
        return wm_fail(err, WM_EINVAL, "a WhatsApp message needs a recipient and a text");
    if (what->ref && strlen(what->ref) > REF_MAX)
        return wm_fail(err, WM_EINVAL, "the reference has %zu bytes, WhatsApp gives back %d",
                       strlen(what->ref), REF_MAX);
    return WM_OK;
}

enum wm_status wm_whatsapp_request(struct wm_channel *c, const struct wm_outgoing *what,
                                   struct wm_http_call **out, struct wm_error *err)
{
    const char *account;
    enum wm_status st = wm_meta_sender(c, what, &account, err);
    if (st == WM_OK)
        st = check(what, err);
    if (st != WM_OK)
        return st;
    return wm_meta_call_new(c, account, what->kind == WM_OUT_TEXT ? text_body(what) : effect_body(what), out,
                            err);
}

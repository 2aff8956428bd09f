/* request.c -- the Graph API calls that send a WhatsApp text, mark a message read, and show typing.
 *
 * Our reference travels as biz_opaque_callback_data and comes back in every status: it is how a send whose answer was
 * lost is told from one that never arrived. The token travels in a header, never in the URL.
 */
#include "adapters/whatsapp/channel.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { REF_MAX = 512 }; /* bytes that Meta gives back */

/* The account goes into a URL path, and may come from a webhook. */
static bool path_safe(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && id[n] == '\0';
}

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

static enum wm_status check(const struct wm_outgoing *what, const char *account, struct wm_error *err)
{
    if (!account)
        return wm_fail(err, WM_EINVAL, "no phone number id to send from; set the channel's account");
    if (!path_safe(account))
        return wm_fail(err, WM_EINVAL, "the account \"%.64s\" is no phone number id", account);
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
    const char *account = what->account ? what->account : c->account;
    enum wm_status st = check(what, account, err);
    if (st != WM_OK)
        return st;
    struct wm_buffer url = WM_BUFFER(4096);
    struct wm_http_call *call = NULL;
    json_t *body = what->kind == WM_OUT_TEXT ? text_body(what) : effect_body(what);
    char *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    st = wm_buffer_printf(&url, "%s/%s/messages", c->graph_url, account);
    if (json && st == WM_OK)
        call = wm_http_call_new("POST", url.data, json, strlen(json));
    if (!call || wm_http_call_header(call, "Authorization: Bearer %s", c->access_token) != WM_OK ||
        wm_http_call_header(call, "Content-Type: application/json") != WM_OK) {
        wm_http_call_free(call);
        st = wm_fail(err, WM_ENOMEM, "no memory for a call to WhatsApp, or a text that is not UTF-8");
        goto done;
    }
    *out = call;
done:
    free(json);
    json_decref(body);
    wm_buffer_free(&url);
    return st;
}

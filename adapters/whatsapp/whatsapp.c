/* whatsapp.c -- the WhatsApp Cloud API as a wm_adapter. Begin here: the table at the end names every part.
 *
 * A channel is one app's webhook with one token; it may serve one phone number (account) or all of the app. It holds
 * no state that changes but the signature's contexts, which belong to the net thread.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "adapters/meta/handshake.h"
#include "adapters/meta/secret.h"
#include "adapters/whatsapp/channel.h"

static const char default_graph_url[] = "https://graph.facebook.com/v25.0";

static void wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

static void whatsapp_close(struct wm_channel *c)
{
    if (!c)
        return;
    wm_meta_signature_free(c->signature);
    wipe(c->access_token);
    wipe(c->verify_token);
    free(c->graph_url);
    free(c->account);
    free(c->name);
    free(c);
}

static enum wm_status check_config(const struct wm_channel_config *config, struct wm_error *err)
{
    /* At least one app secret, each a good one: it is all that keeps strangers out. The tokens' lengths are the
     * platform's and the owner's choice. */
    enum wm_status st = WM_OK;
    for (int i = 0; i < WM_CHANNEL_SECRETS && st == WM_OK && (i == 0 || config->app_secrets[i]); i++)
        st =
            wm_meta_check_secret(config->name, "app_secret", config->app_secrets[i], WM_META_SECRET_MIN, err);
    if (st == WM_OK)
        st = wm_meta_check_secret(config->name, "access_token", config->access_token, 1, err);
    if (st == WM_OK && config->verify_token)
        st = wm_meta_check_secret(config->name, "verify_token", config->verify_token, 1, err);
    if (st != WM_OK)
        return st;
    const char *url = config->graph_url;
    if (url && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        return wm_fail(err, WM_EINVAL, "channel %s: graph_url is \"%s\"; it must begin with https://",
                       config->name, url);
    return WM_OK;
}

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static enum wm_status whatsapp_open(const struct wm_channel_config *config, struct wm_channel **out,
                                    struct wm_error *err)
{
    enum wm_status st = check_config(config, err);
    if (st != WM_OK)
        return st;
    struct wm_channel *c = calloc(1, sizeof *c);
    if (!c)
        return wm_fail(err, WM_ENOMEM, "channel %s: no memory", config->name);
    c->name = copy(config->name);
    c->account = copy(config->account);
    c->verify_token = copy(config->verify_token);
    c->access_token = copy(config->access_token);
    c->graph_url = copy(config->graph_url ? config->graph_url : default_graph_url);
    if (!c->name || !c->access_token || !c->graph_url || (config->account && !c->account) ||
        (config->verify_token && !c->verify_token)) {
        st = wm_fail(err, WM_ENOMEM, "channel %s: no memory", config->name);
        goto close;
    }
    st = wm_meta_signature_new(config->app_secrets, &c->signature, err);
    if (st != WM_OK)
        goto close;
    *out = c;
    return WM_OK;
close:
    whatsapp_close(c);
    return st;
}

static enum wm_status whatsapp_verify(struct wm_channel *c, const struct wm_webhook *hook,
                                      struct wm_error *err)
{
    return wm_meta_signature_check(c->signature, hook, err);
}

static enum wm_status whatsapp_challenge(struct wm_channel *c, const char *query, size_t len,
                                         struct wm_buffer *out, struct wm_error *err)
{
    return wm_meta_handshake(c->verify_token, query, len, out, err);
}

const struct wm_adapter wm_adapter_whatsapp = {
    .platform = "whatsapp",
    .caps = WM_CAP_READ | WM_CAP_TYPING | WM_CAP_STATUS_REF,
    .window_ms = 24LL * 60 * 60 * 1000,
    .typing_ms = 25 * 1000,
    .open = whatsapp_open,
    .close = whatsapp_close,
    .verify = whatsapp_verify,
    .challenge = whatsapp_challenge,
    .parse = wm_whatsapp_parse,
    .render = wm_whatsapp_render,
    .request = wm_whatsapp_request,
    .outcome = wm_whatsapp_outcome,
};

/* channel.c -- see channel.h. */
#include "adapters/meta/channel.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "adapters/meta/handshake.h"
#include "adapters/meta/secret.h"

static const char default_graph_url[] = "https://graph.facebook.com/v25.0";

static void wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void wm_meta_channel_close(struct wm_channel *c)
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

enum wm_status wm_meta_channel_open(const struct wm_channel_config *config, struct wm_channel **out,
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
    wm_meta_channel_close(c);
    return st;
}

enum wm_status wm_meta_channel_verify(struct wm_channel *c, const struct wm_webhook *hook,
                                      struct wm_error *err)
{
    return wm_meta_signature_check(c->signature, hook, err);
}

enum wm_status wm_meta_channel_challenge(struct wm_channel *c, const char *query, size_t len,
                                         struct wm_buffer *out, struct wm_error *err)
{
    return wm_meta_handshake(c->verify_token, query, len, out, err);
}

enum wm_status wm_meta_sender(const struct wm_channel *c, const struct wm_outgoing *what,
                              const char **account, struct wm_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *id = what->account ? what->account : c->account;
    if (!id)
        return wm_fail(err, WM_EINVAL, "channel %s: no account to send from; set the channel's account",
                       c->name);
    if (!*id || id[strspn(id, plain)] != '\0')
        return wm_fail(err, WM_EINVAL, "channel %s: \"%.64s\" is no account id of Meta's", c->name, id);
    *account = id;
    return WM_OK;
}

enum wm_status wm_meta_call_new(const struct wm_channel *c, const char *account, json_t *body,
                                struct wm_http_call **out, struct wm_error *err)
{
    struct wm_buffer url = WM_BUFFER(4096);
    struct wm_http_call *call = NULL;
    char *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    enum wm_status st = wm_buffer_printf(&url, "%s/%s/messages", c->graph_url, account);
    if (json && st == WM_OK)
        call = wm_http_call_new("POST", url.data, json, strlen(json));
    if (!call || wm_http_call_header(call, "Authorization: Bearer %s", c->access_token) != WM_OK ||
        wm_http_call_header(call, "Content-Type: application/json") != WM_OK) {
        wm_http_call_free(call);
        st = wm_fail(err, WM_ENOMEM, "no memory for a call to Meta, or a text that is not UTF-8");
        goto done;
    }
    *out = call;
done:
    free(json);
    json_decref(body);
    wm_buffer_free(&url);
    return st;
}

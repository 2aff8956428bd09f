/* whatsapp.c -- the WhatsApp Cloud API as a wm_adapter. Begin here: the table names every part.
 *
 * A channel is one app's webhook with one token; it may serve one phone number (account) or all of the app.
 */
#include "adapters/whatsapp/channel.h"

const struct wm_adapter wm_adapter_whatsapp = {
    .platform = "whatsapp",
    .caps = WM_CAP_READ | WM_CAP_TYPING | WM_CAP_STATUS_REF,
    .window_ms = 24LL * 60 * 60 * 1000,
    .typing_ms = 25 * 1000,
    .open = wm_meta_channel_open,
    .close = wm_meta_channel_close,
    .verify = wm_meta_channel_verify,
    .challenge = wm_meta_channel_challenge,
    .parse = wm_whatsapp_parse,
    .render = wm_whatsapp_render,
    .request = wm_whatsapp_request,
    .outcome = wm_whatsapp_outcome,
    .media = &wm_whatsapp_media,
};

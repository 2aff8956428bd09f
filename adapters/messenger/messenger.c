/* messenger.c -- Messenger and Instagram messaging as two wm_adapters. Begin here: the tables name every part.
 *
 * Meta gave both one envelope, one Send API and one list of errors; they differ in what counts against a
 * message's length, in a few fields of a call, and in what webhooks tell.
 *
 * Neither returns our reference in statuses. Messenger gives it back in the echo of a message, where echoes
 * are subscribed to: such an echo is read as the status "sent". Since they may not be, silence proves
 * nothing, and WM_CAP_STATUS_REF is not claimed.
 */
#include "adapters/messenger/channel.h"

enum { HOUR_MS = 60 * 60 * 1000, TYPING_MS = 15 * 1000 /* the bubble ends by itself after some 20 s */ };

const struct wm_adapter wm_adapter_messenger = {
    .platform = "messenger",
    .caps = WM_CAP_READ | WM_CAP_TYPING,
    .window_ms = 24 * HOUR_MS,
    .typing_ms = TYPING_MS,
    .open = wm_meta_channel_open,
    .close = wm_meta_channel_close,
    .verify = wm_meta_channel_verify,
    .challenge = wm_meta_channel_challenge,
    .parse = wm_messenger_parse,
    .render = wm_messenger_render,
    .request = wm_messenger_request,
    .outcome = wm_messenger_outcome,
    .media = &wm_messenger_media,
};

const struct wm_adapter wm_adapter_instagram = {
    .platform = "instagram",
    .caps = WM_CAP_READ | WM_CAP_TYPING,
    .window_ms = 24 * HOUR_MS,
    .typing_ms = TYPING_MS,
    .open = wm_meta_channel_open,
    .close = wm_meta_channel_close,
    .verify = wm_meta_channel_verify,
    .challenge = wm_meta_channel_challenge,
    .parse = wm_instagram_parse,
    .render = wm_instagram_render,
    .request = wm_instagram_request,
    .outcome = wm_messenger_outcome,
    .media = &wm_messenger_media,
};

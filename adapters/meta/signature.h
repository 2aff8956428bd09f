/* signature.h -- Meta's X-Hub-Signature-256: HMAC-SHA256 of the raw body, keyed with the app's secret.
 * One thread at a time: the contexts are reused. Essay: signature.c.
 */
#ifndef WM_META_SIGNATURE_H
#define WM_META_SIGNATURE_H

#include "kernels/base/error.h"
#include "sessions/channel.h"

struct wm_meta_signature; /* opaque: one keyed context per secret */

/* `secrets`: NULL-ended unless full, copied into the contexts. EINVAL when there is none. */
enum wm_status wm_meta_signature_new(const char *const secrets[WM_CHANNEL_SECRETS],
                                     struct wm_meta_signature **out, struct wm_error *err);
void wm_meta_signature_free(struct wm_meta_signature *s); /* NULL is fine */

/* WM_OK when the one header's digest is that of the body under any of the secrets. EDENIED otherwise, with a sentence
 * that says what is wrong with the request and never what would be right. */
enum wm_status wm_meta_signature_check(struct wm_meta_signature *s, const struct wm_webhook *hook,
                                       struct wm_error *err);

#endif

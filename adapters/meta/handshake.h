/* handshake.h -- the GET with which Meta asks whether a webhook address is ours.
 * Any thread.
 */
#ifndef WM_META_HANDSHAKE_H
#define WM_META_HANDSHAKE_H

#include <stddef.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum { WM_META_CHALLENGE_MAX = 256 }; /* bytes, decoded */

/* `query`: the raw query string. WM_OK: exactly the challenge was appended to `out`, to be answered as text/plain.
 * EDENIED: wrong mode or token, a parameter missing, doubled or too long; `verify_token` NULL denies all. */
enum wm_status wm_meta_handshake(const char *verify_token, const char *query, size_t len,
                                 struct wm_buffer *out, struct wm_error *err);

#endif

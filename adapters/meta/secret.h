/* secret.h -- is this value a secret at all, or what a forgotten setting leaves behind?
 * Any thread.
 */
#ifndef WM_META_SECRET_H
#define WM_META_SECRET_H

#include <stddef.h>

#include "kernels/base/error.h"

enum { WM_META_SECRET_MIN = 16 }; /* bytes; Meta's app secrets have 32 */

/* EINVAL, naming `setting` of `channel` but never the value, when it is NULL, empty, shorter than `min_bytes`, one of
 * the words that stand for "not set" ("undefined", "null", "changeme" ...), or holds a space or control character:
 * it could then not be what a platform gave out, and would break the header line that it travels in. */
enum wm_status wm_meta_check_secret(const char *channel, const char *setting, const char *value,
                                    size_t min_bytes, struct wm_error *err);

#endif

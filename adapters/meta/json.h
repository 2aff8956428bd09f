/* json.h -- JSON as Meta's webhooks really hold it, read leniently into jansson values.
 * Any thread. Essay: json.c.
 */
#ifndef WM_META_JSON_H
#define WM_META_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kernels/base/error.h"

enum { WM_META_JSON_MAX = 4 << 20 }; /* bytes of a text; Meta's largest webhook has 3 MB */

/* The value (new: json_decref), in which every number has become the string of its literal digits. EFORMAT with line
 * and cause, never with words of the text, when it is not JSON; ELIMIT when it is too large. */
enum wm_status wm_meta_json_parse(const char *text, size_t len, json_t **out, struct wm_error *err);

/* The string at `key` of an object: borrowed, or NULL when the value is no object, the key is absent, or what stands
 * there is no string and no number. An empty string stays one. */
const char *wm_meta_json_text(const json_t *object, const char *key);

/* The same along a path of keys: "text", "body". Ends with NULL. */
const char *wm_meta_json_text_at(const json_t *object, ...) __attribute__((sentinel));

/* The whole number at `key`, clamped to 32 bits; 0 when there is none. */
int32_t wm_meta_json_int(const json_t *object, const char *key);

#endif

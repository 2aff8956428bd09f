/* config_json.h -- values of a config.json, each checked for kind and range, each failure a sentence with the
 * key's path.
 *
 * A null counts as absent, as transformers treats it. Caller's thread.
 */
#ifndef WM_ENGINE_CONFIG_JSON_H
#define WM_ENGINE_CONFIG_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum { WM_CONFIG_MAX_BYTES = 16 << 20 };

struct wm_config {
    const char *name; /* of the file, for the sentences */
    const char *path; /* of `object` within it: "text_config.", "" */
    const json_t *object;
    struct wm_error *err;
};

/* Parses the text of a config; the caller decrefs *out. */
enum wm_status wm_config_parse(const char *name, const char *text, size_t len, json_t **out,
                               struct wm_error *err);

/* The value, or NULL when it is absent or null. */
const json_t *wm_config_get(const struct wm_config *c, const char *key);

/* The object under `key`, which must be there; `path` is its own for the sentences, with a dot at the end. */
enum wm_status wm_config_part(const struct wm_config *c, const char *key, const char *path,
                              struct wm_config *out);

/* A number within [min, max]; `fallback` when it is absent, or, when `fallback` lies outside, a sentence that
 * it is missing. A real without a fraction (8.0) is a whole number too: Python's programs write them so. */
enum wm_status wm_config_int(const struct wm_config *c, const char *key, int64_t min, int64_t max,
                             int64_t fallback, int64_t *out);
enum wm_status wm_config_size(const struct wm_config *c, const char *key, int32_t min, int32_t max,
                              int32_t fallback, int32_t *out);
enum wm_status wm_config_real(const struct wm_config *c, const char *key, double min, double max,
                              double fallback, double *out);
/* true, false, or a number: 0 is false (attn_temperature_tuning was once 4). */
enum wm_status wm_config_bool(const struct wm_config *c, const char *key, bool fallback, bool *out);
/* Borrowed; `fallback` (may be NULL) when it is absent. */
enum wm_status wm_config_text(const struct wm_config *c, const char *key, const char *fallback,
                              const char **out);

/* The text must be `want` where it is given: for what we have in one form only. */
enum wm_status wm_config_only(const struct wm_config *c, const char *key, const char *want);

#endif

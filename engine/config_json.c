/* config_json.c -- see config_json.h. */
#include "engine/config_json.h"

#include <math.h>
#include <string.h>

enum { SHOWN = 40 }; /* bytes of a stranger's text in a sentence */

enum wm_status wm_config_parse(const char *name, const char *text, size_t len, json_t **out,
                               struct wm_error *err)
{
    json_error_t why;
    if (len > WM_CONFIG_MAX_BYTES)
        return wm_fail(err, WM_ELIMIT, "%s: a config of %zu bytes, at most %d are read", name, len,
                       WM_CONFIG_MAX_BYTES);
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return wm_fail(err, WM_EFORMAT, "%s: its config, line %d, column %d: %s", name, why.line, why.column,
                       why.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return wm_fail(err, WM_EFORMAT, "%s: its config is not a JSON object", name);
    }
    *out = root;
    return WM_OK;
}

const json_t *wm_config_get(const struct wm_config *c, const char *key)
{
    const json_t *value = json_object_get(c->object, key);
    return json_is_null(value) ? NULL : value;
}

enum wm_status wm_config_part(const struct wm_config *c, const char *key, const char *path,
                              struct wm_config *out)
{
    *out = (struct wm_config){.name = c->name, .path = path, .object = wm_config_get(c, key), .err = c->err};
    return json_is_object(out->object)
               ? WM_OK
               : wm_fail(c->err, WM_EFORMAT, "%s: config key %s%s is missing or not an object", c->name,
                         c->path, key);
}

static enum wm_status missing(const struct wm_config *c, const char *key)
{
    return wm_fail(c->err, WM_EFORMAT, "%s: config key %s%s is missing", c->name, c->path, key);
}

static enum wm_status wrong(const struct wm_config *c, const char *key, const char *what)
{
    return wm_fail(c->err, WM_EFORMAT, "%s: config key %s%s must be %s", c->name, c->path, key, what);
}

enum wm_status wm_config_int(const struct wm_config *c, const char *key, int64_t min, int64_t max,
                             int64_t fallback, int64_t *out)
{
    const json_t *value = wm_config_get(c, key);
    double real = json_real_value(value);
    bool whole = json_is_real(value) && fabs(real) < 0x1p53 && real == floor(real);
    if (!value && (fallback < min || fallback > max))
        return missing(c, key);
    if (value && !json_is_integer(value) && !whole)
        return wrong(c, key, "a whole number");
    int64_t v = !value ? fallback : whole ? (int64_t)real : json_integer_value(value);
    if (v < min || v > max)
        return wm_fail(c->err, WM_EFORMAT, "%s: config key %s%s is %lld, it must be %lld to %lld", c->name,
                       c->path, key, (long long)v, (long long)min, (long long)max);
    *out = v;
    return WM_OK;
}

enum wm_status wm_config_size(const struct wm_config *c, const char *key, int32_t min, int32_t max,
                              int32_t fallback, int32_t *out)
{
    int64_t value = 0;
    enum wm_status st = wm_config_int(c, key, min, max, fallback, &value);
    if (st == WM_OK)
        *out = (int32_t)value;
    return st;
}

enum wm_status wm_config_real(const struct wm_config *c, const char *key, double min, double max,
                              double fallback, double *out)
{
    const json_t *value = wm_config_get(c, key);
    if (!value && !(fallback >= min && fallback <= max))
        return missing(c, key);
    if (value && !json_is_number(value))
        return wrong(c, key, "a number");
    double v = value ? json_number_value(value) : fallback;
    if (!(v >= min && v <= max))
        return wm_fail(c->err, WM_EFORMAT, "%s: config key %s%s is %g, it must be %g to %g", c->name, c->path,
                       key, v, min, max);
    *out = v;
    return WM_OK;
}

enum wm_status wm_config_bool(const struct wm_config *c, const char *key, bool fallback, bool *out)
{
    const json_t *value = wm_config_get(c, key);
    if (value && !json_is_boolean(value) && !json_is_number(value))
        return wrong(c, key, "true or false");
    *out = !value ? fallback : json_is_boolean(value) ? json_is_true(value) : json_number_value(value) != 0;
    return WM_OK;
}

enum wm_status wm_config_text(const struct wm_config *c, const char *key, const char *fallback,
                              const char **out)
{
    const json_t *value = wm_config_get(c, key);
    if (value && !json_is_string(value))
        return wrong(c, key, "a text");
    *out = value ? json_string_value(value) : fallback;
    return WM_OK;
}

/* For a sentence: a name of the usual letters, or "something else". */
static const char *shown(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ");
    return text[len] == '\0' && len <= SHOWN ? text : "something else";
}

enum wm_status wm_config_only(const struct wm_config *c, const char *key, const char *want)
{
    const char *text;
    enum wm_status st = wm_config_text(c, key, want, &text);
    if (st == WM_OK && strcmp(text, want) != 0)
        st = wm_fail(c->err, WM_EUNSUPPORTED, "%s: config key %s%s is %s; this build runs %s only", c->name,
                     c->path, key, shown(text), want);
    return st;
}

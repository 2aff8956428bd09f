/* json_text.c -- see json_text.h. jansson's own writer differs in numbers and escapes. */
#include "engine/json_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

static enum wm_status add_string(const char *text, size_t len, struct wm_buffer *out)
{
    static const char names[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    enum wm_status st = wm_buffer_puts(out, "\"");
    for (size_t i = 0; i < len && st == WM_OK; i++) {
        const char *name = text[i] ? strchr(names, text[i]) : NULL;
        if (name)
            st = wm_buffer_printf(out, "\\%c", letters[name - names]);
        else if ((unsigned char)text[i] < 0x20)
            st = wm_buffer_printf(out, "\\u%04x", text[i]);
        else
            st = wm_buffer_add(out, &text[i], 1);
    }
    return st == WM_OK ? wm_buffer_puts(out, "\"") : st;
}

enum wm_status wm_json_real(double value, struct wm_buffer *out)
{
    enum { SURE = 17 }; /* digits that tell any two doubles apart */
    char digits[64];
    if (!isfinite(value))
        return wm_buffer_puts(out, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    int precision = 1;
    do
        snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
    while (strtod(digits, NULL) != value && precision++ < SURE);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) /* where Python leaves the exponent out */
        snprintf(digits, sizeof digits, "%.*f", precision - 1 > exponent ? precision - 1 - exponent : 1,
                 value);
    return wm_buffer_puts(out, digits);
}

/* A new line for a part at this depth; without indentation `between`. */
static enum wm_status begin_part(int indent, int depth, const char *between, struct wm_buffer *out)
{
    if (indent <= 0)
        return wm_buffer_puts(out, between);
    return wm_buffer_printf(out, "%s\n%*s", between[0] == ',' ? "," : "", indent * depth, "");
}

static enum wm_status add(const json_t *value, int indent, int depth, struct wm_buffer *out);

static enum wm_status add_array(const json_t *array, int indent, int depth, struct wm_buffer *out)
{
    size_t n = json_array_size(array);
    enum wm_status st = wm_buffer_puts(out, "[");
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        st = begin_part(indent, depth + 1, i ? ", " : "", out);
        if (st == WM_OK)
            st = add(json_array_get(array, i), indent, depth + 1, out);
    }
    if (st == WM_OK && n)
        st = begin_part(indent, depth, "", out);
    return st == WM_OK ? wm_buffer_puts(out, "]") : st;
}

static enum wm_status add_object(const json_t *object, int indent, int depth, struct wm_buffer *out)
{
    enum wm_status st = wm_buffer_puts(out, "{");
    bool any = false;
    json_t *own = (json_t *)object; /* jansson's iterators take it without const, and change nothing */
    for (void *it = json_object_iter(own); it && st == WM_OK; it = json_object_iter_next(own, it)) {
        const char *key = json_object_iter_key(it);
        st = begin_part(indent, depth + 1, any ? ", " : "", out);
        if (st == WM_OK)
            st = add_string(key, strlen(key), out);
        if (st == WM_OK)
            st = wm_buffer_puts(out, ": ");
        if (st == WM_OK)
            st = add(json_object_iter_value(it), indent, depth + 1, out);
        any = true;
    }
    if (st == WM_OK && any)
        st = begin_part(indent, depth, "", out);
    return st == WM_OK ? wm_buffer_puts(out, "}") : st;
}

static enum wm_status add(const json_t *value, int indent, int depth, struct wm_buffer *out)
{
    if (depth > MAX_DEPTH)
        return WM_ELIMIT;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return add_object(value, indent, depth, out);
    case JSON_ARRAY:
        return add_array(value, indent, depth, out);
    case JSON_STRING:
        return add_string(json_string_value(value), json_string_length(value), out);
    case JSON_INTEGER:
        return wm_buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return wm_json_real(json_real_value(value), out);
    case JSON_TRUE:
        return wm_buffer_puts(out, "true");
    case JSON_FALSE:
        return wm_buffer_puts(out, "false");
    default:
        return wm_buffer_puts(out, "null");
    }
}

enum wm_status wm_json_text(const json_t *value, int indent, struct wm_buffer *out)
{
    return add(value, indent, 0, out);
}

/* json.c -- JSON as Meta's webhooks really hold it, read leniently into jansson values.
 *
 * WHY     jansson is strict where real bodies are not: a lone surrogate (half an emoji, cut by some client), \u0000, an
 *         integer beyond 64 bits or 1e999 each fail the whole body, and with it the other 999 updates. And ids beyond
 *         2^53 must not pass through a double.
 *
 * HOW     One pass rewrites the text before jansson sees it; the stored body stays as it came.
 *
 *           in strings   lone \uD800..\uDFFF -> \uFFFD     \u0000 -> nothing     ill-formed UTF-8 -> U+FFFD
 *           outside      a number -> the string of its literal digits
 *
 *         So a reader never asks whether an id came as 123 or "123", and no digit is lost. The pass checks the grammar
 *         of numbers itself; all other grammar stays jansson's business.
 *
 * LIMITS  Depth 2048 (jansson's own). 4 MiB of text. Of a doubled key the last one counts. No BOM, nothing behind the
 *         value, no raw control characters in strings: such a text is not JSON.
 */
#include "adapters/meta/json.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/meta/hex.h"
#include "kernels/base/buffer.h"
#include "kernels/base/utf8.h"

/* Worst growth of the pass: an ill-formed byte becomes the three of U+FFFD; a one-digit number gains two quotes. */
enum { GROWTH = 3, SLACK = 16 };

struct text {
    const char *at, *end;
    struct wm_buffer *out;
};

/* The code unit of "\uXXXX" at p, or -1. */
static int32_t unit_at(const char *p, const char *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = wm_meta_hex(p[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static void copy_escape(struct text *t)
{
    int32_t unit = unit_at(t->at, t->end);
    if (unit <
        0) { /* \n and the like; a broken one is left to jansson. The character behind '\' is never a quote that
                       ends the string */
        size_t n = t->end - t->at < 2 ? 1 : 2;
        wm_buffer_add(t->out, t->at, n);
        t->at += n;
        return;
    }
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        int32_t low = unit_at(t->at + 6, t->end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            wm_buffer_add(t->out, t->at, 12);
            t->at += 12;
            return;
        }
    }
    if (unit >= 0xD800 && unit <= 0xDFFF)
        wm_buffer_puts(t->out, "\\uFFFD");
    else if (unit != 0)
        wm_buffer_add(t->out, t->at, 6);
    t->at += 6;
}

/* At the opening quote; leaves behind the closing one, or at the end of an unfinished string. */
static void copy_string(struct text *t)
{
    wm_buffer_add(t->out, t->at++, 1);
    while (t->at < t->end) {
        const char *run = t->at;
        while (t->at < t->end && *t->at != '"' && *t->at != '\\')
            t->at++;
        wm_utf8_sanitize(t->out, run, (size_t)(t->at - run));
        if (t->at == t->end)
            return;
        if (*t->at == '"') {
            wm_buffer_add(t->out, t->at++, 1);
            return;
        }
        copy_escape(t);
    }
}

static size_t digits(const char *p, const char *end)
{
    size_t n = 0;
    while (p + n < end && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

/* Bytes of the JSON number at p (RFC 8259, section 6); 0 when it is none. */
static size_t number_len(const char *p, const char *end)
{
    const char *start = p;
    if (p < end && *p == '-')
        p++;
    size_t whole = digits(p, end);
    if (whole == 0 || (whole > 1 && *p == '0'))
        return 0;
    p += whole;
    if (p < end && *p == '.') {
        size_t fraction = digits(p + 1, end);
        if (fraction == 0)
            return 0;
        p += 1 + fraction;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        size_t exponent = digits(p, end);
        if (exponent == 0)
            return 0;
        p += exponent;
    }
    return (size_t)(p - start);
}

static bool starts_number(char c)
{
    return c == '-' || (c >= '0' && c <= '9');
}

static enum wm_status rewrite(const char *text, size_t len, struct wm_buffer *out, struct wm_error *err)
{
    struct text t = {text, text + len, out};
    while (t.at < t.end) {
        if (*t.at == '"') {
            copy_string(&t);
        } else if (starts_number(*t.at)) {
            size_t n = number_len(t.at, t.end);
            if (n == 0)
                return wm_fail(err, WM_EFORMAT, "the body is not JSON: byte %zu begins a number that is none",
                               (size_t)(t.at - text));
            wm_buffer_puts(out, "\"");
            wm_buffer_add(out, t.at, n);
            wm_buffer_puts(out, "\"");
            t.at += n;
        } else {
            /* in a run, so that structure costs one append, not one a byte */
            const char *run = t.at;
            while (t.at < t.end && *t.at != '"' && !starts_number(*t.at))
                t.at++;
            wm_buffer_add(out, run, (size_t)(t.at - run));
        }
    }
    return out->failed ? wm_fail(err, WM_ENOMEM, "no memory to read a body of %zu bytes", len) : WM_OK;
}

enum wm_status wm_meta_json_parse(const char *text, size_t len, json_t **out, struct wm_error *err)
{
    if (len > WM_META_JSON_MAX)
        return wm_fail(err, WM_ELIMIT, "the body has %zu bytes, at most %d are read", len, WM_META_JSON_MAX);
    struct wm_buffer clean = WM_BUFFER(len * GROWTH + SLACK);
    enum wm_status st = rewrite(text, len, &clean, err);
    if (st == WM_OK) {
        json_error_t why;
        *out = json_loadb(clean.data ? clean.data : "", clean.len, 0, &why);
        if (!*out) {
            char *near = strstr(why.text, " near '"); /* jansson quotes the body there: words of a person */
            if (near)
                *near = '\0';
            st = json_error_code(&why) == json_error_out_of_memory ? WM_ENOMEM : WM_EFORMAT;
            wm_fail(err, st, "the body is not JSON: line %d, column %d: %s", why.line, why.column, why.text);
        }
    }
    wm_buffer_free(&clean);
    return st;
}

const char *wm_meta_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

const char *wm_meta_json_text_at(const json_t *object, ...)
{
    va_list keys;
    va_start(keys, object);
    for (const char *key; object && (key = va_arg(keys, const char *));)
        object = json_object_get(object, key);
    va_end(keys);
    return json_string_value(object);
}

int32_t wm_meta_json_int(const json_t *object, const char *key)
{
    const char *digits_at = wm_meta_json_text(object, key);
    if (!digits_at)
        return 0;
    long long n = strtoll(digits_at, NULL, 10); /* clamps itself to 64 bits */
    return n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
}

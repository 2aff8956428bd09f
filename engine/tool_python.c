/* tool_python.c -- calls of tools in Python's syntax: [get_weather(city="Paris", days=[1, 2]), other()].
 *
 * The part of the language that models use for it: a list of calls with keyword arguments only, whose values are
 * literals. Positional arguments are refused, as in Meta's own reader: nobody could tell which parameter is meant.
 *
 *   list   = "[" call { "," call } [","] "]"
 *   call   = name "(" [ name "=" value { "," name "=" value } [","] ] ")"       name may have dots
 *   value  = string | number | True | False | None | "[" values "]" | "(" values ")" | "{" string ":" value ... "}"
 *
 * LIMITS  Values nest 32 deep; whole numbers that do not fit 63 bits become real ones.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tool_calls.h"
#include "kernels/base/utf8.h"

enum { MAX_DEPTH = 32, MAX_NUMBER = 64 };

/* Where we are. `text` is followed by a NUL, which no construct goes over. */
struct reader {
    const char *at, *end;
};

static void spaces(struct reader *r)
{
    while (r->at < r->end && *r->at && strchr(" \t\r\n", *r->at))
        r->at++;
}

/* Takes `c` and the white space around it, if it is next. */
static bool take(struct reader *r, char c)
{
    spaces(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    spaces(r);
    return true;
}

static size_t name_length(const struct reader *r, bool dots)
{
    size_t n = 0;
    for (; n < (size_t)(r->end - r->at); n++) {
        char c = r->at[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(n > 0 && ((c >= '0' && c <= '9') || (dots && c == '.'))))
            break;
    }
    return n;
}

/* --- values ----------------------------------------------------------------------------------------------- */

static json_t *read_value(struct reader *r, int depth);

/* `digits` hexadecimal digits as a character, in UTF-8. */
static bool add_code(struct reader *r, size_t digits, struct wm_buffer *out)
{
    char hex[9] = {0}, utf8[4];
    if ((size_t)(r->end - r->at) < digits)
        return false;
    memcpy(hex, r->at, digits);
    if (strspn(hex, "0123456789abcdefABCDEF") != digits)
        return false;
    r->at += digits;
    return wm_buffer_add(out, utf8, wm_utf8_encode((uint32_t)strtoul(hex, NULL, 16), utf8)) == WM_OK;
}

/* What stands behind a backslash. */
static bool add_escape(struct reader *r, struct wm_buffer *out)
{
    static const char letters[] = "abfnrtv\\'\"", means[] = "\a\b\f\n\r\t\v\\'\"";
    if (r->at == r->end)
        return false;
    char c = *r->at++;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (c == '\n')
        return true;
    if (letter)
        return wm_buffer_add(out, &means[letter - letters], 1) == WM_OK;
    if (c == 'x' || c == 'u' || c == 'U')
        return add_code(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    return wm_buffer_add(out, (char[]){'\\', c}, 2) ==
           WM_OK; /* Python keeps an escape that it does not know */
}

static json_t *read_string(struct reader *r)
{
    struct wm_buffer text = WM_BUFFER(WM_TOOL_TEXT_MAX);
    char quote = *r->at++;
    bool good = true;
    while (good && r->at < r->end && *r->at != quote) {
        char c = *r->at++;
        good = c == '\\' ? add_escape(r, &text) : c != '\n' && wm_buffer_add(&text, &c, 1) == WM_OK;
    }
    good = good && r->at < r->end &&
           !(text.len && memchr(text.data, '\0', text.len)); /* JSON readers refuse NUL */
    r->at += good;
    json_t *value =
        good ? json_stringn(text.data ? text.data : "", text.len) : NULL; /* NULL too for ill-formed UTF-8 */
    wm_buffer_free(&text);
    return value;
}

static json_t *read_number(struct reader *r)
{
    char digits[MAX_NUMBER + 1] = {0}, *end;
    size_t n = 0;
    while (n < MAX_NUMBER && r->at + n < r->end && r->at[n] && strchr("+-.0123456789eE", r->at[n]))
        n++;
    memcpy(digits, r->at, n);
    r->at += n;
    errno = 0;
    long long whole = strtoll(digits, &end, 10);
    if (n && *end == '\0' && errno == 0)
        return json_integer(whole);
    double real = strtod(digits, &end);
    return n && *end == '\0' ? json_real(real) : NULL; /* NULL for what is not finite */
}

static json_t *read_word(struct reader *r)
{
    static const struct {
        const char *word;
        int value; /* 2: null */
    } words[] = {{"True", 1}, {"False", 0}, {"None", 2}, {"true", 1}, {"false", 0}, {"null", 2}};
    size_t n = name_length(r, false);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == n && memcmp(words[i].word, r->at, n) == 0) {
            r->at += n;
            return words[i].value == 2 ? json_null() : json_boolean(words[i].value);
        }
    return NULL;
}

static json_t *read_list(struct reader *r, char close, int depth)
{
    json_t *list = json_array();
    while (list && !take(r, close)) {
        json_t *value = read_value(r, depth + 1);
        if (!value || json_array_append_new(list, value) != 0)
            goto free_list;
        if (!take(r, ',')) {
            if (!take(r, close))
                goto free_list;
            break;
        }
    }
    return list;

free_list:
    json_decref(list);
    return NULL;
}

static json_t *read_dictionary(struct reader *r, int depth)
{
    json_t *object = json_object();
    while (object && !take(r, '}')) {
        json_t *key = r->at < r->end && (*r->at == '"' || *r->at == '\'') ? read_string(r) : NULL;
        json_t *value = key && take(r, ':') ? read_value(r, depth + 1) : NULL;
        bool good = value && strlen(json_string_value(key)) == json_string_length(key) &&
                    json_object_set(object, json_string_value(key), value) == 0;
        json_decref(key);
        json_decref(value);
        if (!good)
            goto free_object;
        if (!take(r, ',')) {
            if (!take(r, '}'))
                goto free_object;
            break;
        }
    }
    return object;

free_object:
    json_decref(object);
    return NULL;
}

/* A new value, or NULL: not one, or no memory. */
static json_t *read_value(struct reader *r, int depth)
{
    spaces(r);
    if (r->at == r->end || depth > MAX_DEPTH)
        return NULL;
    switch (*r->at) {
    case '"':
    case '\'':
        return read_string(r);
    case '[':
    case '(':
        r->at++;
        return read_list(r, r->at[-1] == '[' ? ']' : ')', depth);
    case '{':
        r->at++;
        return read_dictionary(r, depth);
    default:
        return strchr("+-.0123456789", *r->at) && *r->at ? read_number(r) : read_word(r);
    }
}

/* --- calls ------------------------------------------------------------------------------------------------ */

/* What stands between the parentheses of a call: a new object, or NULL. */
static json_t *read_arguments(struct reader *r)
{
    json_t *object = json_object();
    while (object && !take(r, ')')) {
        char key[WM_TOOL_NAME_MAX + 1];
        size_t n = name_length(r, false);
        if (n == 0 || n >= sizeof key)
            goto free_object;
        memcpy(key, r->at, n);
        key[n] = '\0';
        r->at += n;
        json_t *value = take(r, '=') ? read_value(r, 1) : NULL;
        if (!value || json_object_get(object, key) || json_object_set(object, key, value) != 0) {
            json_decref(value);
            goto free_object;
        }
        json_decref(value);
        if (!take(r, ',')) {
            if (!take(r, ')'))
                goto free_object;
            break;
        }
    }
    return object;

free_object:
    json_decref(object);
    return NULL;
}

enum wm_status wm_tool_calls_parse_python(const char *text, size_t len, struct wm_tool_calls *out)
{
    struct reader r = {.at = text, .end = text + len};
    enum wm_status st = take(&r, '[') ? WM_OK : WM_EFORMAT;
    while (st == WM_OK) {
        const char *name = r.at;
        size_t n = name_length(&r, true);
        r.at += n;
        json_t *arguments = n && take(&r, '(') ? read_arguments(&r) : NULL;
        st = arguments ? wm_tool_calls_add(out, name, n, arguments) : WM_EFORMAT;
        json_decref(arguments);
        if (st != WM_OK)
            return st;
        bool more = take(&r, ',');
        if (take(&r, ']'))
            break;
        st = more ? WM_OK : WM_EFORMAT;
    }
    spaces(&r);
    return st == WM_OK && r.at == r.end ? WM_OK : WM_EFORMAT;
}

/* template_methods.c -- what a template may call: methods of texts and objects, and a few functions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/template_parts.h"

struct text {
    const char *at;
    size_t len;
};

/* The argument at that place as text; empty when it is none. */
static struct text argument(const struct wm_arguments *a, int i)
{
    const json_t *v = i < a->n ? a->places[i] : NULL;
    return json_is_string(v) ? (struct text){json_string_value(v), json_string_length(v)}
                             : (struct text){"", 0};
}

/* --- texts ------------------------------------------------------------------------------------------------ */

static bool strips(char c, const struct wm_arguments *a)
{
    struct text set = argument(a, 0);
    return a->n ? memchr(set.at, c, set.len) != NULL
                : c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static json_t *strip(struct wm_run *r, const struct wm_node *node, struct text s,
                     const struct wm_arguments *a, bool left, bool right)
{
    while (left && s.len && strips(*s.at, a)) {
        s.at++;
        s.len--;
    }
    while (right && s.len && strips(s.at[s.len - 1], a))
        s.len--;
    return wm_run_string(r, node, s.at, s.len);
}

enum letters { LOWER, UPPER, TITLE, CAPITALIZE };

/* Letters beyond ASCII stay as they are: no template has been seen that changes them. */
static json_t *change_case(struct wm_run *r, const struct wm_node *node, struct text s, enum letters how)
{
    char *copy = malloc(s.len + 1);
    bool begins = true; /* a word, or the text */
    if (!copy)
        return wm_run_fail(r, node, WM_ENOMEM, "no memory");
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
        bool want_upper = how == UPPER || (how != LOWER && begins);
        copy[i] = (lower && want_upper) || (upper && !want_upper) ? (char)(c ^ 0x20) : c;
        begins = how == TITLE && !lower && !upper;
    }
    json_t *made = wm_run_string(r, node, copy, s.len);
    free(copy);
    return made;
}

static bool begins_with(struct text s, struct text start)
{
    return start.len <= s.len && memcmp(s.at, start.at, start.len) == 0;
}

static bool ends_with(struct text s, struct text end)
{
    return end.len <= s.len && memcmp(s.at + s.len - end.len, end.at, end.len) == 0;
}

/* A list of texts gets one more. */
static bool append(struct wm_run *r, const struct wm_node *node, json_t *list, const char *text, size_t len)
{
    json_t *made = wm_run_string(r, node, text, len);
    return made && json_array_append_new(list, made) == 0;
}

/* split(), split(separator), split(separator, most) */
static json_t *split(struct wm_run *r, const struct wm_node *node, struct text s,
                     const struct wm_arguments *a)
{
    struct text between = argument(a, 0);
    json_int_t most = a->n > 1 && json_is_integer(a->places[1]) ? json_integer_value(a->places[1]) : -1;
    json_t *list = wm_run_list(r, node);
    bool good = list != NULL;
    if (a->n && between.len == 0)
        good = wm_run_fail(r, node, WM_EINVAL, "split by nothing");
    while (good && most != 0) {
        const struct wm_arguments none = {0};
        const char *next = NULL;
        size_t skip = between.len;
        while (!a->n && s.len && strips(*s.at, &none)) {
            s.at++;
            s.len--;
        }
        if (a->n) {
            next = memmem(s.at, s.len, between.at, between.len);
        } else {
            for (skip = 1, next = s.at; next < s.at + s.len && !strips(*next, &none); next++) {
            }
            next = next < s.at + s.len ? next : NULL;
        }
        if (!next)
            break;
        good = append(r, node, list, s.at, (size_t)(next - s.at)) && wm_run_pay(r, node, 1);
        s.len -= (size_t)(next - s.at) + skip;
        s.at = next + skip;
        most--;
    }
    if (good && (a->n || s.len))
        good = append(r, node, list, s.at, s.len);
    if (good)
        return list;
    json_decref(list);
    return wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

static json_t *replace(struct wm_run *r, const struct wm_node *node, struct text s,
                       const struct wm_arguments *a)
{
    struct text old = argument(a, 0), new = argument(a, 1);
    struct wm_buffer out = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES);
    enum wm_status st = WM_OK;
    if (a->n < 2 || old.len == 0)
        return wm_run_fail(r, node, WM_EUNSUPPORTED, "replace without what is to be replaced and by what");
    while (st == WM_OK) {
        const char *next = memmem(s.at, s.len, old.at, old.len);
        size_t n = next ? (size_t)(next - s.at) : s.len;
        st = wm_buffer_add(&out, s.at, n);
        if (!next || st != WM_OK)
            break;
        st = wm_buffer_add(&out, new.at, new.len);
        s.at += n + old.len;
        s.len -= n + old.len;
    }
    json_t *made = st == WM_OK ? wm_run_string(r, node, out.data ? out.data : "", out.len)
                               : wm_run_fail(r, node, st, "a text that is too long");
    wm_buffer_free(&out);
    return made;
}

static json_t *boolean(bool value)
{
    return value ? json_true() : json_false();
}

static json_t *text_method(struct wm_run *r, const struct wm_node *node, struct text s, const char *name,
                           size_t len, const struct wm_arguments *a)
{
    if (wm_name_is(name, len, "strip"))
        return strip(r, node, s, a, true, true);
    if (wm_name_is(name, len, "lstrip"))
        return strip(r, node, s, a, true, false);
    if (wm_name_is(name, len, "rstrip"))
        return strip(r, node, s, a, false, true);
    if (wm_name_is(name, len, "upper"))
        return change_case(r, node, s, UPPER);
    if (wm_name_is(name, len, "lower"))
        return change_case(r, node, s, LOWER);
    if (wm_name_is(name, len, "title"))
        return change_case(r, node, s, TITLE);
    if (wm_name_is(name, len, "capitalize"))
        return change_case(r, node, s, CAPITALIZE);
    if (wm_name_is(name, len, "startswith"))
        return boolean(begins_with(s, argument(a, 0)));
    if (wm_name_is(name, len, "endswith"))
        return boolean(ends_with(s, argument(a, 0)));
    if (wm_name_is(name, len, "split"))
        return split(r, node, s, a);
    if (wm_name_is(name, len, "replace"))
        return replace(r, node, s, a);
    return wm_run_fail(r, node, WM_EUNSUPPORTED, "the method '%.*s' of a text", (int)(len < 40 ? len : 40),
                       name);
}

/* --- objects ---------------------------------------------------------------------------------------------- */

/* items(), keys() or values() as a list. */
static json_t *listed(struct wm_run *r, const struct wm_node *node, json_t *object, bool keys, bool values)
{
    json_t *list = wm_run_list(r, node), *value;
    const char *key;
    bool good = list != NULL;
    json_object_foreach(object, key, value)
    {
        json_t *pair = good && keys && values ? wm_run_list(r, node) : NULL, *into = pair ? pair : list;
        good = good && (pair || !keys || !values) && wm_run_pay(r, node, 1);
        good = good && (!keys || append(r, node, into, key, strlen(key)));
        good = good && (!values || json_array_append(into, value) == 0);
        good = good && (!pair || json_array_append(list, pair) == 0);
        json_decref(pair);
    }
    if (good)
        return list;
    json_decref(list);
    return wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

static json_t *object_method(struct wm_run *r, const struct wm_node *node, json_t *object, const char *name,
                             size_t len, const struct wm_arguments *a)
{
    struct text key = argument(a, 0);
    if (wm_name_is(name, len, "items"))
        return listed(r, node, object, true, true);
    if (wm_name_is(name, len, "keys"))
        return listed(r, node, object, true, false);
    if (wm_name_is(name, len, "values"))
        return listed(r, node, object, false, true);
    if (wm_name_is(name, len, "get")) {
        json_t *found = json_object_getn(object, key.at, key.len);
        return found ? json_incref(found) : a->n > 1 ? json_incref(a->places[1]) : json_null();
    }
    return wm_run_fail(r, node, WM_EUNSUPPORTED, "the method '%.*s' of an object", (int)(len < 40 ? len : 40),
                       name);
}

json_t *wm_run_method(struct wm_run *r, const struct wm_node *node, json_t *object, const char *name,
                      size_t len, const struct wm_arguments *a)
{
    if (json_is_string(object))
        return text_method(r, node, (struct text){json_string_value(object), json_string_length(object)},
                           name, len, a);
    if (json_is_object(object) && object != r->undefined && !wm_run_namespace(r, object))
        return object_method(r, node, object, name, len, a);
    return wm_run_fail(r, node, WM_EINVAL, "'%.*s' of what has no such method", (int)(len < 40 ? len : 40),
                       name);
}

/* --- functions -------------------------------------------------------------------------------------------- */

static json_t *raise(struct wm_run *r, const struct wm_node *node, const struct wm_arguments *a)
{
    struct text why = argument(a, 0);
    return wm_run_fail(r, node, WM_EINVAL, "it raised: %.*s", (int)(why.len < 200 ? why.len : 200), why.at);
}

static json_t *tell_time(struct wm_run *r, const struct wm_node *node, const struct wm_arguments *a)
{
    enum { MAX_FORMAT = 64 };
    char format[MAX_FORMAT + 1], text[256];
    struct text f = argument(a, 0);
    struct tm tm;
    time_t now = (time_t)r->now;
    if (f.len == 0 || f.len > MAX_FORMAT || memchr(f.at, '\0', f.len) || !gmtime_r(&now, &tm))
        return wm_run_fail(r, node, WM_EINVAL, "strftime_now takes a format of 1 to %d bytes", MAX_FORMAT);
    memcpy(format, f.at, f.len);
    format[f.len] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's own format; the output is bounded */
    size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    return wm_run_string(r, node, text, n);
}

static json_t *new_namespace(struct wm_run *r, const struct wm_node *node, const struct wm_arguments *a)
{
    enum { MAX_NAMESPACES = 64 };
    struct wm_namespace *grown = NULL, made = {0};
    if (r->n_namespaces < MAX_NAMESPACES)
        grown = realloc(r->namespaces, (r->n_namespaces + 1) * sizeof *grown);
    if (!grown)
        return wm_run_fail(r, node, WM_ELIMIT, "more than %d namespaces", MAX_NAMESPACES);
    r->namespaces = grown;
    made = (struct wm_namespace){.handle = json_object(), .contents = json_copy(a->names)};
    if (!made.handle || !made.contents) {
        json_decref(made.handle);
        json_decref(made.contents);
        return wm_run_fail(r, node, WM_ENOMEM, "no memory");
    }
    r->namespaces[r->n_namespaces++] = made;
    return json_incref(made.handle);
}

/* range(to), range(from, to), range(from, to, step) */
static json_t *range(struct wm_run *r, const struct wm_node *node, const struct wm_arguments *a)
{
    json_int_t parts[3] = {0, 0, 1};
    for (int i = 0; i < a->n && i < 3; i++) {
        if (!json_is_integer(a->places[i]) || llabs(json_integer_value(a->places[i])) > WM_TEMPLATE_COST)
            return wm_run_fail(r, node, WM_EINVAL, "range of such numbers");
        parts[a->n == 1 ? 1 : i] = json_integer_value(a->places[i]);
    }
    if (a->n < 1 || a->n > 3 || parts[2] == 0)
        return wm_run_fail(r, node, WM_EINVAL, "range takes one to three numbers, its step may not be 0");
    json_t *list = wm_run_list(r, node);
    for (json_int_t i = parts[0]; list && (parts[2] > 0 ? i < parts[1] : i > parts[1]); i += parts[2])
        if (!wm_run_pay(r, node, 1) || json_array_append_new(list, json_integer(i)) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list ? list : wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

json_t *wm_run_function(struct wm_run *r, const struct wm_node *node, const char *name, size_t len,
                        const struct wm_arguments *a)
{
    if (wm_name_is(name, len, "raise_exception"))
        return raise(r, node, a);
    if (wm_name_is(name, len, "strftime_now"))
        return tell_time(r, node, a);
    if (wm_name_is(name, len, "namespace"))
        return new_namespace(r, node, a);
    if (wm_name_is(name, len, "range"))
        return range(r, node, a);
    if (wm_name_is(name, len, "dict"))
        return json_copy(a->names);
    return wm_run_fail(r, node, WM_EUNSUPPORTED, "the function '%.*s'", (int)(len < 40 ? len : 40), name);
}

/* template_filters.c -- what may stand behind | and behind "is" in a template. One row of a table for each. */
#include <stdlib.h>
#include <string.h>

#include "engine/json_text.h"
#include "engine/template_parts.h"

/* --- arguments -------------------------------------------------------------------------------------------- */

/* The argument at that place or of that name; borrowed, NULL: not given. */
static json_t *argument(const struct wm_arguments *a, int place, const char *name)
{
    return place < a->n ? a->places[place] : json_object_get(a->names, name);
}

static const char *text_of(const json_t *value, size_t *len)
{
    *len = json_string_length(value);
    return json_string_value(value) ? json_string_value(value) : "";
}

/* --- filters ---------------------------------------------------------------------------------------------- */

typedef json_t *filter_fn(struct wm_run *r, const struct wm_node *node, json_t *v,
                          const struct wm_arguments *a);

/* Strings' methods serve as filters too. */
#define METHOD_FILTER(filter, method)                                                                        \
    static json_t *filter(struct wm_run *r, const struct wm_node *node, json_t *v,                           \
                          const struct wm_arguments *a)                                                      \
    {                                                                                                        \
        return wm_run_method(r, node, v, method, sizeof method - 1, a);                                      \
    }
METHOD_FILTER(filter_trim, "strip")
METHOD_FILTER(filter_upper, "upper")
METHOD_FILTER(filter_lower, "lower")
METHOD_FILTER(filter_title, "title")
METHOD_FILTER(filter_capitalize, "capitalize")
METHOD_FILTER(filter_replace, "replace")
METHOD_FILTER(filter_items, "items")

static json_t *filter_same(struct wm_run *r, const struct wm_node *node, json_t *v,
                           const struct wm_arguments *a)
{
    (void)r, (void)node, (void)a;
    return json_incref(v);
}

static json_t *filter_length(struct wm_run *r, const struct wm_node *node, json_t *v,
                             const struct wm_arguments *a)
{
    (void)a;
    size_t n = 0;
    if (json_is_string(v)) {
        const char *text = text_of(v, &n);
        size_t characters = 0;
        for (size_t i = 0; i < n; i++)
            characters += ((unsigned char)text[i] & 0xc0) != 0x80;
        return wm_run_pay(r, node, n) ? json_integer((json_int_t)characters) : NULL;
    }
    if (!json_is_array(v) && (!json_is_object(v) || wm_run_namespace(r, v)))
        return wm_run_fail(r, node, WM_EINVAL, "the length of what has none");
    return json_integer((json_int_t)(json_is_array(v) ? json_array_size(v) : json_object_size(v)));
}

static json_t *filter_tojson(struct wm_run *r, const struct wm_node *node, json_t *v,
                             const struct wm_arguments *a)
{
    enum { MAX_INDENT = 16 };
    json_int_t indent = json_integer_value(argument(a, 0, "indent"));
    struct wm_buffer text = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES);
    if (v == r->undefined || indent < 0 || indent > MAX_INDENT)
        return wm_run_fail(r, node, WM_EINVAL,
                           "tojson of what is not defined, or with an indentation past %d", MAX_INDENT);
    enum wm_status st = wm_json_text(v, (int)indent, &text);
    json_t *made = st == WM_OK ? wm_run_string(r, node, text.data, text.len)
                               : wm_run_fail(r, node, st, "tojson: too long or too deep");
    wm_buffer_free(&text);
    return made;
}

static json_t *filter_string(struct wm_run *r, const struct wm_node *node, json_t *v,
                             const struct wm_arguments *a)
{
    (void)a;
    struct wm_buffer text = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES);
    enum wm_status st = wm_run_show(r, v, &text);
    json_t *made = st == WM_OK ? wm_run_string(r, node, text.data ? text.data : "", text.len)
                               : wm_run_fail(r, node, st, "a text that is too long");
    wm_buffer_free(&text);
    return made;
}

static json_t *filter_int(struct wm_run *r, const struct wm_node *node, json_t *v,
                          const struct wm_arguments *a)
{
    (void)r, (void)node, (void)a;
    if (json_is_string(v))
        return json_integer(strtoll(json_string_value(v), NULL, 10));
    double real = json_real_value(v);
    if (json_is_real(v))
        return json_integer(real > -1e18 && real < 1e18 ? (json_int_t)real : 0);
    return json_integer(json_is_true(v) ? 1 : json_integer_value(v));
}

static json_t *filter_list(struct wm_run *r, const struct wm_node *node, json_t *v,
                           const struct wm_arguments *a)
{
    (void)a;
    return wm_run_elements(r, node, v);
}

static json_t *filter_join(struct wm_run *r, const struct wm_node *node, json_t *v,
                           const struct wm_arguments *a)
{
    size_t len;
    const char *between = text_of(argument(a, 0, "d"), &len);
    struct wm_buffer text = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES);
    json_t *list = wm_run_elements(r, node, v), *made = NULL;
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < json_array_size(list) && st == WM_OK; i++) {
        st = i ? wm_buffer_add(&text, between, len) : WM_OK;
        if (st == WM_OK)
            st = wm_run_show(r, json_array_get(list, i), &text);
    }
    if (list)
        made = st == WM_OK ? wm_run_string(r, node, text.data ? text.data : "", text.len)
                           : wm_run_fail(r, node, st, "a text that is too long");
    json_decref(list);
    wm_buffer_free(&text);
    return made;
}

/* The first or the last element. */
static json_t *end_of(struct wm_run *r, const struct wm_node *node, json_t *v, bool last)
{
    json_t *list = wm_run_elements(r, node, v);
    size_t n = json_array_size(list);
    json_t *made = !list ? NULL : json_incref(n ? json_array_get(list, last ? n - 1 : 0) : r->undefined);
    json_decref(list);
    return made;
}

static json_t *filter_first(struct wm_run *r, const struct wm_node *node, json_t *v,
                            const struct wm_arguments *a)
{
    (void)a;
    return end_of(r, node, v, false);
}

static json_t *filter_last(struct wm_run *r, const struct wm_node *node, json_t *v,
                           const struct wm_arguments *a)
{
    (void)a;
    return end_of(r, node, v, true);
}

static json_t *filter_reverse(struct wm_run *r, const struct wm_node *node, json_t *v,
                              const struct wm_arguments *a)
{
    (void)a;
    json_t *list = wm_run_elements(r, node, v), *made = list ? wm_run_list(r, node) : NULL;
    for (size_t n = json_array_size(list); made && n > 0; n--)
        if (!wm_run_pay(r, node, 1) || json_array_append(made, json_array_get(list, n - 1)) != 0) {
            json_decref(made);
            made = wm_run_fail(r, node, WM_ENOMEM, "no memory");
        }
    json_decref(list);
    return made;
}

/* default(value, true): also for what counts as false. */
static json_t *filter_default(struct wm_run *r, const struct wm_node *node, json_t *v,
                              const struct wm_arguments *a)
{
    json_t *other = argument(a, 0, "default_value"), *all = argument(a, 1, "boolean");
    bool replace = v == r->undefined || (all && wm_run_truth(r, all) && !wm_run_truth(r, v));
    if (!replace)
        return json_incref(v);
    return other ? json_incref(other) : wm_run_string(r, node, "", 0);
}

/* map(attribute="x"), and map("filter"). */
static json_t *filter_map(struct wm_run *r, const struct wm_node *node, json_t *v,
                          const struct wm_arguments *a)
{
    const json_t *attribute = json_object_get(a->names, "attribute");
    const json_t *filter = a->n ? a->places[0] : NULL;
    const struct wm_arguments none = {.names = a->names};
    size_t len;
    const char *name = text_of(attribute ? attribute : filter, &len);
    json_t *list = wm_run_elements(r, node, v), *made = list ? wm_run_list(r, node) : NULL;
    for (size_t i = 0; made && i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        item = attribute ? wm_run_member(r, item, name, len) : wm_run_filter(r, node, name, len, item, &none);
        if (!item || !wm_run_pay(r, node, 1) || json_array_append_new(made, item) != 0) {
            json_decref(made);
            made = wm_run_fail(r, node, WM_ENOMEM, "no memory");
        }
    }
    json_decref(list);
    return made;
}

/* selectattr(name), selectattr(name, test, argument), and rejectattr. */
static json_t *choose(struct wm_run *r, const struct wm_node *node, json_t *v, const struct wm_arguments *a,
                      bool keep)
{
    size_t len, test_len;
    const char *name = text_of(argument(a, 0, ""), &len), *test = text_of(argument(a, 1, ""), &test_len);
    const struct wm_arguments rest = {
        .places = {a->n > 2 ? a->places[2] : NULL}, .n = a->n > 2, .names = a->names};
    json_t *list = wm_run_elements(r, node, v), *made = list ? wm_run_list(r, node) : NULL;
    for (size_t i = 0; made && i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i), *member = wm_run_member(r, item, name, len);
        int is = test_len ? wm_run_test(r, node, test, test_len, member, &rest) : wm_run_truth(r, member);
        json_decref(member);
        if (is < 0 || !wm_run_pay(r, node, 1) || ((is == keep) && json_array_append(made, item) != 0)) {
            json_decref(made);
            made = wm_run_fail(r, node, WM_ENOMEM, "no memory");
        }
    }
    json_decref(list);
    return made;
}

static json_t *filter_selectattr(struct wm_run *r, const struct wm_node *node, json_t *v,
                                 const struct wm_arguments *a)
{
    return choose(r, node, v, a, true);
}

static json_t *filter_rejectattr(struct wm_run *r, const struct wm_node *node, json_t *v,
                                 const struct wm_arguments *a)
{
    return choose(r, node, v, a, false);
}

json_t *wm_run_filter(struct wm_run *r, const struct wm_node *node, const char *name, size_t len,
                      json_t *subject, const struct wm_arguments *a)
{
    static const struct {
        const char *name;
        filter_fn *run;
    } filters[] = {
        {"trim", filter_trim},
        {"length", filter_length},
        {"count", filter_length},
        {"tojson", filter_tojson},
        {"upper", filter_upper},
        {"lower", filter_lower},
        {"title", filter_title},
        {"string", filter_string},
        {"capitalize", filter_capitalize},
        {"int", filter_int},
        {"list", filter_list},
        {"join", filter_join},
        {"first", filter_first},
        {"last", filter_last},
        {"reverse", filter_reverse},
        {"default", filter_default},
        {"d", filter_default},
        {"map", filter_map},
        {"selectattr", filter_selectattr},
        {"rejectattr", filter_rejectattr},
        {"replace", filter_replace},
        {"items", filter_items},
        {"safe", filter_same},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (wm_name_is(name, len, filters[i].name))
            return filters[i].run(r, node, subject, a);
    return wm_run_fail(r, node, WM_EUNSUPPORTED, "the filter '%.*s'", (int)(len < 40 ? len : 40), name);
}

/* --- tests ------------------------------------------------------------------------------------------------ */

static bool is_scalar_number(const json_t *v)
{
    return json_is_integer(v) || json_is_real(v);
}

int wm_run_test(struct wm_run *r, const struct wm_node *node, const char *name, size_t len, const json_t *v,
                const struct wm_arguments *a)
{
    bool undefined = v == r->undefined, object = json_is_object(v) && !undefined && !wm_run_namespace(r, v);
    const struct {
        const char *name;
        bool is;
    } tests[] = {
        {"defined", !undefined},
        {"undefined", undefined},
        {"none", json_is_null(v)},
        {"string", json_is_string(v)},
        {"mapping", object},
        {"sequence", json_is_string(v) || json_is_array(v) || object},
        {"iterable", json_is_string(v) || json_is_array(v) || object || undefined},
        {"number", is_scalar_number(v) || json_is_boolean(v)},
        {"integer", json_is_integer(v)},
        {"float", json_is_real(v)},
        {"boolean", json_is_boolean(v)},
        {"true", json_is_true(v)},
        {"false", json_is_false(v)},
        {"odd", json_is_integer(v) && json_integer_value(v) % 2 != 0},
        {"even", json_is_integer(v) && json_integer_value(v) % 2 == 0},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (wm_name_is(name, len, tests[i].name))
            return tests[i].is;
    const json_t *other = a->n ? a->places[0] : NULL;
    static const char *const equals[] = {"equalto", "eq", "==", "sameas"};
    for (size_t i = 0; other && i < sizeof equals / sizeof *equals; i++)
        if (wm_name_is(name, len, equals[i]))
            return wm_run_equal(r, node, v, other);
    if (other && wm_name_is(name, len, "ne"))
        return !wm_run_equal(r, node, v, other);
    if (other && wm_name_is(name, len, "in"))
        return wm_run_in(r, node, v, other);
    wm_run_fail(r, node, WM_EUNSUPPORTED, "the test '%.*s'", (int)(len < 40 ? len : 40), name);
    return -1;
}

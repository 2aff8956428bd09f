/* template_value.c -- the values that a template works with: making them, within the limits, and looking at them. */
#include <string.h>

#include "engine/json_text.h"
#include "engine/template_parts.h"

/* --- making values ---------------------------------------------------------------------------------------- */

json_t *wm_run_string(struct wm_run *r, const struct wm_node *node, const char *text, size_t len)
{
    if (len > WM_TEMPLATE_VALUE_BYTES)
        return wm_run_fail(r, node, WM_ELIMIT, "a text longer than %d bytes", WM_TEMPLATE_VALUE_BYTES);
    if (!wm_run_pay(r, node, len))
        return NULL;
    json_t *made = json_stringn(text, len); /* fails for ill-formed UTF-8 too, as when a character is cut */
    return made ? made : wm_run_fail(r, node, WM_EINVAL, "a text that is not UTF-8");
}

static bool one_more_container(struct wm_run *r, const struct wm_node *node)
{
    if (++r->containers <= WM_TEMPLATE_CONTAINERS)
        return true;
    wm_run_fail(r, node, WM_ELIMIT, "it makes more than %d lists and objects", WM_TEMPLATE_CONTAINERS);
    return false;
}

json_t *wm_run_list(struct wm_run *r, const struct wm_node *node)
{
    json_t *made = one_more_container(r, node) ? json_array() : NULL;
    return made ? made : wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

json_t *wm_run_object(struct wm_run *r, const struct wm_node *node)
{
    json_t *made = one_more_container(r, node) ? json_object() : NULL;
    return made ? made : wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

/* --- looking at values ------------------------------------------------------------------------------------ */

json_t **wm_run_namespace(struct wm_run *r, const json_t *value)
{
    for (size_t i = 0; i < r->n_namespaces; i++)
        if (r->namespaces[i].handle == value)
            return &r->namespaces[i].contents;
    return NULL;
}

bool wm_run_truth(const struct wm_run *r, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return value != r->undefined && json_object_size(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return json_real_value(value) != 0;
    default:
        return json_is_true(value);
    }
}

bool wm_value_is_whole(const json_t *v)
{
    return json_is_integer(v) || json_is_boolean(v);
}

json_int_t wm_value_whole(const json_t *v)
{
    return json_is_boolean(v) ? json_is_true(v) : json_integer_value(v);
}

bool wm_value_is_number(const json_t *v)
{
    return wm_value_is_whole(v) || json_is_real(v);
}

double wm_value_real(const json_t *v)
{
    return json_is_real(v) ? json_real_value(v) : (double)wm_value_whole(v);
}

/* Are two containers too deep to be compared? Then the rendering ends: it has nothing left to pay with. */
static bool too_deep(struct wm_run *r, const struct wm_node *node)
{
    if (r->depth < WM_TEMPLATE_DEPTH)
        return false;
    wm_run_fail(r, node, WM_ELIMIT, "a comparison of values that are too deep");
    r->cost = 0;
    return true;
}

bool wm_run_equal(struct wm_run *r, const struct wm_node *node, const json_t *a, const json_t *b)
{
    if (!wm_run_pay(r, node, 1) || a == b)
        return a == b;
    if (wm_value_is_number(a) && wm_value_is_number(b))
        return json_is_real(a) || json_is_real(b) ? wm_value_real(a) == wm_value_real(b)
                                                  : wm_value_whole(a) == wm_value_whole(b);
    if (json_is_string(a) && json_is_string(b))
        return json_equal(a, b);
    if (json_is_array(a) && json_is_array(b)) {
        bool same = json_array_size(a) == json_array_size(b) && !too_deep(r, node);
        r->depth++;
        for (size_t i = 0; same && i < json_array_size(a); i++)
            same = wm_run_equal(r, node, json_array_get(a, i), json_array_get(b, i));
        r->depth--;
        return same;
    }
    if (!json_is_object(a) || !json_is_object(b) || a == r->undefined || b == r->undefined)
        return false;
    bool same = json_object_size(a) == json_object_size(b) && !too_deep(r, node);
    const char *key;
    json_t *value;
    r->depth++;
    json_object_foreach((json_t *)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        same = same && other && wm_run_equal(r, node, value, other);
    }
    r->depth--;
    return same;
}

bool wm_run_in(struct wm_run *r, const struct wm_node *node, const json_t *needle, const json_t *hay)
{
    if (json_is_string(hay))
        return json_is_string(needle) && wm_run_pay(r, node, json_string_length(hay)) &&
               (json_string_length(needle) == 0 ||
                memmem(json_string_value(hay), json_string_length(hay), json_string_value(needle),
                       json_string_length(needle)));
    if (json_is_object(hay))
        return json_is_string(needle) && json_object_get(hay, json_string_value(needle));
    for (size_t i = 0; i < json_array_size(hay); i++)
        if (wm_run_equal(r, node, needle, json_array_get(hay, i)))
            return true;
    return false;
}

enum wm_status wm_run_show(struct wm_run *r, const json_t *value, struct wm_buffer *out)
{
    if (value == r->undefined)
        return WM_OK;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return wm_buffer_add(out, json_string_value(value), json_string_length(value));
    case JSON_TRUE:
        return wm_buffer_puts(out, "True");
    case JSON_FALSE:
        return wm_buffer_puts(out, "False");
    case JSON_NULL:
        return wm_buffer_puts(out, "None");
    default:
        return wm_json_text(value, 0,
                            out); /* Python quotes its containers otherwise; no template should print one */
    }
}

json_t *wm_run_elements(struct wm_run *r, const struct wm_node *node, json_t *value)
{
    const char *key;
    json_t *item;
    if (json_is_array(value))
        return json_incref(value);
    if (!json_is_object(value) || wm_run_namespace(r, value))
        return wm_run_fail(r, node, WM_EINVAL, "a loop over what is neither a list nor an object");
    json_t *list = wm_run_list(r, node);
    if (!list || value == r->undefined)
        return list;
    json_object_foreach(value, key, item)
    {
        json_t *text = wm_run_string(r, node, key, strlen(key));
        if (!text || json_array_append_new(list, text) != 0) {
            json_decref(list);
            return text ? wm_run_fail(r, node, WM_ENOMEM, "no memory") : NULL;
        }
    }
    return list;
}

/* --- members ---------------------------------------------------------------------------------------------- */

json_t *wm_run_member(struct wm_run *r, json_t *object, const char *name, size_t len)
{
    json_t **contents = wm_run_namespace(r, object);
    json_t *found =
        object == r->undefined ? NULL : json_object_getn(contents ? *contents : object, name, len);
    return json_incref(found ? found : r->undefined);
}

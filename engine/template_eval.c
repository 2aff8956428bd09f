/* template_eval.c -- expressions of a template. Every function here that returns json_t * gives a new reference, or
 * NULL after a failure whose sentence has been said; exceptions say "borrowed". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/template_parts.h"

static const struct wm_node *child_of(const struct wm_run *r, const struct wm_node *node, int i)
{
    int32_t at = node->child;
    for (; i > 0 && at >= 0; i--)
        at = r->t->nodes[at].next;
    return at >= 0 ? &r->t->nodes[at] : NULL;
}

static json_t *boolean(bool value)
{
    return value ? json_true() : json_false(); /* never fail: they are constants */
}

/* --- members and slices ----------------------------------------------------------------------------------- */

/* Position `i` of `n`, negative ones from the end; false: outside. */
static bool place(json_int_t i, size_t n, size_t *out)
{
    if (i < 0)
        i += (json_int_t)n;
    *out = (size_t)i;
    return i >= 0 && (size_t)i < n;
}

static json_t *item(struct wm_run *r, const struct wm_node *node, json_t *object, const json_t *key)
{
    size_t at;
    if (object == r->undefined)
        return wm_run_fail(r, node, WM_EINVAL, "an element of what is not defined");
    if (json_is_string(key))
        return wm_run_member(r, object, json_string_value(key), json_string_length(key));
    if (json_is_array(object) && wm_value_is_whole(key))
        return json_incref(place(wm_value_whole(key), json_array_size(object), &at)
                               ? json_array_get(object, at)
                               : r->undefined);
    if (json_is_string(object) && wm_value_is_whole(key)) {
        if (!place(wm_value_whole(key), json_string_length(object), &at))
            return json_incref(r->undefined);
        return wm_run_string(r, node, json_string_value(object) + at, 1);
    }
    return json_incref(r->undefined);
}

/* A part of a slice: its value, or `fallback` where it is missing or none. */
static bool bound(struct wm_run *r, const struct wm_node *node, json_int_t fallback, json_int_t *out)
{
    json_t *value = node->kind == WM_NODE_NOTHING ? json_null() : wm_run_eval(r, node);
    bool good = value && (json_is_null(value) || wm_value_is_whole(value));
    *out = good && wm_value_is_whole(value) ? wm_value_whole(value) : fallback;
    if (value && !good)
        wm_run_fail(r, node, WM_EINVAL, "a slice by what is no whole number");
    json_decref(value);
    return good;
}

/* Clamps a bound of a slice into [low, n], counting from the end where it is negative. */
static json_int_t clamp(json_int_t i, json_int_t n, json_int_t low)
{
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > n ? n : i;
}

static json_t *slice(struct wm_run *r, const struct wm_node *node, json_t *object)
{
    json_int_t from, to, step;
    if (!bound(r, child_of(r, node, 3), 1, &step))
        return NULL;
    if (step != 1 && step != -1)
        return wm_run_fail(r, node, WM_EUNSUPPORTED, "a slice with a step other than 1 and -1");
    bool text = json_is_string(object);
    if (!text && !json_is_array(object))
        return wm_run_fail(r, node, WM_EINVAL, "a slice of what is neither a list nor a text");
    json_int_t n = (json_int_t)(text ? json_string_length(object) : json_array_size(object));
    if (!bound(r, child_of(r, node, 1), step > 0 ? 0 : n - 1, &from) ||
        !bound(r, child_of(r, node, 2), step > 0 ? n : -n - 1, &to))
        return NULL;
    from = clamp(from, n, step > 0 ? 0 : -1);
    to = clamp(to, n, step > 0 ? 0 : -1);
    from = step < 0 && from >= n ? n - 1 : from;
    if (text)
        return step < 0 ? wm_run_fail(r, node, WM_EUNSUPPORTED, "a text backwards")
                        : wm_run_string(r, node, json_string_value(object) + from,
                                        to > from ? (size_t)(to - from) : 0);
    json_t *list = wm_run_list(r, node);
    for (json_int_t i = from; list && (step > 0 ? i < to : i > to); i += step)
        if (!wm_run_pay(r, node, 1) || json_array_append(list, json_array_get(object, (size_t)i)) != 0) {
            json_decref(list);
            return wm_run_fail(r, node, WM_ENOMEM, "no memory");
        }
    return list;
}

/* --- operators -------------------------------------------------------------------------------------------- */

static json_t *joined(struct wm_run *r, const struct wm_node *node, const json_t *a, const json_t *b)
{
    struct wm_buffer text = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES);
    enum wm_status st = wm_run_show(r, a, &text);
    if (st == WM_OK)
        st = wm_run_show(r, b, &text);
    json_t *made = st == WM_OK
                       ? wm_run_string(r, node, text.data ? text.data : "", text.len)
                       : wm_run_fail(r, node, st, "a text longer than %d bytes", WM_TEMPLATE_VALUE_BYTES);
    wm_buffer_free(&text);
    return made;
}

static json_t *lists_joined(struct wm_run *r, const struct wm_node *node, const json_t *a, json_t *b)
{
    json_t *list = wm_run_list(r, node);
    if (!list)
        return NULL;
    if (!wm_run_pay(r, node, json_array_size(a) + json_array_size(b)) ||
        json_array_extend(list, (json_t *)a) != 0 || json_array_extend(list, b) != 0) {
        json_decref(list);
        return wm_run_fail(r, node, WM_ENOMEM, "no memory");
    }
    return list;
}

static json_t *divided(struct wm_run *r, const struct wm_node *node, const json_t *a, const json_t *b,
                       char sign)
{
    if (wm_value_real(b) == 0)
        return wm_run_fail(r, node, WM_EINVAL, "a division by zero");
    if (node->len == 1 && sign == '/')
        return json_real(wm_value_real(a) / wm_value_real(b));
    if (!wm_value_is_whole(a) || !wm_value_is_whole(b) || wm_value_whole(b) == -1)
        return wm_run_fail(r, node, WM_EUNSUPPORTED, "a division with remainder of such numbers");
    json_int_t quotient = wm_value_whole(a) / wm_value_whole(b), rest = wm_value_whole(a) % wm_value_whole(b);
    if (rest != 0 && (rest < 0) != (wm_value_whole(b) < 0)) { /* Python rounds down */
        quotient--;
        rest += wm_value_whole(b);
    }
    return json_integer(sign == '%' ? rest : quotient);
}

static json_t *arithmetic(struct wm_run *r, const struct wm_node *node, json_t *a, json_t *b)
{
    char sign = node->text[0];
    long long sum = 0;
    if (sign == '+' && json_is_string(a) && json_is_string(b))
        return joined(r, node, a, b);
    if (sign == '+' && json_is_array(a) && json_is_array(b))
        return lists_joined(r, node, a, b);
    if (!wm_value_is_number(a) || !wm_value_is_number(b))
        return wm_run_fail(r, node, WM_EINVAL, "'%c' between values that do not go together", sign);
    if (sign == '/' || sign == '%')
        return divided(r, node, a, b, sign);
    if (wm_value_is_whole(a) && wm_value_is_whole(b)) {
        bool over = sign == '+'   ? __builtin_saddll_overflow(wm_value_whole(a), wm_value_whole(b), &sum)
                    : sign == '-' ? __builtin_ssubll_overflow(wm_value_whole(a), wm_value_whole(b), &sum)
                                  : __builtin_smulll_overflow(wm_value_whole(a), wm_value_whole(b), &sum);
        return over ? wm_run_fail(r, node, WM_EINVAL, "a number past 63 bits") : json_integer(sum);
    }
    double result = sign == '+'   ? wm_value_real(a) + wm_value_real(b)
                    : sign == '-' ? wm_value_real(a) - wm_value_real(b)
                                  : wm_value_real(a) * wm_value_real(b);
    return isfinite(result) ? json_real(result)
                            : wm_run_fail(r, node, WM_EINVAL, "a number that is not finite");
}

static json_t *ordered(struct wm_run *r, const struct wm_node *node, const json_t *a, const json_t *b)
{
    int order;
    if (wm_value_is_number(a) && wm_value_is_number(b))
        order = wm_value_real(a) < wm_value_real(b) ? -1 : wm_value_real(a) > wm_value_real(b);
    else if (json_is_string(a) && json_is_string(b))
        order = strcmp(json_string_value(a), json_string_value(b)); /* UTF-8 sorts as code points do */
    else
        return wm_run_fail(r, node, WM_EINVAL, "a comparison of values that have no order");
    bool or_equal = node->len == 2;
    return boolean((or_equal && order == 0) || (node->text[0] == '<' ? order < 0 : order > 0));
}

static json_t *binary(struct wm_run *r, const struct wm_node *node)
{
    json_t *a = wm_run_eval(r, child_of(r, node, 0)), *b = NULL, *made = NULL;
    bool is_or = wm_name_is(node->text, node->len, "or");
    if (!a)
        return NULL;
    if (is_or || wm_name_is(node->text, node->len, "and")) {
        if (wm_run_truth(r, a) == is_or)
            return a;
        json_decref(a);
        return wm_run_eval(r, child_of(r, node, 1));
    }
    b = wm_run_eval(r, child_of(r, node, 1));
    if (!b)
        goto done;
    if (wm_name_is(node->text, node->len, "=="))
        made = boolean(wm_run_equal(r, node, a, b));
    else if (wm_name_is(node->text, node->len, "!="))
        made = boolean(!wm_run_equal(r, node, a, b));
    else if (wm_name_is(node->text, node->len, "in") || node->text[0] == 'n')
        made = boolean(wm_run_in(r, node, a, b) == (node->text[0] == 'i'));
    else if (node->text[0] == '<' || node->text[0] == '>')
        made = ordered(r, node, a, b);
    else if (node->text[0] == '~')
        made = joined(r, node, a, b);
    else
        made = arithmetic(r, node, a, b);
done:
    json_decref(a);
    json_decref(b);
    return made;
}

static json_t *unary(struct wm_run *r, const struct wm_node *node)
{
    json_t *value = wm_run_eval(r, child_of(r, node, 0)), *made = NULL;
    if (!value)
        return NULL;
    if (node->text[0] == 'n')
        made = boolean(!wm_run_truth(r, value));
    else if (!wm_value_is_number(value) || (wm_value_is_whole(value) && wm_value_whole(value) < -INT64_MAX))
        wm_run_fail(r, node, WM_EINVAL, "a sign before what is no number");
    else if (node->text[0] == '+')
        made = json_incref(value);
    else
        made = wm_value_is_whole(value) ? json_integer(-wm_value_whole(value))
                                        : json_real(-wm_value_real(value));
    json_decref(value);
    return made;
}

/* --- calls ------------------------------------------------------------------------------------------------ */

static void free_arguments(struct wm_arguments *a)
{
    for (int i = 0; i < a->n; i++)
        json_decref(a->places[i]);
    json_decref(a->names);
}

/* Evaluates the arguments from this child on. */
static bool read_arguments(struct wm_run *r, const struct wm_node *node, struct wm_arguments *a)
{
    *a = (struct wm_arguments){.names = wm_run_object(r, node)};
    for (const struct wm_node *at = child_of(r, node, 1); a->names && at;
         at = at->next >= 0 ? &r->t->nodes[at->next] : NULL) {
        json_t *value = wm_run_eval(r, at->kind == WM_NODE_KEYWORD ? child_of(r, at, 0) : at);
        if (!value)
            return false;
        if (at->kind == WM_NODE_KEYWORD) {
            if (json_object_setn_new(a->names, at->text, at->len, value) != 0)
                return wm_run_fail(r, at, WM_ENOMEM, "no memory");
        } else if (a->n == (int)(sizeof a->places / sizeof *a->places)) {
            json_decref(value);
            return wm_run_fail(r, at, WM_EUNSUPPORTED, "so many arguments");
        } else {
            a->places[a->n++] = value;
        }
    }
    return a->names != NULL;
}

static json_t *call(struct wm_run *r, const struct wm_node *node)
{
    const struct wm_node *callee = child_of(r, node, 0);
    struct wm_arguments a;
    json_t *made = NULL, *object = NULL;
    bool good = read_arguments(r, node, &a);
    if (good && callee->kind == WM_NODE_ATTRIBUTE) {
        object = wm_run_eval(r, child_of(r, callee, 0));
        made = object ? wm_run_method(r, callee, object, callee->text, callee->len, &a) : NULL;
    } else if (good && callee->kind == WM_NODE_NAME) {
        const json_t *macro = json_object_getn(r->macros, callee->text, callee->len);
        made = macro ? wm_run_macro(r, node, &r->t->nodes[json_integer_value(macro)], &a)
                     : wm_run_function(r, callee, callee->text, callee->len, &a);
    } else if (good) {
        wm_run_fail(r, node, WM_EUNSUPPORTED, "a call of what has no name");
    }
    json_decref(object);
    free_arguments(&a);
    return made;
}

/* A filter or a test. */
static json_t *named(struct wm_run *r, const struct wm_node *node)
{
    json_t *subject = wm_run_eval(r, child_of(r, node, 0)), *made = NULL;
    struct wm_arguments a;
    if (!subject)
        return NULL;
    if (!read_arguments(r, node, &a)) {
        made = NULL;
    } else if (node->kind == WM_NODE_FILTER) {
        made = wm_run_filter(r, node, node->text, node->len, subject, &a);
    } else {
        int is = wm_run_test(r, node, node->text, node->len, subject, &a);
        made = is < 0 ? NULL : boolean(is);
    }
    free_arguments(&a);
    json_decref(subject);
    return made;
}

/* --- the others ------------------------------------------------------------------------------------------- */

json_t *wm_run_lookup(struct wm_run *r, const char *name, size_t len)
{
    for (int i = r->n_scopes - 1; i >= 0; i--) {
        json_t *found = i == 0 || i >= r->base ? json_object_getn(r->scopes[i], name, len) : NULL;
        if (found)
            return found;
    }
    return r->undefined;
}

static json_t *number(struct wm_run *r, const struct wm_node *node)
{
    char digits[64] = {0};
    if (node->len >= sizeof digits)
        return wm_run_fail(r, node, WM_EINVAL, "a number of %zu digits", node->len);
    memcpy(digits, node->text, node->len);
    return node->kind == WM_NODE_INT ? json_integer(strtoll(digits, NULL, 10))
                                     : json_real(strtod(digits, NULL));
}

/* List or dictionary. */
static json_t *container(struct wm_run *r, const struct wm_node *node)
{
    bool list = node->kind == WM_NODE_LIST, good = true;
    json_t *made = list ? wm_run_list(r, node) : wm_run_object(r, node);
    for (int32_t at = node->child; made && good && at >= 0; at = r->t->nodes[at].next) {
        json_t *key = list ? NULL : wm_run_eval(r, &r->t->nodes[at]);
        at = list ? at : r->t->nodes[at].next;
        json_t *value = list || key ? wm_run_eval(r, &r->t->nodes[at]) : NULL;
        if (value && key && !json_is_string(key))
            wm_run_fail(r, node, WM_EUNSUPPORTED, "a key that is no text");
        good = value && (list || json_is_string(key)) &&
               (list ? json_array_append(made, value)
                     : json_object_setn(made, json_string_value(key), json_string_length(key), value)) == 0;
        json_decref(key);
        json_decref(value);
    }
    if (made && !good) {
        json_decref(made);
        return wm_run_fail(r, node, WM_ENOMEM, "no memory");
    }
    return made;
}

static json_t *choice(struct wm_run *r, const struct wm_node *node)
{
    json_t *condition = wm_run_eval(r, child_of(r, node, 1));
    if (!condition)
        return NULL;
    const struct wm_node *chosen = child_of(r, node, wm_run_truth(r, condition) ? 0 : 2);
    json_decref(condition);
    return chosen->kind == WM_NODE_NOTHING ? json_incref(r->undefined) : wm_run_eval(r, chosen);
}

/* .name, [key], [from:to] */
static json_t *part(struct wm_run *r, const struct wm_node *node)
{
    json_t *object = wm_run_eval(r, child_of(r, node, 0)), *key = NULL, *made = NULL;
    if (!object)
        return NULL;
    if (node->kind == WM_NODE_ATTRIBUTE)
        made = object == r->undefined ? wm_run_fail(r, node, WM_EINVAL, "'%.*s' of what is not defined",
                                                    (int)node->len, node->text)
                                      : wm_run_member(r, object, node->text, node->len);
    else if (node->kind == WM_NODE_SLICE)
        made = slice(r, node, object);
    else if ((key = wm_run_eval(r, child_of(r, node, 1))))
        made = item(r, node, object, key);
    json_decref(key);
    json_decref(object);
    return made;
}

static json_t *evaluate(struct wm_run *r, const struct wm_node *node)
{
    switch (node->kind) {
    case WM_NODE_NAME:
        return json_incref(wm_run_lookup(r, node->text, node->len));
    case WM_NODE_STRING:
        return wm_run_string(r, node, node->text, node->len);
    case WM_NODE_INT:
    case WM_NODE_REAL:
        return number(r, node);
    case WM_NODE_TRUE:
    case WM_NODE_FALSE:
        return boolean(node->kind == WM_NODE_TRUE);
    case WM_NODE_NONE:
        return json_null();
    case WM_NODE_LIST:
    case WM_NODE_DICT:
        return container(r, node);
    case WM_NODE_ATTRIBUTE:
    case WM_NODE_ITEM:
    case WM_NODE_SLICE:
        return part(r, node);
    case WM_NODE_CALL:
        return call(r, node);
    case WM_NODE_FILTER:
    case WM_NODE_TEST:
        return named(r, node);
    case WM_NODE_UNARY:
        return unary(r, node);
    case WM_NODE_BINARY:
        return binary(r, node);
    case WM_NODE_CHOICE:
        return choice(r, node);
    default:
        return wm_run_fail(r, node, WM_EINVAL, "this is no value");
    }
}

json_t *wm_run_eval(struct wm_run *r, const struct wm_node *node)
{
    json_t *made = NULL;
    if (!wm_run_pay(r, node, 1))
        return NULL;
    if (++r->depth > 2 * WM_TEMPLATE_DEPTH)
        wm_run_fail(r, node, WM_ELIMIT, "calls too deep");
    else
        made = evaluate(r, node);
    r->depth--;
    return made ? made : wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

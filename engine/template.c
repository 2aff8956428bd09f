/* template.c -- see template.h. Statements are run here; what they are made of is in the files beside.
 *
 * WHY     A model's template says how its conversations were written in training. Ours must agree, and the only way
 *         to know is to run it (chat_check.c). It is a program from a stranger.
 *
 * HOW     Words (template_lex.c) become a tree once (template_parse.c), which is walked at each rendering: statements
 *         here, expressions in template_eval.c, values in template_value.c, filters and tests in template_filters.c,
 *         methods and functions in template_methods.c. Values are jansson's. Only namespaces change once made, and
 *         their contents lie outside of them: no value can hold itself.
 *
 *         The language is Jinja as transformers sets it up: set, for with loop and its conditions, if, macro, break,
 *         continue, the usual filters, tests and methods; no import, include, call or recursion of loops. What is
 *         missing is refused by name.
 *
 * LIMITS  A template of 1 MiB and 65,536 parts, 100 deep; a rendering of 2^22 units of work, 4,096 lists and objects,
 *         texts of 1 MiB, calls 100 deep. Past one it is WM_ELIMIT, wherever it happens.
 */
#include "engine/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/template_parts.h"

enum { RUN_DEPTH = 4 * WM_TEMPLATE_DEPTH }; /* statements and expressions within each other */

/* --- a template ------------------------------------------------------------------------------------------- */

/* A copy whose lines end in \n alone, without the last line end: both as Jinja does. Returns its length. */
static size_t copy_source(const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
            continue;
        out[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    n -= n > 0 && out[n - 1] == '\n';
    out[n] = '\0';
    return n;
}

enum wm_status wm_template_new(const char *name, const char *text, size_t len, struct wm_template **out,
                               struct wm_error *err)
{
    if (len > WM_TEMPLATE_BYTES)
        return wm_fail(err, WM_ELIMIT, "%s: a template of %zu bytes; %d are taken", name, len,
                       WM_TEMPLATE_BYTES);
    struct wm_template *t = calloc(1, sizeof *t);
    if (t) {
        t->name = strdup(name);
        t->source = malloc(len + 1);
    }
    if (!t || !t->name || !t->source) {
        wm_template_free(t);
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its template", name);
    }
    enum wm_status st = wm_template_parse(t, copy_source(text, len, t->source), err);
    if (st == WM_OK)
        *out = t;
    else
        wm_template_free(t);
    return st;
}

void wm_template_free(struct wm_template *t)
{
    if (!t)
        return;
    free(t->name);
    free(t->source);
    free(t->nodes);
    free(t);
}

/* --- a rendering ------------------------------------------------------------------------------------------ */

json_t *wm_run_fail(struct wm_run *r, const struct wm_node *node, enum wm_status st, const char *format, ...)
{
    char what[WM_ERROR_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    wm_fail(r->err, st, "%s: line %d: %s", r->t->name, node->line, what);
    return NULL;
}

bool wm_run_pay(struct wm_run *r, const struct wm_node *node, size_t units)
{
    if (r->cost >= 0 && units <= (size_t)r->cost) {
        r->cost -= (int64_t)units;
        return true;
    }
    r->cost = 0;
    wm_run_fail(r, node, WM_ELIMIT, "the template takes too long");
    return false;
}

static const struct wm_node *at(const struct wm_run *r, int32_t node)
{
    return &r->t->nodes[node];
}

static bool push_scope(struct wm_run *r, const struct wm_node *node)
{
    if (r->n_scopes == WM_TEMPLATE_DEPTH)
        return wm_run_fail(r, node, WM_ELIMIT, "loops and calls too deep");
    json_t *scope = json_object();
    if (!scope)
        return wm_run_fail(r, node, WM_ENOMEM, "no memory");
    r->scopes[r->n_scopes++] = scope;
    return true;
}

static void pop_scope(struct wm_run *r)
{
    json_decref(r->scopes[--r->n_scopes]);
}

/* Takes `value`, which may be NULL after a failure. */
static bool assign(struct wm_run *r, const struct wm_node *node, const char *name, size_t len, json_t *value)
{
    if (!value)
        return false;
    if (json_object_setn_new(r->scopes[r->n_scopes - 1], name, len, value) == 0)
        return true;
    return wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

static bool print(struct wm_run *r, const struct wm_node *node)
{
    json_t *value = wm_run_eval(r, at(r, node->child));
    size_t before = r->out->len;
    enum wm_status st = value ? wm_run_show(r, value, r->out) : WM_OK;
    bool good = value && st == WM_OK && wm_run_pay(r, node, r->out->len - before);
    if (st != WM_OK)
        wm_run_fail(r, node, st, "it writes more than %zu bytes", r->out->max);
    json_decref(value);
    return good;
}

static bool set(struct wm_run *r, const struct wm_node *node)
{
    json_t *value = wm_run_eval(r, at(r, node->child));
    if (node->last == node->child)
        return assign(r, node, node->text, node->len, value);
    const struct wm_node *attribute = at(r, node->last);
    json_t **contents = value ? wm_run_namespace(r, wm_run_lookup(r, node->text, node->len)) : NULL;
    if (contents && json_object_setn(*contents, attribute->text, attribute->len, value) == 0) {
        json_decref(value);
        return true;
    }
    if (value)
        wm_run_fail(r, node, WM_EINVAL, "'%.*s' is no namespace, so its parts cannot be set", (int)node->len,
                    node->text);
    json_decref(value);
    return false;
}

/* Runs statements with their output as a new text. */
static json_t *captured(struct wm_run *r, const struct wm_node *body)
{
    struct wm_buffer text = WM_BUFFER(WM_TEMPLATE_VALUE_BYTES), *out = r->out;
    r->out = &text;
    bool good = wm_run_statement(r, body);
    r->out = out;
    json_t *made = good ? wm_run_string(r, body, text.data ? text.data : "", text.len) : NULL;
    wm_buffer_free(&text);
    return made;
}

static bool if_else(struct wm_run *r, const struct wm_node *node)
{
    const struct wm_node *condition = at(r, node->child), *body = at(r, condition->next);
    json_t *value = wm_run_eval(r, condition);
    bool good = value != NULL;
    if (good)
        good = wm_run_truth(r, value) ? wm_run_statement(r, body) : wm_run_statement(r, at(r, body->next));
    json_decref(value);
    return good;
}

/* --- loops ------------------------------------------------------------------------------------------------ */

/* The parts of a loop, in the order of the tree. */
struct loop {
    const struct wm_node *names, *condition, *body, *otherwise;
    json_t *items;
};

/* Gives the loop's names their values: one name the item itself, several its elements. */
static bool unpack(struct wm_run *r, const struct loop *l, json_t *item)
{
    const struct wm_node *name = at(r, l->names->child);
    if (name->next < 0)
        return assign(r, name, name->text, name->len, json_incref(item));
    size_t i = 0;
    for (int32_t n = l->names->child; n >= 0; n = at(r, n)->next, i++) {
        json_t *part = json_array_get(item, i);
        if (!part)
            return wm_run_fail(r, name, WM_EINVAL, "an element has fewer parts than the loop has names");
        if (!assign(r, name, at(r, n)->text, at(r, n)->len, json_incref(part)))
            return false;
    }
    return true;
}

/* Those items for which the loop's condition holds. */
static bool filter(struct wm_run *r, struct loop *l)
{
    json_t *kept = wm_run_list(r, l->condition), *item;
    size_t i;
    bool good = kept != NULL && push_scope(r, l->condition);
    if (!good) {
        json_decref(kept);
        return false;
    }
    json_array_foreach(l->items, i, item)
    {
        json_t *is = good && unpack(r, l, item) ? wm_run_eval(r, l->condition) : NULL;
        good = is && (!wm_run_truth(r, is) || json_array_append(kept, item) == 0);
        json_decref(is);
    }
    pop_scope(r);
    json_decref(l->items);
    l->items = kept;
    return good;
}

/* What a template knows as `loop`. */
static json_t *loop_value(const struct loop *l, size_t i)
{
    size_t n = json_array_size(l->items);
    json_t *value =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:b,s:b}", "index", (json_int_t)i + 1, "index0", (json_int_t)i,
                  "revindex", (json_int_t)(n - i), "revindex0", (json_int_t)(n - i) - 1, "length",
                  (json_int_t)n, "first", i == 0, "last", i + 1 == n);
    if (value && i > 0)
        json_object_set(value, "previtem", json_array_get(l->items, i - 1));
    if (value && i + 1 < n)
        json_object_set(value, "nextitem", json_array_get(l->items, i + 1));
    return value;
}

static bool turn(struct wm_run *r, const struct loop *l, size_t i)
{
    static const char name[] = "loop";
    if (!wm_run_pay(r, l->body, 1) || !push_scope(r, l->body))
        return false;
    json_t *value = loop_value(l, i);
    bool good = value ? assign(r, l->body, name, sizeof name - 1, value)
                      : wm_run_fail(r, l->body, WM_ENOMEM, "no memory") != NULL;
    good = good && unpack(r, l, json_array_get(l->items, i)) && wm_run_statement(r, l->body);
    pop_scope(r);
    return good;
}

static bool for_loop(struct wm_run *r, const struct wm_node *node)
{
    struct loop l = {.names = at(r, node->child)};
    const struct wm_node *sequence = at(r, l.names->next);
    l.condition = at(r, sequence->next);
    l.body = at(r, l.condition->next);
    l.otherwise = at(r, l.body->next);
    json_t *value = wm_run_eval(r, sequence);
    l.items = value ? wm_run_elements(r, node, value) : NULL;
    json_decref(value);
    bool good = l.items && (l.condition->kind == WM_NODE_NOTHING || filter(r, &l));
    for (size_t i = 0; good && i < json_array_size(l.items) && r->flow != WM_RUN_BREAK; i++) {
        good = turn(r, &l, i);
        r->flow = r->flow == WM_RUN_CONTINUE ? WM_RUN_ON : r->flow;
    }
    r->flow = WM_RUN_ON;
    if (good && json_array_size(l.items) == 0)
        good = wm_run_statement(r, l.otherwise);
    json_decref(l.items);
    return good;
}

/* --- macros ----------------------------------------------------------------------------------------------- */

static bool define(struct wm_run *r, const struct wm_node *node)
{
    json_t *place = json_integer(node - r->t->nodes);
    if (place && json_object_setn_new(r->macros, node->text, node->len, place) == 0)
        return true;
    return wm_run_fail(r, node, WM_ENOMEM, "no memory");
}

/* Gives each parameter its argument, by place or by name, or its default. */
static bool bind(struct wm_run *r, const struct wm_node *macro, const struct wm_arguments *a)
{
    int place = 0;
    for (int32_t i = at(r, macro->child)->child; i >= 0; i = at(r, i)->next, place++) {
        const struct wm_node *parameter = at(r, i), *other = at(r, parameter->child);
        json_t *value =
            place < a->n ? a->places[place] : json_object_getn(a->names, parameter->text, parameter->len);
        value = value                            ? json_incref(value)
                : other->kind == WM_NODE_NOTHING ? json_incref(r->undefined)
                                                 : wm_run_eval(r, other);
        if (!assign(r, parameter, parameter->text, parameter->len, value))
            return false;
    }
    return true;
}

json_t *wm_run_macro(struct wm_run *r, const struct wm_node *node, const struct wm_node *macro,
                     const struct wm_arguments *a)
{
    int base = r->base;
    if (!push_scope(r, node))
        return NULL;
    r->base = r->n_scopes - 1;
    json_t *made = bind(r, macro, a) ? captured(r, at(r, macro->last)) : NULL;
    r->flow = WM_RUN_ON;
    r->base = base;
    pop_scope(r);
    return made;
}

/* --- any statement ---------------------------------------------------------------------------------------- */

static bool block(struct wm_run *r, const struct wm_node *node)
{
    bool good = true;
    for (int32_t i = node->child; good && i >= 0 && r->flow == WM_RUN_ON; i = at(r, i)->next)
        good = wm_run_statement(r, at(r, i));
    return good;
}

static bool run(struct wm_run *r, const struct wm_node *node)
{
    enum wm_status st;
    switch (node->kind) {
    case WM_NODE_BLOCK:
        return block(r, node);
    case WM_NODE_DATA:
        st = wm_buffer_add(r->out, node->text, node->len);
        return st == WM_OK || wm_run_fail(r, node, st, "it writes more than %zu bytes", r->out->max);
    case WM_NODE_PRINT:
        return print(r, node);
    case WM_NODE_SET:
        return set(r, node);
    case WM_NODE_SET_BLOCK:
        return assign(r, node, node->text, node->len, captured(r, at(r, node->child)));
    case WM_NODE_FOR:
        return for_loop(r, node);
    case WM_NODE_IF:
        return if_else(r, node);
    case WM_NODE_MACRO:
        return define(r, node);
    case WM_NODE_BREAK:
        r->flow = WM_RUN_BREAK;
        return true;
    case WM_NODE_CONTINUE:
        r->flow = WM_RUN_CONTINUE;
        return true;
    default:
        return true; /* NOTHING: an else that is not there */
    }
}

bool wm_run_statement(struct wm_run *r, const struct wm_node *node)
{
    if (!wm_run_pay(r, node, 1 + (node->kind == WM_NODE_DATA ? node->len : 0)))
        return false;
    bool good =
        ++r->depth <= RUN_DEPTH ? run(r, node) : wm_run_fail(r, node, WM_ELIMIT, "blocks too deep") != NULL;
    r->depth--;
    return good;
}

enum wm_status wm_template_render(const struct wm_template *t, const json_t *variables, int64_t now,
                                  struct wm_buffer *out, struct wm_error *err)
{
    struct wm_error own = WM_ERROR_INIT;
    struct wm_run r = {.t = t, .err = &own, .out = out, .now = now, .cost = WM_TEMPLATE_COST};
    r.macros = json_object();
    r.undefined = json_object();
    r.scopes[r.n_scopes++] = json_copy((json_t *)variables);
    if (!r.macros || !r.undefined || !r.scopes[0])
        wm_fail(&own, WM_ENOMEM, "%s: no memory to run its template", t->name);
    else
        (void)wm_run_statement(&r, &t->nodes[t->root]);
    while (r.n_scopes > 0)
        pop_scope(&r);
    for (size_t i = 0; i < r.n_namespaces; i++) {
        json_decref(r.namespaces[i].handle);
        json_decref(r.namespaces[i].contents);
    }
    free(r.namespaces);
    json_decref(r.macros);
    json_decref(r.undefined);
    return own.code == WM_OK ? WM_OK : wm_fail(err, own.code, "%s", own.text);
}

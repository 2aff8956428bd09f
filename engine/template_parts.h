/* template_parts.h -- between the files of the template interpreter: words, the tree, values. See template.c. */
#ifndef WM_ENGINE_TEMPLATE_PARTS_H
#define WM_ENGINE_TEMPLATE_PARTS_H

#include <stdbool.h>

#include "engine/template.h"

enum {
    WM_TEMPLATE_BYTES = 1 << 20, /* of a template */
    WM_TEMPLATE_NODES = 1 << 16, /* of its tree */
    WM_TEMPLATE_DEPTH = 100,     /* of expressions and blocks within each other, of calls */
    WM_TEMPLATE_COST = 1 << 22,  /* of one rendering: a unit for each node visited, byte and element made */
    WM_TEMPLATE_CONTAINERS =
        4096, /* lists and objects made; also bounds how deep they lie within each other */
    WM_TEMPLATE_VALUE_BYTES = 1 << 20 /* of one text */
};

/* --- words: template_lex.c -------------------------------------------------------------------------------- */

enum wm_word_kind {
    WM_WORD_END,       /* of the template */
    WM_WORD_DATA,      /* text outside of tags */
    WM_WORD_BLOCK,     /* {% */
    WM_WORD_BLOCK_END, /* %} */
    WM_WORD_PRINT,     /* {{ */
    WM_WORD_PRINT_END, /* }} */
    WM_WORD_NAME,
    WM_WORD_STRING, /* escapes resolved */
    WM_WORD_INT,
    WM_WORD_REAL,
    WM_WORD_SIGN, /* an operator or a bracket */
    WM_WORD_BAD
};

struct wm_words {
    char *at, *end; /* what is left; changed in place where a string has escapes */
    int line, brackets;
    char closes;     /* of the tag we are in: '%', '}' or 0: in none */
    bool line_start; /* the next data begins a line */
    /* the word we stand at */
    enum wm_word_kind kind;
    const char *text;
    size_t len;
};

/* Moves to the next word. */
void wm_words_next(struct wm_words *w);

/* --- the tree: template_parse.c --------------------------------------------------------------------------- */

enum wm_node_kind {
    /* statements */
    WM_NODE_BLOCK, /* children in order */
    WM_NODE_DATA,  /* text */
    WM_NODE_PRINT, /* expression */
    WM_NODE_SET,   /* text = name; value; or, of a namespace: value, ATTRIBUTE */
    WM_NODE_SET_BLOCK,
    WM_NODE_FOR,   /* BLOCK of NAMEs, sequence, condition, body, else; what is missing is NOTHING */
    WM_NODE_IF,    /* condition, body, else or NOTHING */
    WM_NODE_MACRO, /* text = name; BLOCK of KEYWORDs (default or NOTHING), body */
    WM_NODE_BREAK,
    WM_NODE_CONTINUE,
    /* expressions */
    WM_NODE_NOTHING,
    WM_NODE_NAME,
    WM_NODE_STRING,
    WM_NODE_INT,
    WM_NODE_REAL,
    WM_NODE_TRUE,
    WM_NODE_FALSE,
    WM_NODE_NONE,
    WM_NODE_LIST,
    WM_NODE_DICT,      /* key, value, key, value ... */
    WM_NODE_ATTRIBUTE, /* object; text = name */
    WM_NODE_ITEM,      /* object, key */
    WM_NODE_SLICE,     /* object, from, to, step, or NOTHING */
    WM_NODE_CALL,      /* callee, arguments */
    WM_NODE_KEYWORD,   /* text = name; value */
    WM_NODE_FILTER,    /* text = name; subject, arguments */
    WM_NODE_TEST,      /* text = name; subject, arguments */
    WM_NODE_UNARY,     /* text = operator */
    WM_NODE_BINARY,    /* text = operator */
    WM_NODE_CHOICE     /* value, condition, other value or NOTHING */
};

struct wm_node {
    enum wm_node_kind kind;
    int line;
    const char *text; /* within the template's own copy */
    size_t len;
    int32_t child, last, next; /* first and last child, next sibling; -1: none */
};

struct wm_template {
    char *name;
    char *source;
    struct wm_node *nodes;
    int32_t n_nodes, room, root;
};

enum wm_status wm_template_parse(struct wm_template *t, size_t len, struct wm_error *err);

/* --- values ----------------------------------------------------------------------------------------------- */

/* Values are jansson's; two kinds stand beside them, told apart by identity: `undefined`, and handles of namespaces,
 * whose contents lie here and not within the handle, so that no value can hold itself. */
struct wm_namespace {
    json_t *handle, *contents;
};

struct wm_run {
    const struct wm_template *t;
    struct wm_error *err;
    struct wm_buffer *out;
    json_t *scopes[WM_TEMPLATE_DEPTH]; /* names, innermost last */
    int n_scopes, base;                /* a macro sees scopes[0] and those from `base` on */
    json_t *macros;                    /* name: number of its node */
    json_t *undefined;
    struct wm_namespace *namespaces;
    size_t n_namespaces;
    int64_t now;
    int64_t cost;
    int containers, depth;
    enum { WM_RUN_ON, WM_RUN_BREAK, WM_RUN_CONTINUE } flow;
};

/* Arguments of a call, a filter or a test: values by place, and by name. Borrowed. */
struct wm_arguments {
    json_t *places[8];
    int n;
    json_t *names; /* an object */
};

/* A sentence about this node; returns NULL, so that an evaluation can end with it. */
json_t *wm_run_fail(struct wm_run *r, const struct wm_node *node, enum wm_status st, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Counts `units` of work; false: too much, and a sentence was said. */
bool wm_run_pay(struct wm_run *r, const struct wm_node *node, size_t units);

/* A value; new, or NULL after a failure. template_eval.c */
json_t *wm_run_eval(struct wm_run *r, const struct wm_node *node);

/* template_value.c. Whole numbers are integers and, as in Python, true and false. */
bool wm_value_is_whole(const json_t *v);
json_int_t wm_value_whole(const json_t *v);
bool wm_value_is_number(const json_t *v);
double wm_value_real(const json_t *v);
json_t *wm_run_lookup(struct wm_run *r, const char *name,
                      size_t len); /* borrowed, `undefined` when there is none */
json_t *wm_run_member(struct wm_run *r, json_t *object, const char *name,
                      size_t len);                                /* new; of any object, or undefined */
json_t **wm_run_namespace(struct wm_run *r, const json_t *value); /* its contents, or NULL: not one */
bool wm_run_truth(const struct wm_run *r, const json_t *value);
bool wm_run_equal(struct wm_run *r, const struct wm_node *node, const json_t *a, const json_t *b);
bool wm_run_in(struct wm_run *r, const struct wm_node *node, const json_t *needle, const json_t *hay);
json_t *wm_run_string(struct wm_run *r, const struct wm_node *node, const char *text, size_t len);
json_t *wm_run_list(struct wm_run *r, const struct wm_node *node);
json_t *wm_run_object(struct wm_run *r, const struct wm_node *node);
enum wm_status wm_run_show(struct wm_run *r, const json_t *value,
                           struct wm_buffer *out); /* as Python's str() */

/* The elements that `for` would see: a new list, or NULL. */
json_t *wm_run_elements(struct wm_run *r, const struct wm_node *node, json_t *value);

/* Runs statements. false: a failure. template.c */
bool wm_run_statement(struct wm_run *r, const struct wm_node *node);
json_t *wm_run_macro(struct wm_run *r, const struct wm_node *call, const struct wm_node *macro,
                     const struct wm_arguments *a);

/* template_filters.c, template_methods.c */
json_t *wm_run_filter(struct wm_run *r, const struct wm_node *node, const char *name, size_t len,
                      json_t *subject, const struct wm_arguments *a);
int wm_run_test(struct wm_run *r, const struct wm_node *node, const char *name, size_t len,
                const json_t *subject, const struct wm_arguments *a); /* -1: a failure */
json_t *wm_run_method(struct wm_run *r, const struct wm_node *node, json_t *object, const char *name,
                      size_t len, const struct wm_arguments *a);
json_t *wm_run_function(struct wm_run *r, const struct wm_node *node, const char *name, size_t len,
                        const struct wm_arguments *a);

static inline bool wm_name_is(const char *name, size_t len, const char *is)
{
    size_t i = 0;
    while (i < len && is[i] && is[i] == name[i])
        i++;
    return i == len && is[i] == '\0';
}

#endif

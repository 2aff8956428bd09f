/* settings_tree.c -- YAML text as a small tree in which every node knows its line.
 *
 * WHY     An error that names a line must come from something that still knows lines. libyaml's events do; what is
 *         built here keeps them, and nothing of YAML that settings have no use for.
 *
 * HOW     libyaml's event parser, and a stack of open maps and lists. A map's entry is a child with a key.
 *
 * ALWAYS  (1) Aliases are refused, so that the tree is never larger than the file: no "billion laughs", no cycles.
 *         (2) One document; keys are plain words; no NUL inside a text.
 *         (3) Every byte of a text is wiped before it is freed: a settings file may hold secrets.
 *
 * LIMITS  WM_TREE_DEPTH levels, WM_TREE_NODES nodes. The size of the text is bounded by the caller. libyaml's own
 *         buffers are not wiped: a secret in a file of its own never passes through them.
 */
#include "gateway/settings_parts.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct builder {
    struct wm_tree *open[WM_TREE_DEPTH]; /* the maps and lists we are inside of, outermost first */
    int depth, nodes;
    struct wm_tree *root;
    char *key; /* of the entry whose value comes next */
    int key_line;
    struct wm_findings_list *findings;
};

static enum wm_status refuse(struct builder *b, enum wm_status st, int line, const char *what)
{
    wm_finding_add(b->findings, WM_FINDING_ERROR, line, "%s", what);
    return st;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool wants_key(const struct builder *b)
{
    return b->depth > 0 && b->open[b->depth - 1]->kind == WM_TREE_MAP && !b->key;
}

/* A node in the place where the parser stands. */
static enum wm_status place(struct builder *b, enum wm_tree_kind kind, int line, struct wm_tree **out)
{
    if (++b->nodes > WM_TREE_NODES)
        return refuse(b, WM_ELIMIT, line, "too many values for a settings file; is this the right file?");
    if (wants_key(b))
        return refuse(b, WM_EFORMAT, line, "a list or a map stands where a key must; write KEY: VALUE");
    struct wm_tree *node = calloc(1, sizeof *node);
    if (!node)
        return refuse(b, WM_ENOMEM, line, "out of memory; free some and check again");
    node->kind = kind;
    node->line = b->key ? b->key_line : line;
    node->key = b->key;
    b->key = NULL;
    if (b->depth == 0) {
        b->root = node;
    } else {
        struct wm_tree *parent = b->open[b->depth - 1];
        if (parent->last)
            parent->last->next = node;
        else
            parent->first = node;
        parent->last = node;
        parent->count++;
    }
    *out = node;
    return WM_OK;
}

static enum wm_status scalar(struct builder *b, const yaml_event_t *event, int line)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return refuse(b, WM_EFORMAT, line, "a NUL character inside a text; remove it");
    char *copy = strdup(text);
    if (!copy)
        return refuse(b, WM_ENOMEM, line, "out of memory; free some and check again");
    if (wants_key(b)) {
        b->key = copy;
        b->key_line = line;
        return WM_OK;
    }
    struct wm_tree *node;
    enum wm_status st = place(b, WM_TREE_SCALAR, line, &node);
    if (st != WM_OK) {
        wipe(copy);
        return st;
    }
    node->text = copy;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return WM_OK;
}

static enum wm_status open_node(struct builder *b, enum wm_tree_kind kind, int line)
{
    struct wm_tree *node;
    if (b->depth == WM_TREE_DEPTH)
        return refuse(b, WM_ELIMIT, line,
                      "nested too deeply for settings; see `wingman check --keys` for their form");
    enum wm_status st = place(b, kind, line, &node);
    if (st == WM_OK)
        b->open[b->depth++] = node;
    return st;
}

static enum wm_status take_event(struct builder *b, const yaml_event_t *event)
{
    int line = (int)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return scalar(b, event, line);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, WM_TREE_MAP, line);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, WM_TREE_LIST, line);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        return WM_OK;
    case YAML_ALIAS_EVENT:
        return refuse(b, WM_EFORMAT, line, "an alias (*NAME) is not taken in settings; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        if (b->root)
            return refuse(b, WM_EFORMAT, line,
                          "a second document begins here (---); keep one document in the file");
        return WM_OK;
    default: /* start and end of the stream, end of the document */
        return WM_OK;
    }
}

/* True when the line that holds byte `at` begins with a tab somewhere before its first word. */
static bool line_has_leading_tab(const char *text, size_t len, size_t line)
{
    const char *c = text, *end = text + len;
    while (line-- > 0 && c)
        c = (c = memchr(c, '\n', (size_t)(end - c))) ? c + 1 : NULL;
    for (; c && c < end && (*c == ' ' || *c == '\t'); c++)
        if (*c == '\t')
            return true;
    return false;
}

static enum wm_status not_yaml(struct builder *b, const yaml_parser_t *parser, const char *text, size_t len)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return refuse(b, WM_ENOMEM, 0, "out of memory; free some and check again");
    if (parser->error == YAML_READER_ERROR) {
        int line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < len; i++)
            line += text[i] == '\n';
        wm_finding_add(b->findings, WM_FINDING_ERROR, line, "not YAML: %s; save the file as UTF-8 text",
                       parser->problem);
        return WM_EFORMAT;
    }
    size_t line = parser->problem_mark.line;
    const char *advice = line_has_leading_tab(text, len, line)
                             ? "indent with spaces, not tabs"
                             : "look at the indent, quotes and colons here and one line above";
    wm_finding_add(b->findings, WM_FINDING_ERROR, (int)line + 1, "not YAML: %s%s%s; %s",
                   parser->context ? parser->context : "", parser->context ? ", " : "",
                   parser->problem ? parser->problem : "unreadable", advice);
    return WM_EFORMAT;
}

enum wm_status wm_tree_parse(const char *text, size_t len, struct wm_tree **out,
                             struct wm_findings_list *findings)
{
    struct builder b = {.findings = findings};
    yaml_parser_t parser;
    yaml_event_t event;
    enum wm_status st = WM_OK;
    bool end = false;

    *out = NULL;
    if (!yaml_parser_initialize(&parser))
        return refuse(&b, WM_ENOMEM, 0, "out of memory; free some and check again");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (st == WM_OK && !end) {
        if (!yaml_parser_parse(&parser, &event)) {
            st = not_yaml(&b, &parser, text, len);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        st = take_event(&b, &event);
        if (event.type == YAML_SCALAR_EVENT)
            explicit_bzero(event.data.scalar.value, event.data.scalar.length);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    wipe(b.key);
    if (st == WM_OK)
        *out = b.root;
    else
        wm_tree_free(b.root);
    return st;
}

const struct wm_tree *wm_tree_find(const struct wm_tree *map, const char *key)
{
    if (map && map->kind == WM_TREE_MAP)
        for (const struct wm_tree *e = map->first; e; e = e->next)
            if (strcmp(e->key, key) == 0)
                return e;
    return NULL;
}

bool wm_tree_is_null(const struct wm_tree *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != WM_TREE_SCALAR || node->quoted)
        return false;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (strcmp(node->text, nulls[i]) == 0)
            return true;
    return false;
}

void wm_tree_free(struct wm_tree *tree)
{
    while (tree) { /* siblings in a loop, levels by recursion: at most WM_TREE_DEPTH */
        struct wm_tree *next = tree->next;
        wm_tree_free(tree->first);
        wipe(tree->text);
        free(tree->key);
        free(tree);
        tree = next;
    }
}

/* template_parse.c -- words become a tree, by recursive descent. Priorities are Jinja's: or, and, not, comparison, +
 * -, ~, * / // %, unary, and closest a value with what follows it: .name [key] (arguments) |filter "is test". */
#include <stdlib.h>
#include <string.h>

#include "engine/template_parts.h"

struct parser {
    struct wm_template *t;
    struct wm_words w;
    struct wm_error *err;
    enum wm_status st;
    int depth;
};

static int32_t expression(struct parser *p);

/* --- the tree --------------------------------------------------------------------------------------------- */

static int32_t fail(struct parser *p, enum wm_status st, const char *what)
{
    if (p->st == WM_OK) {
        int len = p->w.len < 40 ? (int)p->w.len : 40;
        p->st =
            wm_fail(p->err, st, "%s: line %d: %s, at '%.*s'", p->t->name, p->w.line, what, len, p->w.text);
    }
    return -1;
}

static int32_t node(struct parser *p, enum wm_node_kind kind, const char *text, size_t len)
{
    struct wm_template *t = p->t;
    if (p->st != WM_OK)
        return -1;
    if (t->n_nodes == WM_TEMPLATE_NODES)
        return fail(p, WM_ELIMIT, "the template has too many parts");
    if (t->n_nodes == t->room) {
        int32_t room = t->room ? 2 * t->room : 256;
        struct wm_node *grown = realloc(t->nodes, (size_t)room * sizeof *grown);
        if (!grown)
            return fail(p, WM_ENOMEM, "no memory");
        t->nodes = grown;
        t->room = room;
    }
    t->nodes[t->n_nodes] = (struct wm_node){
        .kind = kind, .line = p->w.line, .text = text, .len = len, .child = -1, .last = -1, .next = -1};
    return t->n_nodes++;
}

/* Appends a child; a failure before (-1) is let through. Returns the parent. */
static int32_t add(struct parser *p, int32_t parent, int32_t child)
{
    if (parent < 0 || child < 0)
        return -1;
    struct wm_node *nodes = p->t->nodes;
    *(nodes[parent].child < 0 ? &nodes[parent].child : &nodes[nodes[parent].last].next) = child;
    nodes[parent].last = child;
    return parent;
}

static int32_t with(struct parser *p, enum wm_node_kind kind, const char *text, size_t len, int32_t child)
{
    return add(p, node(p, kind, text, len), child);
}

static int32_t nothing(struct parser *p)
{
    return node(p, WM_NODE_NOTHING, "", 0);
}

/* Goes a level deeper; false: too deep. Every descent is paired with an ascent. */
static bool descend(struct parser *p)
{
    if (++p->depth <= WM_TEMPLATE_DEPTH)
        return true;
    fail(p, WM_ELIMIT, "too deep");
    return false;
}

/* --- words ------------------------------------------------------------------------------------------------ */

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->w.kind == WM_WORD_SIGN && wm_name_is(p->w.text, p->w.len, sign);
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->w.kind == WM_WORD_NAME && wm_name_is(p->w.text, p->w.len, word);
}

static bool take_sign(struct parser *p, const char *sign)
{
    bool is = is_sign(p, sign);
    if (is)
        wm_words_next(&p->w);
    return is;
}

static bool take_word(struct parser *p, const char *word)
{
    bool is = is_word(p, word);
    if (is)
        wm_words_next(&p->w);
    return is;
}

static void want_sign(struct parser *p, const char *sign)
{
    if (!take_sign(p, sign))
        fail(p, WM_EFORMAT, "a bracket, a comma or a colon is missing");
}

static void want_kind(struct parser *p, enum wm_word_kind kind, const char *what)
{
    if (p->w.kind != kind)
        fail(p, WM_EFORMAT, what);
    else
        wm_words_next(&p->w);
}

/* --- expressions ------------------------------------------------------------------------------------------ */

/* Behind "(": [name =] value, ... ")", as children of `parent`. */
static int32_t arguments(struct parser *p, int32_t parent)
{
    while (p->st == WM_OK && !take_sign(p, ")")) {
        struct wm_words before = p->w;
        int32_t value = expression(p);
        if (p->st == WM_OK && is_sign(p, "=") && p->t->nodes[value].kind == WM_NODE_NAME) {
            wm_words_next(&p->w);
            value = with(p, WM_NODE_KEYWORD, before.text, before.len, expression(p));
        }
        parent = add(p, parent, value);
        if (!is_sign(p, ")"))
            want_sign(p, ",");
    }
    return p->st == WM_OK ? parent : -1;
}

/* "[" values "]" or "(" values ")" behind the first bracket; a single one in parentheses is itself. */
static int32_t list(struct parser *p, const char *close)
{
    int32_t items = node(p, WM_NODE_LIST, "", 0), last = -1;
    bool comma = close[0] == ']';
    size_t n = 0;
    while (p->st == WM_OK && !take_sign(p, close)) {
        last = expression(p);
        add(p, items, last);
        n++;
        if (is_sign(p, close))
            continue;
        want_sign(p, ",");
        comma = true;
    }
    return n == 1 && !comma ? last : items;
}

static int32_t dictionary(struct parser *p)
{
    int32_t object = node(p, WM_NODE_DICT, "", 0);
    while (p->st == WM_OK && !take_sign(p, "}")) {
        object = add(p, object, expression(p));
        want_sign(p, ":");
        object = add(p, object, expression(p));
        if (!is_sign(p, "}"))
            want_sign(p, ",");
    }
    return object;
}

static int32_t name_or_constant(struct parser *p)
{
    static const struct {
        const char *word;
        enum wm_node_kind kind;
    } words[] = {{"true", WM_NODE_TRUE},   {"True", WM_NODE_TRUE}, {"false", WM_NODE_FALSE},
                 {"False", WM_NODE_FALSE}, {"none", WM_NODE_NONE}, {"None", WM_NODE_NONE}};
    enum wm_node_kind kind = WM_NODE_NAME;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(p, words[i].word))
            kind = words[i].kind;
    int32_t made = node(p, kind, p->w.text, p->w.len);
    wm_words_next(&p->w);
    return made;
}

static int32_t primary(struct parser *p)
{
    int32_t made;
    switch (p->w.kind) {
    case WM_WORD_NAME:
        return name_or_constant(p);
    case WM_WORD_INT:
    case WM_WORD_REAL:
    case WM_WORD_STRING:
        made = node(p,
                    p->w.kind == WM_WORD_INT    ? WM_NODE_INT
                    : p->w.kind == WM_WORD_REAL ? WM_NODE_REAL
                                                : WM_NODE_STRING,
                    p->w.text, p->w.len);
        wm_words_next(&p->w);
        return made;
    default:
        if (take_sign(p, "("))
            return list(p, ")");
        if (take_sign(p, "["))
            return list(p, "]");
        if (take_sign(p, "{"))
            return dictionary(p);
        return fail(p, WM_EFORMAT, "a value is missing");
    }
}

/* Behind "[": a key or from:to:step. */
static int32_t subscript(struct parser *p, int32_t object)
{
    int32_t parts[3] = {-1, -1, -1}, n = 0;
    bool slice = false;
    while (p->st == WM_OK && !is_sign(p, "]")) {
        if (is_sign(p, ":")) {
            slice = true;
            if (++n > 2)
                return fail(p, WM_EFORMAT, "a slice has at most three parts");
            wm_words_next(&p->w);
        } else if (parts[n] >= 0) {
            return fail(p, WM_EFORMAT, "a bracket is missing");
        } else {
            parts[n] = expression(p);
        }
    }
    want_sign(p, "]");
    int32_t made = with(p, slice ? WM_NODE_SLICE : WM_NODE_ITEM, "", 0, object);
    for (int32_t i = 0; i < (slice ? 3 : 1); i++)
        made = add(p, made, parts[i] >= 0 ? parts[i] : nothing(p));
    return made;
}

/* .name  [key]  (arguments) */
static int32_t postfix(struct parser *p, int32_t value)
{
    while (p->st == WM_OK) {
        if (take_sign(p, ".")) {
            if (p->w.kind != WM_WORD_NAME)
                return fail(p, WM_EUNSUPPORTED, "a name must follow the dot");
            value = with(p, WM_NODE_ATTRIBUTE, p->w.text, p->w.len, value);
            wm_words_next(&p->w);
        } else if (take_sign(p, "[")) {
            value = subscript(p, value);
        } else if (take_sign(p, "(")) {
            value = arguments(p, with(p, WM_NODE_CALL, "", 0, value));
        } else {
            return value;
        }
    }
    return -1;
}

/* The argument of a test without brackets: "is divisibleby 3". */
static bool begins_argument(const struct parser *p)
{
    static const char *const words[] = {"else", "or", "and", "is", "if", "in", "not"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(p, words[i]))
            return false;
    return p->w.kind == WM_WORD_NAME || p->w.kind == WM_WORD_STRING || p->w.kind == WM_WORD_INT;
}

/* |filter(arguments)  is [not] test(arguments) */
static int32_t filters(struct parser *p, int32_t value)
{
    while (p->st == WM_OK) {
        bool filter = take_sign(p, "|"), test = !filter && take_word(p, "is");
        if (!filter && !test)
            return value;
        bool negated = test && take_word(p, "not");
        if (p->w.kind != WM_WORD_NAME)
            return fail(p, WM_EFORMAT, "the name of a filter or a test is missing");
        value = with(p, filter ? WM_NODE_FILTER : WM_NODE_TEST, p->w.text, p->w.len, value);
        wm_words_next(&p->w);
        if (take_sign(p, "("))
            value = arguments(p, value);
        else if (test && begins_argument(p))
            value = add(p, value, postfix(p, primary(p)));
        if (negated)
            value = with(p, WM_NODE_UNARY, "not", 3, value);
    }
    return -1;
}

static int32_t unary(struct parser *p)
{
    int32_t value = -1;
    if (!descend(p))
        return -1;
    if (is_sign(p, "-") || is_sign(p, "+")) {
        const char *sign = p->w.text;
        wm_words_next(&p->w);
        value = with(p, WM_NODE_UNARY, sign, 1, unary(p));
    } else {
        value = filters(p, postfix(p, primary(p)));
    }
    p->depth--;
    return value;
}

/* The operators of two values, from the loosest level to the closest. */
static const char *const levels[][7] = {{"or"},
                                        {"and"},
                                        {NULL},
                                        {"==", "!=", "<", ">", "<=", ">=", "in"},
                                        {"+", "-"},
                                        {"~"},
                                        {"*", "/", "//", "%"}};
enum { NOT_LEVEL = 2, COMPARISON = 3, LEVELS = sizeof levels / sizeof *levels };

/* The operator of that level that is next, or NULL. "not in" is one operator. */
static const char *operator_at(const struct parser *p, int level)
{
    for (int i = 0; i < 7 && levels[level][i]; i++)
        if (is_sign(p, levels[level][i]) || is_word(p, levels[level][i]))
            return levels[level][i];
    return level == COMPARISON && is_word(p, "not") ? "not in" : NULL;
}

static int32_t binary(struct parser *p, int level)
{
    if (level == LEVELS)
        return unary(p);
    if (level == NOT_LEVEL) {
        if (!take_word(p, "not"))
            return binary(p, level + 1);
        int32_t value = descend(p) ? binary(p, level) : -1;
        p->depth--;
        return with(p, WM_NODE_UNARY, "not", 3, value);
    }
    int32_t left = binary(p, level + 1);
    const char *sign;
    for (int n = 0; p->st == WM_OK && (sign = operator_at(p, level)); n++) {
        if (n > 0 && level == COMPARISON)
            return fail(p, WM_EUNSUPPORTED, "a chain of comparisons");
        wm_words_next(&p->w);
        if (sign[0] == 'n' && !take_word(p, "in"))
            return fail(p, WM_EFORMAT, "'in' must follow 'not' here");
        int32_t both = with(p, WM_NODE_BINARY, sign, strlen(sign), left);
        left = add(p, both, binary(p, level + 1));
    }
    return left;
}

static int32_t expression(struct parser *p)
{
    int32_t value = -1;
    if (!descend(p))
        return -1;
    value = binary(p, 0);
    if (take_word(p, "if")) {
        int32_t choice = with(p, WM_NODE_CHOICE, "", 0, value);
        choice = add(p, choice, binary(p, 0));
        value = add(p, choice, take_word(p, "else") ? expression(p) : nothing(p));
    }
    p->depth--;
    return value;
}

/* --- statements ------------------------------------------------------------------------------------------- */

static int32_t block(struct parser *p);

/* Past "%}". */
static void end_tag(struct parser *p)
{
    want_kind(p, WM_WORD_BLOCK_END, "the tag does not end");
}

/* Past "endX %}": block() stopped at it. */
static void end_block(struct parser *p, const char *word)
{
    if (!take_word(p, word))
        fail(p, WM_EFORMAT, "the block ends otherwise than it began");
    end_tag(p);
}

static int32_t set(struct parser *p)
{
    const char *name = p->w.text, *attribute;
    size_t len = p->w.len;
    want_kind(p, WM_WORD_NAME, "a name must follow 'set'");
    if (take_sign(p, ".")) {
        int32_t space = node(p, WM_NODE_NAME, name, len);
        attribute = p->w.text;
        size_t attribute_len = p->w.len;
        want_kind(p, WM_WORD_NAME, "a name must follow the dot");
        want_sign(p, "=");
        int32_t made = with(p, WM_NODE_SET, name, len, expression(p));
        end_tag(p);
        return add(p, made, with(p, WM_NODE_ATTRIBUTE, attribute, attribute_len, space));
    }
    if (take_sign(p, "=")) {
        int32_t made = with(p, WM_NODE_SET, name, len, expression(p));
        end_tag(p);
        return made;
    }
    end_tag(p);
    int32_t made = with(p, WM_NODE_SET_BLOCK, name, len, block(p));
    end_block(p, "endset");
    return made;
}

static int32_t for_loop(struct parser *p)
{
    int32_t names = node(p, WM_NODE_BLOCK, "", 0);
    bool brackets = take_sign(p, "(");
    do {
        names = add(p, names, node(p, WM_NODE_NAME, p->w.text, p->w.len));
        want_kind(p, WM_WORD_NAME, "a name must follow 'for'");
    } while (p->st == WM_OK && take_sign(p, ","));
    if (brackets)
        want_sign(p, ")");
    if (!take_word(p, "in"))
        fail(p, WM_EFORMAT, "'in' is missing");
    int32_t loop = with(p, WM_NODE_FOR, "", 0, names);
    loop = add(p, loop, binary(p, 0));
    loop = add(p, loop, take_word(p, "if") ? expression(p) : nothing(p));
    if (is_word(p, "recursive"))
        return fail(p, WM_EUNSUPPORTED, "a recursive loop");
    end_tag(p);
    loop = add(p, loop, block(p));
    if (take_word(p, "else")) {
        end_tag(p);
        loop = add(p, loop, block(p));
    } else {
        loop = add(p, loop, nothing(p));
    }
    end_block(p, "endfor");
    return loop;
}

/* Behind "if" or "elif". */
static int32_t if_block(struct parser *p)
{
    int32_t made = -1;
    if (!descend(p))
        return -1;
    made = with(p, WM_NODE_IF, "", 0, expression(p));
    end_tag(p);
    made = add(p, made, block(p));
    if (take_word(p, "elif")) {
        made = add(p, made, if_block(p)); /* takes the endif */
    } else {
        if (take_word(p, "else")) {
            end_tag(p);
            made = add(p, made, block(p));
        } else {
            made = add(p, made, nothing(p));
        }
        end_block(p, "endif");
    }
    p->depth--;
    return made;
}

static int32_t macro(struct parser *p)
{
    int32_t made = node(p, WM_NODE_MACRO, p->w.text, p->w.len), names = node(p, WM_NODE_BLOCK, "", 0);
    want_kind(p, WM_WORD_NAME, "a macro has a name");
    want_sign(p, "(");
    while (p->st == WM_OK && !take_sign(p, ")")) {
        const char *name = p->w.text;
        size_t len = p->w.len;
        want_kind(p, WM_WORD_NAME, "a parameter has a name");
        names = add(p, names,
                    with(p, WM_NODE_KEYWORD, name, len, take_sign(p, "=") ? expression(p) : nothing(p)));
        if (!is_sign(p, ")"))
            want_sign(p, ",");
    }
    end_tag(p);
    made = add(p, add(p, made, names), block(p));
    end_block(p, "endmacro");
    return made;
}

static int32_t statement(struct parser *p)
{
    if (take_word(p, "set"))
        return set(p);
    if (take_word(p, "for"))
        return for_loop(p);
    if (take_word(p, "if"))
        return if_block(p);
    if (take_word(p, "macro"))
        return macro(p);
    if (is_word(p, "break") || is_word(p, "continue")) {
        int32_t made = node(p, is_word(p, "break") ? WM_NODE_BREAK : WM_NODE_CONTINUE, "", 0);
        wm_words_next(&p->w);
        end_tag(p);
        return made;
    }
    if (take_word(p, "generation")) { /* marks what a model is trained on; the text is the same */
        end_tag(p);
        int32_t made = block(p);
        end_block(p, "endgeneration");
        return made;
    }
    return fail(p, WM_EUNSUPPORTED, "a statement that this build does not run");
}

/* Is this the word of a tag that closes or divides a block? */
static bool ends_block(const struct parser *p)
{
    static const char *const words[] = {"endif",  "elif",     "else",         "endfor",
                                        "endset", "endmacro", "endgeneration"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(p, words[i]))
            return true;
    return false;
}

/* Statements up to the end, or to a tag that closes a block, whose word is next then. */
static int32_t block(struct parser *p)
{
    int32_t made = node(p, WM_NODE_BLOCK, "", 0);
    if (!descend(p))
        return -1;
    while (p->st == WM_OK && p->w.kind != WM_WORD_END) {
        int32_t child = -1;
        if (p->w.kind == WM_WORD_DATA) {
            child = node(p, WM_NODE_DATA, p->w.text, p->w.len);
            wm_words_next(&p->w);
        } else if (p->w.kind == WM_WORD_PRINT) {
            wm_words_next(&p->w);
            child = with(p, WM_NODE_PRINT, "", 0, expression(p));
            want_kind(p, WM_WORD_PRINT_END, "the tag does not end");
        } else if (p->w.kind == WM_WORD_BLOCK) {
            wm_words_next(&p->w);
            if (ends_block(p))
                break;
            child = statement(p);
        } else {
            fail(p, WM_EFORMAT, "this is no tag");
        }
        add(p, made, child);
    }
    p->depth--;
    return made;
}

enum wm_status wm_template_parse(struct wm_template *t, size_t len, struct wm_error *err)
{
    struct parser p = {.t = t, .err = err};
    p.w = (struct wm_words){.at = t->source, .end = t->source + len, .line = 1, .line_start = true};
    wm_words_next(&p.w);
    t->root = block(&p);
    if (p.st == WM_OK && p.w.kind != WM_WORD_END)
        fail(&p, WM_EFORMAT, "a tag closes a block that was not begun");
    return p.st;
}

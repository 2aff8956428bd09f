/* strike.c -- see strike.h.
 *
 * HOW     Among the children of one parent, the first text that can open is split before its "~~", then the following
 *         siblings are searched for one that can close. What lies between moves into a new node. Looking ahead fails
 *         at most once for each parent (without a closer for this opener there is none for a later one), so the cost
 *         is linear.
 */
#include "adapters/text/strike.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\0';
}

static const char *literal_of(cmark_node *node)
{
    const char *text =
        node && cmark_node_get_type(node) == CMARK_NODE_TEXT ? cmark_node_get_literal(node) : NULL;
    return text ? text : "";
}

/* The first "~~" at or behind `from` that opens, or NULL. "~~~" is none: it fences code. */
static const char *find_open(cmark_node *node, const char *from)
{
    for (const char *at = strstr(from, "~~"); at; at = strstr(at, "~~")) {
        size_t run = strspn(at, "~");
        bool inner = at[2] ? !is_space(at[2]) : cmark_node_next(node) != NULL;
        if (run == 2 && inner)
            return at;
        at += run;
    }
    return NULL;
}

static const char *find_close(cmark_node *node, const char *start)
{
    for (const char *at = strstr(start, "~~"); at; at = strstr(at, "~~")) {
        size_t run = strspn(at, "~");
        if (run == 2 && (at > start ? !is_space(at[-1]) : cmark_node_previous(node) != NULL))
            return at;
        at += run;
    }
    return NULL;
}

/* Cuts `node` at `at`, drops the "~~" there, and returns the new node that holds what was behind. NULL: no memory. */
static cmark_node *cut(cmark_node *node, const char *at)
{
    const char *whole = literal_of(node);
    char *head = strndup(whole, (size_t)(at - whole));
    cmark_node *tail = cmark_node_new(CMARK_NODE_TEXT);
    bool ok = head && tail && cmark_node_set_literal(tail, at + 2) && cmark_node_insert_after(node, tail);
    if (ok)
        cmark_node_set_literal(node, head); /* `at` is gone from here on */
    else if (tail)
        cmark_node_free(tail);
    free(head);
    return ok ? tail : NULL;
}

/* Moves the siblings from `first` to `last` into a new node in their place; returns the node behind. */
static cmark_node *wrap(cmark_node *first, cmark_node *last)
{
    cmark_node *group = cmark_node_new(CMARK_NODE_CUSTOM_INLINE), *stop = cmark_node_next(last);
    if (!group || !cmark_node_insert_before(first, group)) {
        if (group)
            cmark_node_free(group);
        return stop;
    }
    for (cmark_node *n = first; n && n != stop;) {
        cmark_node *next = cmark_node_next(n);
        cmark_node_append_child(group, n);
        n = next;
    }
    return stop;
}

static void mark_children(cmark_node *parent)
{
    for (cmark_node *opener = cmark_node_first_child(parent); opener;) {
        const char *open = find_open(opener, literal_of(opener));
        if (!open) {
            opener = cmark_node_next(opener);
            continue;
        }
        /* in the same text, behind at least one character; or in a later one */
        cmark_node *closer = opener;
        const char *close = find_close(opener, open + 2);
        if (close == open + 2)
            close = NULL;
        while (!close && (closer = cmark_node_next(closer)))
            close = find_close(closer, literal_of(closer));
        if (!close)
            return;
        size_t close_at = (size_t)(close - (closer == opener ? open + 2 : literal_of(closer)));
        cmark_node *inside = cut(opener, open);
        if (!inside)
            return;
        if (closer == opener)
            closer = inside;
        cmark_node *behind = cut(closer, literal_of(closer) + close_at);
        if (!behind)
            return;
        wrap(inside, closer);
        opener = behind;
    }
}

void wm_strike_mark(cmark_node *document)
{
    cmark_iter *walk = cmark_iter_new(document);
    for (cmark_event_type event; walk && (event = cmark_iter_next(walk)) != CMARK_EVENT_DONE;) {
        cmark_node *node = cmark_iter_get_node(walk);
        if (event == CMARK_EVENT_EXIT)
            mark_children(node);
    }
    cmark_iter_free(walk);
}

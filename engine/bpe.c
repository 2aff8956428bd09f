/* bpe.c -- byte-pair merges over one piece of text.
 *
 * WHY     The definition (find the pair of lowest rank, join it, repeat) is quadratic, and a stranger chooses the
 *         length of a piece: 26,000 letters without a space are one piece.
 *
 * HOW     Symbols form a linked list inside an array; each adjacent pair that has a rule is a candidate in a binary
 *         heap ordered by (rank, position). The lowest is popped, and if both its symbols are still what they were
 *         when it was pushed, they are joined and the two new neighbours are pushed. O(n log n).
 *
 * ALWAYS  (1) A joined symbol keeps the place of its left half; the right half is dead (id < 0).
 *         (2) A candidate is current exactly if the ids at its two places still are its two ids and they are
 *             neighbours: nothing is ever removed from the middle of the heap.
 *
 * LIMITS  Each join pushes two candidates at most, so the heap holds fewer than 3 n.
 */
#include "engine/bpe.h"

#include <stdlib.h>
#include <string.h>

/* --- the table of rules: open addressing, half full at most ----------------------------------------------- */

struct rule {
    int32_t left, right; /* left < 0: empty */
    int32_t rank, joined;
};

struct wm_merges {
    size_t n, mask;
    struct rule *rules; /* [mask + 1] */
};

static struct rule *new_rules(size_t slots)
{
    struct rule *rules = malloc(slots * sizeof *rules);
    if (rules)
        memset(rules, 0xff, slots * sizeof *rules);
    return rules;
}

struct wm_merges *wm_merges_new(void)
{
    enum { FIRST_SLOTS = 1024 };
    struct wm_merges *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->mask = FIRST_SLOTS - 1;
    m->rules = new_rules(FIRST_SLOTS);
    if (!m->rules) {
        free(m);
        return NULL;
    }
    return m;
}

void wm_merges_free(struct wm_merges *m)
{
    if (!m)
        return;
    free(m->rules);
    free(m);
}

static struct rule *slot_of(const struct wm_merges *m, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & m->mask;
    while (m->rules[at].left >= 0 && (m->rules[at].left != left || m->rules[at].right != right))
        at = (at + 1) & m->mask;
    return &m->rules[at];
}

static enum wm_status grow(struct wm_merges *m)
{
    struct wm_merges larger = {.n = m->n, .mask = 2 * m->mask + 1};
    larger.rules = new_rules(larger.mask + 1);
    if (!larger.rules)
        return WM_ENOMEM;
    for (size_t i = 0; i <= m->mask; i++)
        if (m->rules[i].left >= 0)
            *slot_of(&larger, m->rules[i].left, m->rules[i].right) = m->rules[i];
    free(m->rules);
    *m = larger;
    return WM_OK;
}

enum wm_status wm_merges_add(struct wm_merges *m, int32_t left, int32_t right, int32_t rank, int32_t joined)
{
    if (2 * m->n > m->mask && grow(m) != WM_OK)
        return WM_ENOMEM;
    struct rule *r = slot_of(m, left, right);
    if (r->left >= 0)
        return WM_OK;
    *r = (struct rule){left, right, rank, joined};
    m->n++;
    return WM_OK;
}

/* --- merging ---------------------------------------------------------------------------------------------- */

struct symbol {
    int32_t id; /* < 0: dead */
    uint32_t previous, next;
};

struct candidate {
    int32_t rank;
    uint32_t at; /* place of the left symbol */
    const struct rule *rule;
};

struct wm_bpe {
    const struct wm_merges *merges;
    struct symbol *symbols;
    struct candidate *heap;
    size_t capacity; /* symbols; the heap has room for three times as many */
    size_t n_heap;
};

static const uint32_t none = UINT32_MAX;

struct wm_bpe *wm_bpe_new(const struct wm_merges *merges)
{
    struct wm_bpe *b = calloc(1, sizeof *b);
    if (b)
        b->merges = merges;
    return b;
}

void wm_bpe_free(struct wm_bpe *b)
{
    if (!b)
        return;
    free(b->symbols);
    free(b->heap);
    free(b);
}

static enum wm_status make_room(struct wm_bpe *b, size_t n)
{
    if (n <= b->capacity)
        return WM_OK;
    size_t capacity = n < 64 ? 64 : 2 * n;
    free(b->symbols);
    free(b->heap);
    b->symbols = malloc(capacity * sizeof *b->symbols);
    b->heap = malloc(3 * capacity * sizeof *b->heap);
    b->capacity = b->symbols && b->heap ? capacity : 0;
    return b->capacity ? WM_OK : WM_ENOMEM;
}

static int before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct wm_bpe *b, struct candidate c)
{
    size_t i = b->n_heap++;
    for (; i > 0 && before(&c, &b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = c;
}

static struct candidate pop(struct wm_bpe *b)
{
    struct candidate top = b->heap[0], moved = b->heap[--b->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < b->n_heap; i = child) {
        if (child + 1 < b->n_heap && before(&b->heap[child + 1], &b->heap[child]))
            child++;
        if (!before(&b->heap[child], &moved))
            break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = moved;
    return top;
}

/* Pushes the pair that begins at `at`, if it is a pair and has a rule. */
static void consider(struct wm_bpe *b, uint32_t at)
{
    if (at == none || b->symbols[at].next == none)
        return;
    const struct rule *r = slot_of(b->merges, b->symbols[at].id, b->symbols[b->symbols[at].next].id);
    if (r->left >= 0)
        push(b, (struct candidate){.rank = r->rank, .at = at, .rule = r});
}

static void join(struct wm_bpe *b, const struct candidate *c)
{
    struct symbol *left = &b->symbols[c->at];
    if (left->id != c->rule->left || left->next == none || b->symbols[left->next].id != c->rule->right)
        return; /* something else has joined one of them meanwhile */
    struct symbol *right = &b->symbols[left->next];
    left->id = c->rule->joined;
    left->next = right->next;
    right->id = -1;
    if (left->next != none)
        b->symbols[left->next].previous = c->at;
    consider(b, left->previous);
    consider(b, c->at);
}

enum wm_status wm_bpe_merge(struct wm_bpe *b, const int32_t *ids, size_t n, struct wm_tokens *out)
{
    enum wm_status st = make_room(b, n);
    if (st != WM_OK || n == 0)
        return st;
    for (size_t i = 0; i < n; i++)
        b->symbols[i] = (struct symbol){
            .id = ids[i], .previous = i ? (uint32_t)i - 1 : none, .next = i + 1 < n ? (uint32_t)i + 1 : none};
    b->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++)
        consider(b, (uint32_t)i);
    while (b->n_heap) {
        struct candidate c = pop(b);
        join(b, &c);
    }
    for (uint32_t at = 0; at != none && st == WM_OK; at = b->symbols[at].next)
        st = wm_tokens_add(out, &b->symbols[at].id, 1);
    return st;
}

/* talks.c -- see talks.h: a hash table with chains, a binary heap whose members know their place, and a
 * queue. */
#include "sessions/talks.h"

#include <stdlib.h>
#include <string.h>

#include "sessions/outbox_rows.h"

enum { BUCKETS = 16384, HEAP_FIRST = 64 };

bool wm_talks_init(struct wm_talks *t)
{
    *t = (struct wm_talks){.n_buckets = BUCKETS, .heap_cap = HEAP_FIRST};
    t->buckets = calloc(BUCKETS, sizeof *t->buckets);
    t->heap = calloc(HEAP_FIRST, sizeof *t->heap);
    return t->buckets && t->heap;
}

static struct wm_talk **bucket_of(const struct wm_talks *t, int64_t id)
{
    return &t->buckets[((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15)) >> 32 & (t->n_buckets - 1)];
}

static void free_talk(struct wm_talk *talk)
{
    free(talk->account);
    free(talk->contact);
    free(talk->target);
    free(talk->read);
    if (talk->parcel)
        wm_outbox_load_drop(&talk->parcel->job.note);
    free(talk);
}

void wm_talks_end(struct wm_talks *t)
{
    for (size_t i = 0; t->buckets && i < t->n_buckets; i++)
        for (struct wm_talk *talk = t->buckets[i], *next; talk; talk = next) {
            next = talk->next;
            free_talk(talk);
        }
    free(t->buckets);
    free(t->heap);
    *t = (struct wm_talks){0};
}

struct wm_talk *wm_talks_find(const struct wm_talks *t, int64_t id)
{
    struct wm_talk *talk = *bucket_of(t, id);
    while (talk && talk->id != id)
        talk = talk->next;
    return talk;
}

/* Room for one more in the heap, so that making a talk due never fails. */
static bool heap_room(struct wm_talks *t)
{
    if (t->n + 2 <= t->heap_cap)
        return true;
    struct wm_talk **grown = realloc(t->heap, t->heap_cap * 2 * sizeof *grown);
    if (!grown)
        return false;
    t->heap = grown;
    t->heap_cap *= 2;
    return true;
}

struct wm_talk *wm_talks_add(struct wm_talks *t, int64_t id)
{
    if (t->n == WM_TALKS_MAX || !heap_room(t))
        return NULL;
    struct wm_talk *talk = calloc(1, sizeof *talk);
    if (!talk)
        return NULL;
    struct wm_talk **bucket = bucket_of(t, id);
    talk->id = id;
    talk->next = *bucket;
    *bucket = talk;
    t->n++;
    return talk;
}

static void heap_set(struct wm_talks *t, size_t at, struct wm_talk *talk)
{
    t->heap[at] = talk;
    talk->heap_at = at;
}

static void heap_settle(struct wm_talks *t, size_t at, struct wm_talk *talk)
{
    while (at > 1 && t->heap[at / 2]->due_ms > talk->due_ms) {
        heap_set(t, at, t->heap[at / 2]);
        at /= 2;
    }
    for (size_t child; (child = at * 2) <= t->heap_n; at = child) {
        if (child < t->heap_n && t->heap[child + 1]->due_ms < t->heap[child]->due_ms)
            child++;
        if (t->heap[child]->due_ms >= talk->due_ms)
            break;
        heap_set(t, at, t->heap[child]);
    }
    heap_set(t, at, talk);
}

void wm_talks_due(struct wm_talks *t, struct wm_talk *talk, int64_t at_ms)
{
    size_t at = talk->heap_at;
    talk->due_ms = at_ms;
    if (at_ms != INT64_MAX) {
        heap_settle(t, at ? at : ++t->heap_n, talk);
        return;
    }
    if (!at)
        return;
    struct wm_talk *last = t->heap[t->heap_n--];
    talk->heap_at = 0;
    if (last != talk)
        heap_settle(t, at, last);
}

struct wm_talk *wm_talks_first(const struct wm_talks *t)
{
    return t->heap_n ? t->heap[1] : NULL;
}

void wm_talks_line_up(struct wm_talks *t, struct wm_talk *talk)
{
    if (talk->lined_up)
        return;
    talk->lined_up = true;
    talk->before = t->line_last;
    talk->behind = NULL;
    if (t->line_last)
        t->line_last->behind = talk;
    else
        t->line_first = talk;
    t->line_last = talk;
}

void wm_talks_step_out(struct wm_talks *t, struct wm_talk *talk)
{
    if (!talk->lined_up)
        return;
    talk->lined_up = false;
    if (talk->before)
        talk->before->behind = talk->behind;
    else
        t->line_first = talk->behind;
    if (talk->behind)
        talk->behind->before = talk->before;
    else
        t->line_last = talk->before;
}

void wm_talks_remove(struct wm_talks *t, struct wm_talk *talk)
{
    wm_talks_step_out(t, talk);
    wm_talks_due(t, talk, INT64_MAX);
    struct wm_talk **at = bucket_of(t, talk->id);
    while (*at != talk)
        at = &(*at)->next;
    *at = talk->next;
    t->n--;
    free_talk(talk);
}

/* event.c -- see event.h. */
#include "sessions/event.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
#define X(id, name) name,
    WM_EVENT_KINDS(X)
#undef X
};

enum { KINDS = sizeof kind_names / sizeof *kind_names, FIRST_CAPACITY = 4 };

const char *wm_event_kind_name(enum wm_event_kind kind)
{
    return (size_t)kind < KINDS ? kind_names[kind] : "other";
}

bool wm_event_kind_of(const char *name, enum wm_event_kind *out)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kind_names[i], name) == 0) {
            *out = (enum wm_event_kind)i;
            return true;
        }
    return false;
}

struct wm_event *wm_event_list_add(struct wm_event_list *list)
{
    if (list->n == WM_EVENTS_MAX)
        return NULL;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : FIRST_CAPACITY;
        struct wm_event *grown = realloc(list->events, cap * sizeof *grown);
        if (!grown)
            return NULL;
        list->events = grown;
        list->cap = cap;
    }
    struct wm_event *e = &list->events[list->n++];
    memset(e, 0, sizeof *e);
    return e;
}

static void free_event(struct wm_event *e)
{
    char *const strings[] = {e->account,   e->key,     e->id,   e->sender,    e->name,
                             e->text,      e->payload, e->mime, e->target,    e->field,
                             e->timestamp, e->status,  e->ref,  e->error_text};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    for (int i = 0; i < WM_EVENT_ALIASES; i++)
        free(e->aliases[i]);
    for (int i = 0; i < WM_EVENT_MEDIA; i++)
        free(e->media[i]);
}

void wm_event_list_free(struct wm_event_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free_event(&list->events[i]);
    free(list->events);
    *list = (struct wm_event_list){0};
}

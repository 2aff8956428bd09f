/* draft.h -- writes events: copies of strings, times, and keys that make a repeat recognisable.
 *
 * The first failure (no memory, too many events) stays in the draft; what follows does nothing, so a parser checks once
 * at its end. One thread at a time.
 */
#ifndef WM_META_DRAFT_H
#define WM_META_DRAFT_H

#include <jansson.h>

#include "sessions/event.h"

struct wm_draft {
    struct wm_event_list *list;
    int64_t arrived_ms;
    struct wm_error *err;
    enum wm_status st;
    struct wm_event spare; /* what callers hold after a failure; owns nothing */
};

#define WM_DRAFT(list_, arrived_ms_, err_)                                                                   \
    ((struct wm_draft){.list = (list_), .arrived_ms = (arrived_ms_), .err = (err_)})

/* A new event of that kind. Never NULL; valid until the next. Before the end it must get a key. */
struct wm_event *wm_draft_add(struct wm_draft *d, enum wm_event_kind kind);

/* Replaces the string at `slot` by a copy; NULL text leaves it NULL. */
void wm_draft_set(struct wm_draft *d, char **slot, const char *text);

/* timestamp and at_ms from the platform's literal. Seconds or milliseconds: below 10^11 it is seconds (the year 5138).
 * NULL, empty or no number: arrival. */
void wm_draft_time(struct wm_draft *d, struct wm_event *e, const char *literal);

/* Adds an id of the sender unless it is NULL, empty, known already, or no slot is left. */
void wm_draft_alias(struct wm_draft *d, struct wm_event *e, const char *id);

/* key = "prefix:id", or the id alone when prefix is ""; a digest stands for an id longer than 256 bytes. */
void wm_draft_key(struct wm_draft *d, struct wm_event *e, const char *prefix, const char *id);

/* For what has no id: key = "prefix#digest" of `what` and, when not NULL, `where`: equal for equal content. */
void wm_draft_key_of(struct wm_draft *d, struct wm_event *e, const char *prefix, const json_t *what,
                     const char *where);

/* The status of the whole; on failure an unfinished event leaves the list. */
enum wm_status wm_draft_end(struct wm_draft *d);

#endif

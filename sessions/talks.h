/* talks.h -- the conversations that are not idle, found by id and by who is due next. Director thread. */
#ifndef WM_SESSIONS_TALKS_H
#define WM_SESSIONS_TALKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wm_line;

enum wm_phase { WM_PHASE_IDLE, WM_PHASE_GATHERING, WM_PHASE_THINKING, WM_PHASE_DELIVERING };

/* One conversation while it has work. Everything here can be made again from the store. */
struct wm_talk {
    int64_t id;
    struct wm_line *line;
    enum wm_phase phase;
    bool waiting;  /* messages wait for their turn */
    bool outgoing; /* the outbox has open rows */
    bool busy;     /* a job, a call or the engine works for it: the next step comes with its answer */
    int64_t first_ms, last_ms;     /* monotonic arrival of the messages that wait */
    int64_t hold_ms;               /* monotonic: no new attempt at anything earlier */
    int64_t pictures_ms;           /* monotonic: until then its messages wait for their pictures */
    bool pictures_came;            /* one came since the turn was last loaded */
    int64_t since_ms;              /* wall time at which the oldest of them arrived */
    int64_t typing_ms;             /* when typing is to be shown again */
    char *account, *contact;       /* whom effects go to; NULL after a restart, until the person writes */
    char *target;                  /* platform id of the newest message */
    char *read;                    /* the one that was marked as read */
    struct wm_turn *turn;          /* while the engine runs */
    int failures;                  /* of this turn */
    struct wm_outbox_load *parcel; /* rows being delivered ... */
    size_t row;                    /* ... and which */

    int64_t due_ms; /* monotonic; the heap is ordered by it */
    size_t heap_at; /* 0: not in the heap */
    struct wm_talk *next;

    bool lined_up; /* in the queue before the engine */
    struct wm_talk *before, *behind;
};

struct wm_talks {
    struct wm_talk **buckets; /* a power of two */
    size_t n, n_buckets;
    struct wm_talk **heap; /* 1-based */
    size_t heap_n, heap_cap;
    struct wm_talk *line_first, *line_last;
};

enum { WM_TALKS_MAX = 65536 }; /* past it conversations wait on disk */

bool wm_talks_init(struct wm_talks *t);
void wm_talks_end(struct wm_talks *t); /* frees every talk */

struct wm_talk *wm_talks_find(const struct wm_talks *t, int64_t id);
/* A new one, all zero; NULL past WM_TALKS_MAX or without memory. */
struct wm_talk *wm_talks_add(struct wm_talks *t, int64_t id);
/* Takes it out and frees it. */
void wm_talks_remove(struct wm_talks *t, struct wm_talk *talk);

/* Due at `at_ms`, whatever it was before; INT64_MAX: not at all. */
void wm_talks_due(struct wm_talks *t, struct wm_talk *talk, int64_t at_ms);
/* The queue before the engine: who lines up first thinks first. Lining up twice is fine. */
void wm_talks_line_up(struct wm_talks *t, struct wm_talk *talk);
void wm_talks_step_out(struct wm_talks *t, struct wm_talk *talk); /* not in it is fine */

/* The one due first, or NULL. */
struct wm_talk *wm_talks_first(const struct wm_talks *t);

#endif

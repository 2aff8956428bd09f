/* record.h -- bodies become events: the store job that makes each happening count once. Design: record.c. */
#ifndef WM_SESSIONS_RECORD_H
#define WM_SESSIONS_RECORD_H

#include "sessions/feed.h"
#include "sessions/meaning.h"

struct wm_line;

/* What one event came to. */
struct wm_recorded {
    bool fresh;    /* not a repeat */
    bool wakes;    /* a message that asks for a turn */
    bool hushes;   /* the bot must be silent from now on: a person took over, or the contact opted out */
    bool notice;   /* a row of ours was put into the outbox */
    bool pictures; /* some are wanted */
    int64_t conversation; /* 0: none */
    int64_t settled;      /* outbox row that this status took out of the open ones; 0: none */
    bool settled_unknown; /* it was `unknown` before */
    bool settled_failed;
};

/* One body with its events. `events` and `results` run side by side. */
struct wm_reading {
    struct wm_body *body;
    char *account;        /* of the channel, a copy; NULL: any */
    int64_t window_ms;    /* of the platform */
    bool sees;            /* pictures are fetched here, and the model looks at them */
    struct wm_line *line; /* the director's; untouched here */
    struct wm_event_list list;
    struct wm_recorded *results;
};

enum { WM_RECORD_BODIES = 64, WM_RECORD_EVENTS = 1000 };

struct wm_record_job {
    struct wm_job job;
    int64_t now_ms, human_ms; /* wall time; how long an echo keeps the bot silent */
    size_t begin, end;        /* of all events, counted through: done before, and done after this run */
    bool whole;               /* the last run: the watermark has moved */
    size_t n;
    struct wm_reading readings[WM_RECORD_BODIES];
};

/* job.apply: records at most WM_RECORD_EVENTS events from `begin` on. When that was the end, moves the watermark to the
 * last body; else it is to be run again with begin = end, before any later body. */
void wm_record_apply(struct wm_job *job, struct wm_db *db);
/* note.drop */
void wm_record_drop(struct wm_note *note);

#endif

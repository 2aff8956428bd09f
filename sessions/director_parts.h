/* director_parts.h -- the director's own parts, for its own files: director.c (thread, steps), inbound.c (bodies in),
 * waiting.c (conversations that wait on disk), thinking.c (turns), delivery.c (outbox), media.c (pictures), effects.c
 * (read and typing).
 * Everything here is of the director thread.
 */
#ifndef WM_SESSIONS_DIRECTOR_PARTS_H
#define WM_SESSIONS_DIRECTOR_PARTS_H

#include <pthread.h>

#include "sessions/desk.h"
#include "sessions/director.h"
#include "sessions/letters.h"
#include "sessions/lines.h"
#include "sessions/outbox_rows.h"
#include "sessions/talks.h"

struct wm_director {
    struct wm_director_options o;
    struct wm_desk *desk;
    struct wm_line *lines;
    struct wm_talks talks;
    pthread_t thread;
    bool running;

    /* inbound */
    struct wm_letters bodies; /* to be parsed, in order of id */
    int64_t seen_id;          /* newest body taken, from the feed or from disk */
    int records_out;          /* jobs at the store */
    bool slicing;         /* a job of many events goes to the store again and again: no other may pass it */
    bool page_out;        /* a page of the inbox is being read */
    int64_t read_hold_ms; /* after a failure: not before */

    /* conversations that wait on disk */
    bool list_wanted, list_out;
    int64_t list_after;

    /* pictures */
    bool media_due, take_out; /* the queue on disk is to be looked at, or is being looked at */
    int64_t media_at_ms;      /* or then: monotonic */
    int fetches;              /* under way */

    /* what is under way */
    int jobs_out, turns_out, calls_out;
    int thinking; /* conversations from the load of a turn to its commit */
    bool closing;
    int64_t close_by_ms; /* real monotonic time */

    int64_t started_ms, started_wall_ms, next_look_ms;
    uint64_t random;
};

int64_t wm_director_now(const struct wm_director *d);  /* monotonic */
int64_t wm_director_wall(const struct wm_director *d); /* Unix time */
/* `ms` plus up to a fifth, so that what failed together does not come back together. */
int64_t wm_director_jitter(struct wm_director *d, int64_t ms);

/* Sends a job out; `deliver` gets it back and owns it then. */
void wm_director_to_store(struct wm_director *d, struct wm_job *job,
                          void (*deliver)(struct wm_director *d, struct wm_note *note),
                          void (*drop)(struct wm_note *note));
void wm_director_to_reader(struct wm_director *d, struct wm_job *job,
                           void (*deliver)(struct wm_director *d, struct wm_note *note),
                           void (*drop)(struct wm_note *note));
void wm_director_to_keeper(struct wm_director *d, struct wm_job *job,
                           void (*deliver)(struct wm_director *d, struct wm_note *note),
                           void (*drop)(struct wm_note *note));
/* Every `deliver` of a job begins with this. */
void wm_director_job_back(struct wm_director *d);

/* Does the conversation's next thing, or sets when it is due; a conversation with nothing to do is let go. */
void wm_talk_step(struct wm_director *d, struct wm_talk *talk);
/* The conversation in memory; NULL: no room, it waits on disk. */
struct wm_talk *wm_talk_get(struct wm_director *d, int64_t id, struct wm_line *line);

void wm_inbound_pump(struct wm_director *d);
void wm_inbound_end(struct wm_director *d);

void wm_waiting_pump(struct wm_director *d);

void wm_thinking_begin(struct wm_director *d, struct wm_talk *talk);
void wm_thinking_cancel(struct wm_talk *talk);

/* A picture that its messages waited for has come, or never will. */
void wm_thinking_pictures_came(struct wm_director *d, struct wm_talk *talk);

void wm_media_pump(struct wm_director *d);

void wm_delivery_step(struct wm_director *d, struct wm_talk *talk);
/* A status has settled that row. */
void wm_delivery_settled(struct wm_director *d, struct wm_talk *talk, int64_t row);

void wm_effect_read(struct wm_director *d, struct wm_talk *talk);
void wm_effect_typing(struct wm_director *d, struct wm_talk *talk);

#endif

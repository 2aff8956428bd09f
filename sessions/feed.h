/* feed.h -- how bodies get from their commit to the director: by hand while it keeps up, from disk when it does not.
 * Design: feed.c.
 */
#ifndef WM_SESSIONS_FEED_H
#define WM_SESSIONS_FEED_H

#include <pthread.h>

#include "sessions/job.h"

/* A verified body, from the door to the director. */
struct wm_body {
    struct wm_note note;
    int64_t id; /* in the inbox; 0 before the commit */
    int64_t arrived_ms;
    char *bytes; /* malloc'd */
    size_t len;
    void (*done)(void *arg, enum wm_status st); /* NULL when read back from disk */
    void *arg;
    char channel[]; /* name */
};

/* Takes `bytes` when it returns a body; NULL without memory. */
struct wm_body *wm_body_new(const char *channel, char *bytes, size_t len);
void wm_body_free(struct wm_body *body);

struct wm_feed {
    pthread_mutex_t lock;
    struct wm_mailbox *to;
    void (*deliver)(struct wm_director *d, struct wm_note *note);
    bool live;         /* the director has everything up to committed_id, or it lies in its mailbox */
    int64_t committed; /* id of the newest body on disk */
    size_t n, bytes;   /* handed over, not yet taken */
};

void wm_feed_init(struct wm_feed *feed, struct wm_mailbox *to,
                  void (*deliver)(struct wm_director *d, struct wm_note *note));
void wm_feed_end(struct wm_feed *feed);

/* Store thread, in order of id, after the commit. Takes the body. */
void wm_feed_offer(struct wm_feed *feed, struct wm_body *body);

/* Director: this body of an offer has been taken out of the mailbox. */
void wm_feed_taken(struct wm_feed *feed, const struct wm_body *body);

/* Director: not live, and everything that was handed over has been taken: time to read from disk. */
bool wm_feed_dry(struct wm_feed *feed);

/* Director, when it has read everything up to `last` from disk. True: from here on bodies are handed over again, the
 * next one is last + 1. False: more has been committed; read on. */
bool wm_feed_resume(struct wm_feed *feed, int64_t last);

#endif

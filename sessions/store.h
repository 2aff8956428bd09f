/* store.h -- the one writer: bodies and jobs in, one transaction for all that wait, answers after it is on disk.
 * Design: store.c.
 */
#ifndef WM_SESSIONS_STORE_H
#define WM_SESSIONS_STORE_H

#include "sessions/counters.h"
#include "sessions/feed.h"
#include "sessions/seams.h"

struct wm_store;

struct wm_store_options { /* all borrowed, outlive the store */
    const char *path;
    struct wm_feed *feed;
    struct wm_mailbox *answers; /* jobs go back here */
    struct wm_counters *counters;
    const struct wm_clock *clock;
    size_t ingest_bytes; /* bodies that may wait for their commit */
};

/* Opens or makes the database. Nothing runs yet: `db` may be used by the caller to repair what a crash left. */
enum wm_status wm_store_open(const struct wm_store_options *options, struct wm_store **out,
                             struct wm_error *err);
struct wm_db *wm_store_db(struct wm_store *s);

enum wm_status wm_store_start(struct wm_store *s, struct wm_error *err);

/* Any thread. Takes `body` on WM_OK. WM_EAGAIN: too much waits, or the disk is out of order; WM_ECANCELED: closing. */
enum wm_status wm_store_ingest(struct wm_store *s, struct wm_body *body);

/* Director. Takes the job; it comes back to `answers`, always. */
void wm_store_submit(struct wm_store *s, struct wm_job *job);

/* Writes what waits, joins, closes. Jobs that a broken disk refuses come back with WM_EIO. NULL is fine. */
void wm_store_close(struct wm_store *s);

#endif

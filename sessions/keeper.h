/* keeper.h -- the thread for slow work that needs no database: pictures are hashed, written and looked at there. */
#ifndef WM_SESSIONS_KEEPER_H
#define WM_SESSIONS_KEEPER_H

#include "sessions/job.h"

struct wm_keeper;

/* Jobs go back to `answers`, which outlives the keeper. */
enum wm_status wm_keeper_new(struct wm_mailbox *answers, struct wm_keeper **out, struct wm_error *err);

/* Director. Takes the job and runs its apply with `db` NULL, one after the other; it comes back to `answers`, always. */
void wm_keeper_submit(struct wm_keeper *k, struct wm_job *job);

/* Finishes what waits, joins. NULL is fine. */
void wm_keeper_free(struct wm_keeper *k);

#endif

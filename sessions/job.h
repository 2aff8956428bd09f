/* job.h -- what the director's mailbox holds (notes), and work that another thread does for it and sends back (jobs).
 */
#ifndef WM_SESSIONS_JOB_H
#define WM_SESSIONS_JOB_H

#include "kernels/base/mailbox.h"
#include "sessions/db.h"

struct wm_director;

/* Embed as the first member. Whoever gets the note owns it: exactly one of the two is called. */
struct wm_note {
    struct wm_letter letter;
    void (*deliver)(struct wm_director *d, struct wm_note *note); /* director thread */
    void (*drop)(struct wm_note *note);                           /* any thread, when the director is gone */
};

/* The same note goes out to the store or the reader and comes back as the answer. */
struct wm_job {
    struct wm_note note;
    /* Store thread: inside the transaction, with others; may run again after a rollback, so what it leaves in the job
     * must be set anew each time. Reader thread: only reads. Failures stay in `db`. */
    void (*apply)(struct wm_job *job, struct wm_db *db);
    enum wm_status status; /* WM_ECANCELED: set by apply to undo its own writes */
    struct wm_error error;
};

#endif

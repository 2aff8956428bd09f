/* reader.h -- the thread that reads the store: the director's loads and the questions of sessions.h. It never writes
 * and never makes the writer wait.
 */
#ifndef WM_SESSIONS_READER_H
#define WM_SESSIONS_READER_H

#include "sessions/job.h"

struct wm_reader;

/* Jobs go back to `answers`; both outlive the reader. */
enum wm_status wm_reader_new(const char *path, struct wm_mailbox *answers, struct wm_reader **out,
                             struct wm_error *err);

/* Any thread. Takes the job and runs it on one snapshot of the store. A job without `deliver` is a question: it has
 * told its asker when apply returns, and is dropped. WM_EAGAIN (questions only): too many wait; nothing was taken. */
enum wm_status wm_reader_submit(struct wm_reader *r, struct wm_job *job);

/* Finishes what waits, joins. NULL is fine. */
void wm_reader_free(struct wm_reader *r);

#endif

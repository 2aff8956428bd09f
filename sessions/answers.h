/* answers.h -- the questions of sessions.h as JSON. Any thread that owns a reading connection. */
#ifndef WM_SESSIONS_ANSWERS_H
#define WM_SESSIONS_ANSWERS_H

#include "sessions/brain.h"
#include "sessions/db.h"
#include "sessions/sessions.h"

/* Malloc'd JSON; NULL with a sentence: ENOENT, EINVAL, EIO. `brains` may be NULL: nothing is resident then. */
char *wm_answer_new(struct wm_db *db, const struct wm_question *q, struct wm_brains *brains,
                    struct wm_error *err);

#endif

/* checkpoint.h -- moves what the write-ahead log holds into the database, beside the writer. Design: checkpoint.c. */
#ifndef WM_SESSIONS_CHECKPOINT_H
#define WM_SESSIONS_CHECKPOINT_H

#include "sessions/db.h"

struct wm_checkpointer;

enum wm_status wm_checkpointer_new(const char *path, struct wm_checkpointer **out, struct wm_error *err);

/* Writer thread, after a commit, outside a transaction: the log now has that many pages. Returns at once but for the
 * rare closing step. */
void wm_checkpointer_grown(struct wm_checkpointer *c, sqlite3 *writer, int pages);

void wm_checkpointer_free(struct wm_checkpointer *c); /* joins; NULL is fine */

#endif

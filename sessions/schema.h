/* schema.h -- the tables of the store, and how an older store becomes a newer one. */
#ifndef WM_SESSIONS_SCHEMA_H
#define WM_SESSIONS_SCHEMA_H

#include "sessions/db.h"

/* Sets the writer's pragmas and brings the tables to this version. EFORMAT: the store is newer than this program, or
 * no store of ours. */
enum wm_status wm_schema_prepare(struct wm_db *db, struct wm_error *err);

/* A connection that only reads: EFORMAT when the store has another version. */
enum wm_status wm_schema_open_reader(struct wm_db *db, const char *path, struct wm_error *err);

#endif

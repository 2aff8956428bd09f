/* inbox.h -- the table of bodies as they came: appended by the store, read back by the reader, pruned in small steps.
 */
#ifndef WM_SESSIONS_INBOX_H
#define WM_SESSIONS_INBOX_H

#include "sessions/feed.h"

struct wm_inbox {
    int64_t last_id; /* newest row */
    int64_t upto;    /* bytes of all bodies up to it */
};

/* Store thread, after (re)opening: where appending goes on. */
struct wm_inbox wm_inbox_end(struct wm_db *db);

/* Store thread, in a transaction: gives the body its id. */
void wm_inbox_append(struct wm_db *db, struct wm_inbox *inbox, struct wm_body *body);

/* Newest body that has become events. */
int64_t wm_inbox_watermark(struct wm_db *db);
void wm_inbox_set_watermark(struct wm_db *db, int64_t id);

/* Reader thread: the next bodies behind `after`, at most `max`; returns how many. */
size_t wm_inbox_page(struct wm_db *db, int64_t after, struct wm_body **out, size_t max);

/* Store thread, in a transaction: drops some processed bodies that are too old or too many. True: there may be more. */
bool wm_inbox_prune(struct wm_db *db, int64_t now_ms);

/* The row number of a channel's name; made when new (store thread). */
int64_t wm_channel_row(struct wm_db *db, const char *name);

#endif

/* outbox_rows.h -- the outbox on disk: one row per part of a reply, and the steps it may take. Design: outbox_rows.c.
 */
#ifndef WM_SESSIONS_OUTBOX_ROWS_H
#define WM_SESSIONS_OUTBOX_ROWS_H

#include "sessions/channel.h"
#include "sessions/job.h"

enum { WM_OUTBOX_NOTICE = 0 }; /* the `turn` of what wingman itself says; an opt-out does not stop it */

enum { WM_REF_BYTES = 48 };
/* Our reference of a row, as it goes to the platform. `store` is this store's name. */
void wm_outbox_ref(char out[WM_REF_BYTES], const char *store, int64_t row);

void wm_outbox_insert(struct wm_db *db, int64_t conversation, int64_t turn, int64_t part, const char *text,
                      size_t len, int64_t now_ms);

/* The row that a platform means by our reference or by its own id (each may be NULL); 0: none of ours. */
int64_t wm_outbox_find(struct wm_db *db, const char *ref, const char *platform_id);

struct wm_outbox_change {
    int64_t conversation, settled; /* 0: nothing of ours; 0: it was not open */
    bool was_unknown, failed;
};
/* Takes a STATUS event. */
struct wm_outbox_change wm_outbox_status(struct wm_db *db, const struct wm_event *e);

/* At start: what was being sent when the last run ended is `unknown` now. Returns open rows. */
struct wm_outbox_counts {
    int64_t queued, unknown;
};
struct wm_outbox_counts wm_outbox_recover(struct wm_db *db, int64_t now_ms, int64_t unknown_wait_ms);

/* --- jobs ----------------------------------------------------------------------------------------------------- */

struct wm_outbox_row {
    int64_t id;
    bool unknown;       /* else queued */
    int64_t sending_ms; /* wall time of the last attempt */
    int64_t unknown_ms; /* with unknown: when silence counts as proof */
    char *text;
};

enum { WM_OUTBOX_PAGE = 16 };

/* Reader: the open rows of a conversation, oldest first. */
struct wm_outbox_load {
    struct wm_job job;
    int64_t conversation;
    size_t n;
    struct wm_outbox_row rows[WM_OUTBOX_PAGE];
    char *contact; /* the id to send to */
    char *account; /* "" : the channel's own */
};
void wm_outbox_load_apply(struct wm_job *job, struct wm_db *db);
void wm_outbox_load_drop(struct wm_note *note);

/* Store: may this row go out now? If so it is `sending` before the call leaves. */
struct wm_outbox_claim {
    struct wm_job job;
    int64_t conversation, row, now_ms, window_ms;
    enum {
        WM_CLAIM_GO,
        WM_CLAIM_WITHHELD, /* failed now; `why` */
        WM_CLAIM_SETTLED   /* no longer queued: a status was faster */
    } verdict;
    const char *why;
    int attempts; /* this one included */
};
void wm_outbox_claim_apply(struct wm_job *job, struct wm_db *db);

/* Store: what an attempt came to. Does nothing (`late`) when a status has settled the row meanwhile. */
struct wm_outbox_settle {
    struct wm_job job;
    int64_t conversation, row;
    int64_t retry_ms; /* for whoever gets it back */
    const char *from; /* "sending", "unknown" */
    const char *state;
    int64_t unknown_ms; /* with state unknown: wall time; 0: no silence will prove anything */
    char platform_id[256], error[256];
    int32_t code;
    bool late;
};
void wm_outbox_settle_apply(struct wm_job *job, struct wm_db *db);

#endif

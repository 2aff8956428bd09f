/* media_rows.h -- people's pictures on disk: which are wanted, what became of them, which row of the transcript they stand
 * in. Store and reader threads, inside transactions. Design: media.c.
 */
#ifndef WM_SESSIONS_MEDIA_ROWS_H
#define WM_SESSIONS_MEDIA_ROWS_H

#include "sessions/job.h"
#include "sessions/prompt.h"
#include "sessions/shelf.h"

/* Store: the media of an event (platform ids, NULL-ended, at most `max`) belong to that row of the transcript, and those
 * that are new are wanted. Returns how many there are. */
size_t wm_media_want(struct wm_db *db, int64_t channel, int64_t row, char *const *ids, size_t max,
                     int64_t now_ms);

/* At start: whatever a crash interrupted is due at once. Returns how many are wanted. */
int64_t wm_media_recover(struct wm_db *db);

enum { WM_MEDIA_TAKE = 4 }; /* under way at a time: this many pictures are in memory at most */
enum { WM_MEDIA_ATTEMPTS = 8 };

/* Store: the media that are due, at most `room`, each marked as tried once more, so that a picture which brings the process
 * down is not tried for ever. */
struct wm_media_take {
    struct wm_job job;
    int64_t now_ms;
    size_t room, n;
    struct {
        int64_t id, attempts;
        char *channel, *platform_id;
    } taken[WM_MEDIA_TAKE];
    int64_t wanted;  /* in all */
    int64_t next_ms; /* wall time at which the next is due; 0: none */
};
void wm_media_take_apply(struct wm_job *job, struct wm_db *db);
void wm_media_take_drop(struct wm_note *note);

enum { WM_MEDIA_TOLD = 16 };

/* What became of a medium. */
struct wm_media_end {
    enum { WM_MEDIA_IS_WANTED, WM_MEDIA_IS_FETCHED, WM_MEDIA_IS_FAILED } state;
    int64_t next_ms;             /* wanted: wall time of the next attempt */
    struct wm_picture picture;   /* fetched; its path is not stored */
    const char *fingerprint;     /* fetched: of the model that has looked */
    const char *mime;            /* fetched: as the bytes say */
    int64_t bytes;               /* fetched */
    char error[256];             /* wanted, failed: why */
    int64_t told[WM_MEDIA_TOLD]; /* out: conversations whose messages wait for it */
    size_t n_told;
};
/* Store. A medium that is not wanted any more is left as it is. */
void wm_media_end(struct wm_db *db, int64_t id, struct wm_media_end *end);

/* Reader: the pictures of a row of the transcript, for a model. */
struct wm_media_of_row {
    struct wm_picture *pictures; /* in order, paths malloc'd; NULL when there is none */
    size_t n;
    size_t wanted; /* still to come */
    size_t failed; /* never, or of no use to this model */
};
/* False without memory. */
bool wm_media_of_row(struct wm_db *db, const struct wm_shelf *shelf, int64_t row, const char *fingerprint,
                     struct wm_media_of_row *out);

/* The pictures whose slots a row's stored tokens hold, as they are kept beside them: hash and grid, 40 bytes each. */
enum { WM_MEDIA_KEPT_BYTES = WM_PICTURE_HASH + 2 * (int)sizeof(int32_t) };
/* malloc'd; NULL without pictures or memory. */
void *wm_media_pack_new(const struct wm_picture *pictures, size_t n);
/* False when a file is not there any more, or without memory: the tokens are of no use then. */
bool wm_media_unpack(const struct wm_shelf *shelf, const void *packed, size_t bytes,
                     struct wm_picture **pictures, size_t *n);
void wm_media_pictures_free(struct wm_picture *pictures, size_t n);

#endif

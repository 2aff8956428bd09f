/* picture_reader.h -- a thread that reads and tiles picture files, so that the engine thread need not.
 * Design: picture_reader.c. */
#ifndef WM_ENGINE_PICTURE_READER_H
#define WM_ENGINE_PICTURE_READER_H

#include "engine/picture_file.h"
#include "engine/post.h"

/* One file to read, and what came of it. */
struct wm_reading {
    struct wm_post post;       /* first */
    struct wm_picture picture; /* its path is ours */
    struct wm_tiles tiles;
    struct wm_error error; /* code WM_OK: the tiles are there */
};

struct wm_picture_reader;

/* Starts the thread. Readings come back to `replies`, whose owner takes them. `v` is borrowed. */
enum wm_status wm_picture_reader_new(const struct wm_vision_arch *v, struct wm_mailbox *replies,
                                     struct wm_picture_reader **out, struct wm_error *err);

/* Any thread. The reading of that picture will come back, whatever becomes of it. WM_ENOMEM. */
enum wm_status wm_picture_reader_post(struct wm_picture_reader *r, const struct wm_picture *picture);

/* Stops the thread after the reading at hand; readings that wait are dropped. NULL is fine. */
void wm_picture_reader_free(struct wm_picture_reader *r);

void wm_reading_free(struct wm_reading *reading); /* NULL is fine */

#endif

/* shelf.h -- the files of people's pictures: DATA/media/ab/HASH, named by the SHA-256 of their bytes, each written whole or
 * not at all. Design: shelf.c.
 */
#ifndef WM_SESSIONS_SHELF_H
#define WM_SESSIONS_SHELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum { WM_SHELF_HASH = 32 };

struct wm_shelf {
    char *root; /* DATA/media */
};

/* Makes the folder (0700) when missing and sweeps away what a crash left half written. Before any thread uses it. */
enum wm_status wm_shelf_open(const char *data, struct wm_shelf *out, struct wm_error *err);
void wm_shelf_close(struct wm_shelf *shelf); /* a zeroed one is fine */

/* Any thread. malloc'd; NULL without memory. */
char *wm_shelf_path_new(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH]);

/* Any thread. Whether the file is there; `bytes` < 0: of whatever length. */
bool wm_shelf_holds(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH], int64_t bytes);

/* A thread that nobody waits for. WM_OK: the bytes are on disk under their name, also after a loss of power. EIO: the
 * sentence says what the disk said. `hash` is the caller's to have computed. */
enum wm_status wm_shelf_put(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH],
                            const void *bytes, size_t len, struct wm_error *err);

/* Takes a file away that turned out to be none of ours to keep. */
void wm_shelf_drop(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH]);

#endif

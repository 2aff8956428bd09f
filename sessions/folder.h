/* folder.h -- the data folder: made private, held by one daemon at a time, and the paths inside it. */
#ifndef WM_SESSIONS_FOLDER_H
#define WM_SESSIONS_FOLDER_H

#include "kernels/base/error.h"

struct wm_folder {
    char *store; /* path of the database */
    int lock;    /* descriptor whose flock is ours; -1 without */
};

/* Makes the folder (0700) when missing and takes it. EEXIST: another daemon holds it; the sentence names its process.
 * EIO, EDENIED: it cannot be made or written. */
enum wm_status wm_folder_take(const char *data, struct wm_folder *out, struct wm_error *err);
void wm_folder_leave(struct wm_folder *folder);

/* malloc'd path of the database in `data`; NULL without memory. */
char *wm_folder_store_path(const char *data);

#endif

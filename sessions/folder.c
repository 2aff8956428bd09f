/* folder.c -- see folder.h.
 *
 * The lock is flock(2) on a file that stays: the kernel gives it back when the process dies, however it dies, so there
 * is no stale lock to clean up. The process id inside is for the sentence only and decides nothing.
 */
#include "sessions/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRIVATE_FOLDER = 0700, PRIVATE_FILE = 0600 };

static char *path_in(const char *data, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", data, name) < 0 ? NULL : path;
}

char *wm_folder_store_path(const char *data)
{
    return path_in(data, "wingman.db");
}

static enum wm_status make_folder(const char *data, struct wm_error *err)
{
    if (mkdir(data, PRIVATE_FOLDER) == 0)
        return WM_OK;
    int why = errno;
    struct stat st;
    if (why == EEXIST && stat(data, &st) == 0 && S_ISDIR(st.st_mode))
        return WM_OK;
    if (why == EEXIST)
        return wm_fail(err, WM_EINVAL, "the data folder %s is a file: move it away or set `data` to a folder",
                       data);
    return wm_fail(
        err, why == EACCES || why == EROFS ? WM_EDENIED : WM_EIO,
        "cannot make the data folder %s: %s; make it, or set `data` to a folder that this user may write",
        data, strerror(why));
}

static enum wm_status held_by_another(const char *data, int fd, struct wm_error *err)
{
    char pid[32] = "";
    ssize_t got = pread(fd, pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return wm_fail(
        err, WM_EEXIST,
        "the data folder %s is in use by another wingman (process %s): stop it, or set another `data` folder",
        data, *pid ? pid : "unknown");
}

enum wm_status wm_folder_take(const char *data, struct wm_folder *out, struct wm_error *err)
{
    enum wm_status st = make_folder(data, err);
    if (st != WM_OK)
        return st;
    struct wm_folder folder = {.store = wm_folder_store_path(data), .lock = -1};
    char *lock = path_in(data, "lock");
    if (!folder.store || !lock) {
        st = wm_fail(err, WM_ENOMEM, "no memory for the paths of %s", data);
        goto fail;
    }
    folder.lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, PRIVATE_FILE);
    if (folder.lock < 0) {
        st = wm_fail(err, errno == EACCES || errno == EROFS ? WM_EDENIED : WM_EIO,
                     "cannot write in the data folder %s: %s; give this user the right to, or set another "
                     "`data` folder",
                     data, strerror(errno));
        goto fail;
    }
    if (flock(folder.lock, LOCK_EX | LOCK_NB) != 0) {
        st = errno == EWOULDBLOCK
                 ? held_by_another(data, folder.lock, err)
                 : wm_fail(err, WM_EIO, "cannot lock the data folder %s: %s", data, strerror(errno));
        goto fail;
    }
    /* SQLite would make it readable to others; the log beside it takes over these rights. */
    int store = open(folder.store, O_RDWR | O_CREAT | O_CLOEXEC, PRIVATE_FILE);
    if (store >= 0)
        close(store);
    if (ftruncate(folder.lock, 0) == 0)
        dprintf(folder.lock, "%ld\n", (long)getpid());
    free(lock);
    *out = folder;
    return WM_OK;

fail:
    free(lock);
    wm_folder_leave(&folder);
    return st;
}

void wm_folder_leave(struct wm_folder *folder)
{
    if (folder->lock >= 0)
        close(folder->lock);
    free(folder->store);
    *folder = (struct wm_folder){.lock = -1};
}

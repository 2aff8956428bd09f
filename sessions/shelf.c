/* shelf.c -- the files of people's pictures.
 *
 * WHY     A picture is read again in every turn that still sees it, perhaps after a restart and long after the platform
 *         has forgotten it. In the database it would weigh on every page of the log.
 *
 * HOW     The name is the content: the same picture sent twice is one file, and a file is never changed. It is written
 *         under a name that nobody looks for, synced, and renamed; then the folder is synced.
 *
 *           incoming-XXXXXX --write, fsync--> rename --> ab/abcd...  --> fsync of ab/
 *
 * ALWAYS  (1) A file under its final name is whole. (2) A crash leaves at most files named incoming-*, which the next
 *         start takes away. (3) 0700 and 0600: they are people's own pictures.
 *
 * LIMITS  None of its own: a picture has at most media.max_bytes, and pictures stay as long as the conversation.
 */
#include "sessions/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRIVATE_FOLDER = 0700 };

static const char unfinished[] = "incoming-";

static enum wm_status trouble(const char *what, const char *path, struct wm_error *err)
{
    return wm_fail(err, errno == EACCES || errno == EROFS ? WM_EDENIED : WM_EIO, "cannot %s %s: %s", what,
                   path, strerror(errno));
}

static void sweep(const char *root)
{
    DIR *folder = opendir(root);
    if (!folder)
        return;
    for (struct dirent *e; (e = readdir(folder));)
        if (strncmp(e->d_name, unfinished, sizeof unfinished - 1) == 0)
            unlinkat(dirfd(folder), e->d_name, 0);
    closedir(folder);
}

enum wm_status wm_shelf_open(const char *data, struct wm_shelf *out, struct wm_error *err)
{
    char *root;
    if (asprintf(&root, "%s/media", data) < 0)
        return wm_fail(err, WM_ENOMEM, "no memory for a path in %s", data);
    if (mkdir(root, PRIVATE_FOLDER) != 0 && errno != EEXIST) {
        enum wm_status st = trouble("make the folder", root, err);
        free(root);
        return st;
    }
    sweep(root);
    out->root = root;
    return WM_OK;
}

void wm_shelf_close(struct wm_shelf *shelf)
{
    free(shelf->root);
    shelf->root = NULL;
}

char *wm_shelf_path_new(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH])
{
    char hex[2 * WM_SHELF_HASH + 1], *path;
    for (int i = 0; i < WM_SHELF_HASH; i++)
        snprintf(hex + (size_t)2 * (size_t)i, 3, "%02x", hash[i]);
    return asprintf(&path, "%s/%.2s/%s", shelf->root, hex, hex) < 0 ? NULL : path;
}

bool wm_shelf_holds(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH], int64_t bytes)
{
    struct stat st;
    char *path = wm_shelf_path_new(shelf, hash);
    bool there = path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && (bytes < 0 || st.st_size == bytes);
    free(path);
    return there;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return synced;
}

/* The folder of a path, made when missing: `path` is cut there for a moment. */
static bool make_folder_of(const struct wm_shelf *shelf, char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    bool made = mkdir(path, PRIVATE_FOLDER) == 0 ? sync_folder(shelf->root) : errno == EEXIST;
    *slash = '/';
    return made;
}

static bool sync_folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    bool synced = sync_folder(path);
    *slash = '/';
    return synced;
}

enum wm_status wm_shelf_put(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH],
                            const void *bytes, size_t len, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    int fd = -1;
    char *path = wm_shelf_path_new(shelf, hash), *draft;
    if (asprintf(&draft, "%s/%sXXXXXX", shelf->root, unfinished) < 0)
        draft = NULL;
    if (!path || !draft) {
        st = wm_fail(err, WM_ENOMEM, "no memory for a path in %s", shelf->root);
        goto done;
    }
    fd = mkostemp(draft, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        st = trouble("write a picture to", shelf->root, err);
        goto done;
    }
    if (!write_all(fd, bytes, len) || !make_folder_of(shelf, path) || rename(draft, path) != 0 ||
        !sync_folder_of(path)) {
        st = trouble("write the picture", path, err);
        unlink(draft);
    }
done:
    if (fd >= 0)
        close(fd);
    free(draft);
    free(path);
    return st;
}

void wm_shelf_drop(const struct wm_shelf *shelf, const uint8_t hash[WM_SHELF_HASH])
{
    char *path = wm_shelf_path_new(shelf, hash);
    if (path)
        unlink(path);
    free(path);
}

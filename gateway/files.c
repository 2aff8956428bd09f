/* files.c -- see files.h. */
#include "gateway/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *wm_file_path(const char *folder, const char *path)
{
    if (path[0] == '/' || strcmp(folder, ".") == 0)
        return strdup(path);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    size_t size = strlen(folder) + strlen(path) + 2;
    char *joined = malloc(size);
    if (joined)
        snprintf(joined, size, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
    return joined;
}

static enum wm_status say(char *why, enum wm_status st, const char *text)
{
    snprintf(why, WM_FILE_WHY, "%s", text);
    return st;
}

static enum wm_status read_all(int fd, size_t max, struct wm_buffer *out, char *why)
{
    for (;;) {
        if (out->len > max) {
            snprintf(why, WM_FILE_WHY, "is larger than %zu bytes", max);
            return WM_ELIMIT;
        }
        if (wm_buffer_reserve(out, 1) != WM_OK)
            return say(why, WM_ENOMEM, "does not fit into memory");
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
        if (n == 0)
            return WM_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return say(why, WM_EIO, strerror(errno));
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

enum wm_status wm_file_read(const char *path, size_t max, struct wm_buffer *out, unsigned *mode, char *why)
{
    struct stat info;
    enum wm_status st;
    *out = WM_BUFFER(max + 1); /* one more, to see that there is more */

    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return say(why, errno == ENOENT ? WM_ENOENT : WM_EIO, strerror(errno));
    if (fstat(fd, &info) != 0) {
        st = say(why, WM_EIO, strerror(errno));
        goto close_fd;
    }
    if (!S_ISREG(info.st_mode)) {
        st = say(why, WM_EINVAL, "is not a regular file");
        goto close_fd;
    }
    if (mode)
        *mode = info.st_mode & 07777;
    /* Room for the whole file at once: growing later would leave a copy of a secret behind. */
    size_t size = info.st_size > 0 ? (size_t)info.st_size : 0;
    st = wm_buffer_reserve(out, (size < max ? size : max) + 1) == WM_OK
             ? read_all(fd, max, out, why)
             : say(why, WM_ENOMEM, "does not fit into memory");
    if (st != WM_OK) {
        if (out->data)
            explicit_bzero(out->data, out->len);
        wm_buffer_free(out);
    }

close_fd:
    close(fd);
    return st;
}

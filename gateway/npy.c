/* npy.c -- see npy.h. Magic, version, length of the rest of the header; then a Python literal, padded so that
 * the values begin at a multiple of 64 bytes. */
#include "gateway/npy.h"

#include <errno.h>
#include <string.h>

static enum wm_status cannot_write(const struct wm_npy *n, struct wm_error *err)
{
    return wm_fail(err, WM_EIO, "%s cannot be written: %s", n->path, strerror(errno));
}

enum wm_status wm_npy_begin(struct wm_npy *n, const char *path, const int64_t *shape, int dims,
                            struct wm_error *err)
{
    enum { HEAD = 192, PREFIX = 10 }; /* room for four numbers of 64 bits */
    char head[HEAD + 1];
    size_t at = (size_t)snprintf(head, sizeof head,
                                 "%cNUMPY%c%c%c%c{'descr': '<f4', 'fortran_order': False, 'shape': (", 0x93,
                                 1, 0, HEAD - PREFIX, 0);
    for (int i = 0; i < dims; i++)
        at += (size_t)snprintf(head + at, sizeof head - at, "%lld, ", (long long)shape[i]);
    at += (size_t)snprintf(head + at, sizeof head - at, "), }");
    memset(head + at, ' ', HEAD - at);
    head[HEAD - 1] = '\n';
    *n = (struct wm_npy){.file = fopen(path, "wb"), .path = path};
    if (!n->file || fwrite(head, 1, HEAD, n->file) != HEAD)
        return cannot_write(n, err);
    return WM_OK;
}

enum wm_status wm_npy_add(struct wm_npy *n, const float *values, size_t count, struct wm_error *err)
{
    if (n->file && fwrite(values, sizeof *values, count, n->file) != count)
        return cannot_write(n, err);
    return WM_OK;
}

enum wm_status wm_npy_end(struct wm_npy *n, struct wm_error *err)
{
    FILE *file = n->file;
    n->file = NULL;
    return file && fclose(file) != 0 ? cannot_write(n, err) : WM_OK;
}

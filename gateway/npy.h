/* npy.h -- writes numpy's .npy files (version 1.0) of float32, piece by piece: nothing is kept in memory. One
 * thread at a time. */
#ifndef WM_GATEWAY_NPY_H
#define WM_GATEWAY_NPY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/base/error.h"

enum { WM_NPY_DIMS = 4 };

/* A file being written. Zeroed: none, and then adding and ending do nothing. */
struct wm_npy {
    FILE *file;
    const char *path; /* borrowed; for the sentences */
};

/* Creates or overwrites `path` and writes its header; 1 to WM_NPY_DIMS dimensions, the last one changes
 * fastest. WM_EIO. After it, also after a failure, wm_npy_end is due. */
enum wm_status wm_npy_begin(struct wm_npy *n, const char *path, const int64_t *shape, int dims,
                            struct wm_error *err);
enum wm_status wm_npy_add(struct wm_npy *n, const float *values, size_t count, struct wm_error *err);

/* Closes it. That as many values were added as the shape says is the caller's part. */
enum wm_status wm_npy_end(struct wm_npy *n, struct wm_error *err);

#endif

/* picture_file.c -- see picture_file.h. */
#include "engine/picture_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/buffer.h"

static enum wm_status read_file(const char *path, struct wm_buffer *out, struct wm_error *err)
{
    enum { PIECE = 1 << 16 };
    enum wm_status st = WM_OK;
    FILE *f = fopen(path, "rb");
    if (!f)
        return wm_fail(err, errno == ENOENT ? WM_ENOENT : WM_EIO, "picture %s cannot be opened: %s", path,
                       strerror(errno));
    char *piece = malloc(PIECE);
    if (!piece)
        st = wm_fail(err, WM_ENOMEM, "picture %s: no memory to read it", path);
    while (st == WM_OK) {
        size_t n = fread(piece, 1, PIECE, f);
        if (n == 0)
            break;
        if (wm_buffer_add(out, piece, n) != WM_OK)
            st = wm_fail(err, out->len + n > WM_PICTURE_MAX_BYTES ? WM_ELIMIT : WM_ENOMEM,
                         "picture %s has more than the %d bytes that are taken, or there is no memory for it",
                         path, WM_PICTURE_MAX_BYTES);
    }
    if (st == WM_OK && ferror(f))
        st = wm_fail(err, WM_EIO, "picture %s cannot be read: %s", path, strerror(errno));
    free(piece);
    fclose(f);
    return st;
}

enum wm_status wm_picture_tiles(const struct wm_vision_arch *v, const char *path, struct wm_tiles *out,
                                struct wm_error *err)
{
    struct wm_buffer bytes = WM_BUFFER(WM_PICTURE_MAX_BYTES);
    *out = (struct wm_tiles){0};
    enum wm_status st = read_file(path, &bytes, err);
    if (st == WM_OK)
        st = wm_tiles_read(v, path, bytes.data ? bytes.data : "", bytes.len, out, err);
    wm_buffer_free(&bytes);
    return st;
}

enum wm_status wm_picture_tiles_of(const struct wm_vision_arch *v, const struct wm_picture *picture,
                                   struct wm_tiles *out, struct wm_error *err)
{
    enum wm_status st = wm_picture_tiles(v, picture->path, out, err);
    if (st == WM_OK && (memcmp(out->hash, picture->hash, sizeof out->hash) != 0 ||
                        out->n != wm_picture_n_tiles(v, picture))) {
        wm_tiles_free(out);
        st = wm_fail(err, WM_EFORMAT,
                     "picture %s has changed since it was looked at: send it again under another name",
                     picture->path);
    }
    return st;
}

enum wm_status wm_picture_look(const struct wm_vision_arch *v, const char *path, struct wm_picture *out,
                               struct wm_error *err)
{
    struct wm_tiles tiles;
    enum wm_status st = wm_picture_tiles(v, path, &tiles, err);
    if (st != WM_OK)
        return st;
    *out = (struct wm_picture){.rows = tiles.rows, .cols = tiles.cols, .path = path};
    memcpy(out->hash, tiles.hash, sizeof out->hash);
    wm_tiles_free(&tiles);
    return WM_OK;
}

int32_t wm_picture_n_tiles(const struct wm_vision_arch *v, const struct wm_picture *picture)
{
    int64_t n = (int64_t)picture->rows * picture->cols;
    if (picture->rows < 1 || picture->cols < 1 || n > v->max_tiles)
        return 0;
    return (int32_t)n + (n > 1);
}

int32_t wm_picture_rows(const struct wm_vision_arch *v, const struct wm_picture *picture)
{
    return wm_picture_n_tiles(v, picture) * wm_tile_tokens(v);
}

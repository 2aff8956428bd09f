/* picture_file.h -- pictures by the path of their file: looked at once, tiled when a prompt needs them. Any
 * thread that nobody waits for: decoding takes up to some hundred milliseconds. */
#ifndef WM_ENGINE_PICTURE_FILE_H
#define WM_ENGINE_PICTURE_FILE_H

#include "engine/engine.h"
#include "engine/picture.h"

/* Reads a file, at most WM_PICTURE_MAX_BYTES of it, and cuts it into tiles. WM_ENOENT, WM_EIO; else as
 * wm_tiles_read. */
enum wm_status wm_picture_tiles(const struct wm_vision_arch *v, const char *path, struct wm_tiles *out,
                                struct wm_error *err);

/* As wm_picture_tiles, for a picture that was looked at before: WM_EFORMAT when the file is another one
 * now. */
enum wm_status wm_picture_tiles_of(const struct wm_vision_arch *v, const struct wm_picture *picture,
                                   struct wm_tiles *out, struct wm_error *err);

/* As wm_engine_look. */
enum wm_status wm_picture_look(const struct wm_vision_arch *v, const char *path, struct wm_picture *out,
                               struct wm_error *err);

/* Tiles of a picture, the global one too, and rows that they become; 0 for a grid that no picture has. */
int32_t wm_picture_n_tiles(const struct wm_vision_arch *v, const struct wm_picture *picture);
int32_t wm_picture_rows(const struct wm_vision_arch *v, const struct wm_picture *picture);

#endif

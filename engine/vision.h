/* vision.h -- the vision tower: a tile of a picture becomes rows that stand where tokens stand. Design:
 * vision.c.
 *
 * Driven by the thread that drives the backend.
 */
#ifndef WM_ENGINE_VISION_H
#define WM_ENGINE_VISION_H

#include "engine/parts.h"
#include "engine/picture.h"

struct wm_vision; /* weights, and activations for one tile */

/* Packs the tower's weights; the files and `parts->arch`, which has a tower, must outlive the result. */
enum wm_status wm_vision_load(const struct wm_parts *parts, const struct wm_ops *ops, struct wm_backend *be,
                              struct wm_vision **out, struct wm_error *err);
void wm_vision_free(struct wm_vision *v); /* NULL is fine */

/* Tile `tile` becomes rows [row, row + wm_tile_tokens) of `out`, which is as wide as the text model. */
enum wm_status wm_vision_encode(struct wm_vision *v, const struct wm_tiles *tiles, int32_t tile,
                                struct wm_act *out, int32_t row, struct wm_error *err);

size_t wm_vision_weight_bytes(const struct wm_vision *v); /* packed, beyond the mapping */

#endif

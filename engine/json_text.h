/* json_text.h -- JSON as Python's json.dumps writes it, which is how models saw it in training. Any thread. */
#ifndef WM_ENGINE_JSON_TEXT_H
#define WM_ENGINE_JSON_TEXT_H

#include <jansson.h>

#include "kernels/base/buffer.h"

/* Appends `value` with ", " and ": " between the parts; `indent` > 0: one part a line, indented by so many spaces
 * more per level. Characters beyond ASCII stay as they are; keys stay in their order. WM_ELIMIT: past the ceiling of
 * `out`, or deeper than 64; WM_ENOMEM. */
enum wm_status wm_json_text(const json_t *value, int indent, struct wm_buffer *out);

/* Appends a number as Python's repr: the shortest that reads back the same, with ".0" when it is whole. */
enum wm_status wm_json_real(double value, struct wm_buffer *out);

#endif

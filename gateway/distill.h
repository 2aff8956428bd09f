/* distill.h -- what a teacher thinks of every position of many conversations, for students to learn from.
 * Design: distill.c. */
#ifndef WM_GATEWAY_DISTILL_H
#define WM_GATEWAY_DISTILL_H

#include <stdio.h>

#include "engine/score.h"

/* Reads conversations from `in`, one JSON object a line (prompt_json.h), and writes `path`, a safetensors
 * file with the `top` likeliest tokens of each position and their logits; `top` is cut to the vocabulary. The
 * file appears whole or not at all. WM_EFORMAT, WM_EINVAL: a line that is no conversation, before anything is
 * computed; WM_EIO. */
enum wm_status wm_distill(struct wm_score *score, FILE *in, int32_t top, const char *path,
                          struct wm_error *err);

#endif

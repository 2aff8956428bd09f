/* model_text.h -- a model's architecture and sizes in words, for `model info` and `plan`. One thread: the
 * number texts share a small ring of buffers, each good for the next eight calls. */
#ifndef WM_GATEWAY_MODEL_TEXT_H
#define WM_GATEWAY_MODEL_TEXT_H

#include <stdint.h>

#include "engine/arch.h"

/* The architecture as a table of lines, on standard output. */
void wm_print_arch(const struct wm_arch *a);

const char *wm_text_count(int64_t n);    /* "401,583,781,376" */
const char *wm_text_bytes(double bytes); /* "192.0 KiB", "49.1 GiB" */

#endif

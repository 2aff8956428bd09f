/* split.h -- cuts styled text into parts that a platform takes, in its dialect.
 * Any thread. Essay: split.c.
 */
#ifndef WM_TEXT_SPLIT_H
#define WM_TEXT_SPLIT_H

#include <stddef.h>

#include "adapters/text/styled.h"
#include "kernels/base/error.h"

enum { WM_SPLIT_UNITS_MIN = 64 }; /* less cannot hold a character and all markers for sure */

/* What a platform counts. */
enum wm_measure { WM_MEASURE_UTF16 /* code units */, WM_MEASURE_BYTES /* of UTF-8 */ };

/* Calls `part` for each piece, in order: never empty, no white space at its end, at most `max_units` of `measure`
 * with its markers. White space at which it was cut is gone. Text that is only white space has no parts. Stops at the
 * first status of `part` that is not WM_OK, and returns it. */
enum wm_status wm_split(const struct wm_dialect *dialect, const char *styled, size_t len,
                        enum wm_measure measure, size_t max_units,
                        enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                        struct wm_error *err);

#endif

/* pages.h -- large memory straight from the system: it costs nothing until it is touched, and can be given back.
 *
 * Any thread. Sizes are in bytes and rounded up to whole pages.
 */
#ifndef WM_KERNELS_PAGES_H
#define WM_KERNELS_PAGES_H

#include <stddef.h>

#include "kernels/base/error.h"

/* `bytes` rounded up to whole pages. */
size_t wm_pages_round(size_t bytes);

/* Zero-filled memory, committed page by page as it is first touched. The caller owns it. */
enum wm_status wm_pages_new(size_t bytes, void **out, struct wm_error *err);
void wm_pages_free(void *memory, size_t bytes); /* NULL is fine */

/* Gives the whole pages inside [memory, memory + bytes) back to the system. Memory from wm_pages_new reads as
 * zero afterwards; a mapped file's content is read from the file again. Other memory must not be passed. */
void wm_pages_drop(const void *memory, size_t bytes);

#endif

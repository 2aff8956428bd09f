/* buffer.h -- bytes that grow, up to a ceiling stated when the buffer is made.
 *
 * No buffer is without a ceiling: what a stranger can size ends in WM_ELIMIT, not in the OOM killer.
 * Content is always followed by a NUL that `len` does not count, so text can be printed as it is.
 * Not thread-safe: one owner at a time.
 */
#ifndef WM_BASE_BUFFER_H
#define WM_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/error.h"

struct wm_buffer {
    char *data;  /* NULL until the first byte */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes allocated, without the NUL */
    size_t max;  /* ceiling of len */
    bool failed; /* an append was refused; content is as before it. Sticky, so a chain needs one check */
};

#define WM_BUFFER(max_bytes) ((struct wm_buffer){.max = (max_bytes)})

/* Appends. WM_ELIMIT past the ceiling, WM_ENOMEM; the content is unchanged on failure and `failed` is set. */
enum wm_status wm_buffer_add(struct wm_buffer *b, const void *bytes, size_t len);
enum wm_status wm_buffer_puts(struct wm_buffer *b, const char *text);
enum wm_status wm_buffer_printf(struct wm_buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for `more` bytes behind data + len, so that a reader may write there and then raise len. */
enum wm_status wm_buffer_reserve(struct wm_buffer *b, size_t more);

/* Drops the first `len` bytes. */
void wm_buffer_consume(struct wm_buffer *b, size_t len);

/* Hands the bytes (malloc'd, NUL behind them) to the caller and leaves the buffer empty.
 * NULL only when memory ran out for an empty buffer. `len` may be NULL. */
char *wm_buffer_take(struct wm_buffer *b, size_t *len);

/* Frees the bytes; the ceiling stays. */
void wm_buffer_free(struct wm_buffer *b);

#endif

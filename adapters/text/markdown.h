/* markdown.h -- a model's Markdown becomes styled text (styled.h).
 * Any thread. Essay: markdown.c.
 */
#ifndef WM_TEXT_MARKDOWN_H
#define WM_TEXT_MARKDOWN_H

#include <stddef.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum { WM_MARKDOWN_MAX = 256 << 10 }; /* bytes; a longer text is taken as plain, unread */

/* Appends to `styled`. Text without Markdown comes out as it is; ill-formed UTF-8 becomes U+FFFD, control characters are
 * dropped. Only ENOMEM and ELIMIT (the buffer's ceiling; twice the length and 1 KiB suffice) fail. */
enum wm_status wm_markdown_style(const char *markdown, size_t len, struct wm_buffer *styled,
                                 struct wm_error *err);

#endif

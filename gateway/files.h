/* files.h -- small files that a person names: settings, secrets, knowledge.
 *
 * Only regular files, opened without waiting: a FIFO or a terminal named by mistake would hang the start for ever.
 * Any thread.
 */
#ifndef WM_GATEWAY_FILES_H
#define WM_GATEWAY_FILES_H

#include <stddef.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum { WM_FILE_WHY = 200 }; /* bytes of a reason, NUL included */

/* `path` as seen from `folder`; malloc'd, NULL without memory. Absolute paths stay. */
char *wm_file_path(const char *folder, const char *path);

/* A regular file of at most `max` bytes; on failure `why` (WM_FILE_WHY bytes) gets the reason: "is larger than ...".
 * `mode` (may be NULL) gets its permission bits. WM_ENOENT, WM_EIO, WM_EINVAL (not a regular file), WM_ELIMIT,
 * WM_ENOMEM. `out` is the caller's to free; it is empty on failure. */
enum wm_status wm_file_read(const char *path, size_t max, struct wm_buffer *out, unsigned *mode, char *why);

#endif

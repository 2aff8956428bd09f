/* head.h -- what the lines of a request's head mean; for parser.c. Rules: head.c, target.c.
 *
 * Each function returns 0, or refuses: it sets the parser's `status` and `why`, and returns the status.
 */
#ifndef WM_HTTP_HEAD_H
#define WM_HTTP_HEAD_H

#include "gateway/http/parser.h"

/* The line lies at head.data + at, `len` bytes without its CRLF; it is changed in place. */
int wm_http_head_request_line(struct wm_http_parser *p, size_t at, size_t len);
int wm_http_head_field(struct wm_http_parser *p, size_t at, size_t len);

/* All lines are in: what follows from them together. */
int wm_http_head_finish(struct wm_http_parser *p);

int wm_http_refuse(struct wm_http_parser *p, int status, const char *why);

/* A request target, taken apart and decoded in place. Offsets into `target`. */
struct wm_http_target {
    size_t path;                     /* NUL-terminated */
    size_t query;                    /* without '?'; == the target's length when there is none */
    size_t authority, authority_len; /* absolute form; else 0, 0 */
};

/* `target[len]` must be writable: it becomes the NUL. Returns NULL, or why the target is refused (400). */
const char *wm_http_target_read(char *target, size_t len, struct wm_http_target *out);

#endif

/* parser.h -- reads one HTTP/1.1 request from bytes as they come: strict, bounded, without sockets or clocks.
 *
 * One parser is one request. Bytes are handed in as they arrive, in pieces of any size; how they are cut never changes
 * the result. Essay, rules and limits: parser.c. Not thread-safe: one owner at a time.
 */
#ifndef WM_HTTP_PARSER_H
#define WM_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/http/chunked.h"
#include "kernels/base/buffer.h"

enum { WM_HTTP_FIELDS_MAX = 128 };

enum wm_http_step {
    WM_HTTP_MORE,   /* every byte was used; the request goes on */
    WM_HTTP_HEAD,   /* once: the head is whole. Set body_limit, then feed again, even with no bytes */
    WM_HTTP_WHOLE,  /* the request is whole; what was not used belongs to the next one */
    WM_HTTP_REFUSED /* answer `status`, say `why`, close: where the next request begins is not known */
};

/* A header line: offsets into the head's bytes. Names are lower case; both are NUL-terminated there. */
struct wm_http_field {
    uint32_t name, name_len, value, value_len;
};

struct wm_http_parser {
    /* The request, from WM_HTTP_HEAD on. Pointers into the parser: valid until it is freed. */
    const char *method, *path, *query;
    bool keep_alive;      /* the peer wants to go on after the answer */
    bool http_1_0;        /* the peer knows no chunked answers */
    bool expect_continue; /* the peer waits for "100 Continue" before it sends the body */
    bool has_body;        /* a body of at least one byte was announced */
    struct wm_buffer body;

    /* After WM_HTTP_REFUSED. */
    int status;
    const char *why; /* a sentence without the peer's bytes in it; static */

    /* The parser's own. */
    struct wm_buffer head;
    struct wm_http_field fields[WM_HTTP_FIELDS_MAX];
    int n_fields, max_fields;
    size_t head_limit, line_start, body_limit;
    uint64_t content_length;
    struct wm_chunked chunked;
    uint8_t state;
    bool is_chunked, skipped_blank;
    uint32_t method_at, path_at, query_at, authority_at,
        authority_len; /* offsets into head, until it is whole */
};

/* head_limit: bytes of the request line and all headers; max_fields: header lines, WM_HTTP_FIELDS_MAX at most.
 * Allocates nothing. */
void wm_http_parser_init(struct wm_http_parser *p, size_t head_limit, int max_fields);

/* Reads from bytes[0..len) and says in *used how many were taken. After WHOLE and REFUSED: do not feed again. */
enum wm_http_step wm_http_parser_feed(struct wm_http_parser *p, const char *bytes, size_t len, size_t *used);

/* Between HEAD and the next feed: bytes that the body may have. A longer one is refused with 413. */
void wm_http_parser_limit_body(struct wm_http_parser *p, size_t body_limit);

/* The first value of header `name` (lower case), NUL-terminated, or NULL. `len` and `count` (how many lines carry the
 * name) may be NULL. */
const char *wm_http_parser_header(const struct wm_http_parser *p, const char *name, size_t *len, int *count);

/* Has any byte of the request arrived? */
bool wm_http_parser_begun(const struct wm_http_parser *p);

/* Bytes that the parser holds in memory now. */
size_t wm_http_parser_held(const struct wm_http_parser *p);

void wm_http_parser_free(struct wm_http_parser *p);

#endif

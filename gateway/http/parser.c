/* parser.c -- reads one HTTP/1.1 request from bytes as they come.
 *
 * WHY     The library that carries our sockets has an HTTP role, but one packet can hang it for ever, and it knows
 *         neither limits nor chunked bodies. The bytes of strangers deserve a small machine that can be tested and
 *         fuzzed without any socket.
 *
 * HOW     The head is kept as it came. Whenever a line is whole it is judged (head.c) and its parts are ended with NULs
 *         where they lie, so nothing is copied twice. After the blank line the caller may look at the head, set the
 *         limit of the body, or give up; then the body is read by its length or its chunks.
 *
 *           LINES --blank line--> HEAD --caller--> LENGTH or CHUNKS or nothing --> WHOLE
 *
 * ALWAYS  (1) How the bytes are cut into pieces never changes the result.
 *         (2) A request is refused at the first line that is wrong, not at its end.
 *         (3) Lines end with CR LF. A bare LF, a bare CR, a NUL, a continued header: 400.
 *         (4) No byte behind the request is taken.
 *
 * LIMITS  head_limit bytes of request line (414) and headers (431), max_fields headers (431), body_limit bytes of body
 *         (413; before any of it is read when its length was announced). Memory grows with what has come, never with
 *         what was announced. One empty line before the request is forgiven, as RFC 9112 asks.
 */
#include "gateway/http/parser.h"

#include <string.h>

#include "gateway/http/head.h"

enum { REQUEST_LINE, FIELDS, HEAD_WHOLE, BODY_START, BODY_LENGTH, BODY_CHUNKS, WHOLE, REFUSED };

enum { SMALL_BODY = 16384 }; /* announced bodies up to here get their memory at once */

void wm_http_parser_init(struct wm_http_parser *p, size_t head_limit, int max_fields)
{
    *p = (struct wm_http_parser){.head = WM_BUFFER(head_limit),
                                 .head_limit = head_limit,
                                 .max_fields =
                                     max_fields < WM_HTTP_FIELDS_MAX ? max_fields : WM_HTTP_FIELDS_MAX};
}

void wm_http_parser_free(struct wm_http_parser *p)
{
    wm_buffer_free(&p->head);
    wm_buffer_free(&p->body);
}

bool wm_http_parser_begun(const struct wm_http_parser *p)
{
    return p->head.len > 0;
}

size_t wm_http_parser_held(const struct wm_http_parser *p)
{
    return p->head.cap + p->body.cap;
}

void wm_http_parser_limit_body(struct wm_http_parser *p, size_t body_limit)
{
    p->body_limit = body_limit;
}

const char *wm_http_parser_header(const struct wm_http_parser *p, const char *name, size_t *len, int *count)
{
    const struct wm_http_field *first = NULL;
    size_t name_len = strlen(name);
    int found = 0;
    for (int i = 0; i < p->n_fields; i++) {
        if (p->fields[i].name_len != name_len ||
            memcmp(p->head.data + p->fields[i].name, name, name_len) != 0)
            continue;
        if (found++ == 0)
            first = &p->fields[i];
    }
    if (count)
        *count = found;
    if (len)
        *len = first ? first->value_len : 0;
    return first ? p->head.data + first->value : NULL;
}

/* The line head.data[line_start, end) is whole; its CRLF follows. */
static int judge_line(struct wm_http_parser *p, size_t end)
{
    size_t at = p->line_start, len = end - at;
    if (p->state == REQUEST_LINE) {
        if (len == 0 && !p->skipped_blank) {
            p->skipped_blank = true;
            return 0;
        }
        p->state = FIELDS;
        return wm_http_head_request_line(p, at, len);
    }
    if (len > 0)
        return wm_http_head_field(p, at, len);
    p->state = HEAD_WHOLE;
    return wm_http_head_finish(p);
}

/* Takes bytes up to the end of the head. */
static int read_head(struct wm_http_parser *p, const char *bytes, size_t len, size_t *used)
{
    while (*used < len && p->state <= FIELDS) {
        const char *from = bytes + *used;
        const char *lf = memchr(from, '\n', len - *used);
        size_t n = lf ? (size_t)(lf - from) + 1 : len - *used;
        if (n > p->head_limit - p->head.len)
            return p->state == REQUEST_LINE ? wm_http_refuse(p, 414, "the request line is too long")
                                            : wm_http_refuse(p, 431, "the headers are too long");
        if (wm_buffer_add(&p->head, from, n) != WM_OK)
            return wm_http_refuse(p, 503, "out of memory");
        *used += n;
        if (!lf)
            return 0;
        size_t end = p->head.len - 1;
        if (end == p->line_start || p->head.data[end - 1] != '\r')
            return wm_http_refuse(p, 400, "a line of the head ends with a bare LF");
        int refused = judge_line(p, end - 1);
        if (refused)
            return refused;
        p->line_start = p->head.len;
    }
    return 0;
}

static int begin_body(struct wm_http_parser *p)
{
    if (p->content_length > p->body_limit)
        return wm_http_refuse(p, 413, "the body is longer than this address takes");
    p->body = WM_BUFFER(p->body_limit);
    p->state = p->is_chunked ? BODY_CHUNKS : p->content_length > 0 ? BODY_LENGTH : WHOLE;
    if (wm_buffer_reserve(&p->body, p->content_length <= SMALL_BODY ? (size_t)p->content_length : 0) != WM_OK)
        return wm_http_refuse(p, 503, "out of memory");
    return 0;
}

static int read_length_body(struct wm_http_parser *p, const char *bytes, size_t len, size_t *used)
{
    size_t left = (size_t)p->content_length - p->body.len, n = len - *used < left ? len - *used : left;
    if (wm_buffer_add(&p->body, bytes + *used, n) != WM_OK)
        return wm_http_refuse(p, 503, "out of memory");
    *used += n;
    if (n == left)
        p->state = WHOLE;
    return 0;
}

static int read_chunked_body(struct wm_http_parser *p, const char *bytes, size_t len, size_t *used)
{
    while (*used < len) {
        const char *data = NULL;
        size_t n = 0, data_len = 0;
        enum wm_chunked_step step =
            wm_chunked_feed(&p->chunked, bytes + *used, len - *used, &n, &data, &data_len);
        *used += n;
        if (step == WM_CHUNKED_BAD)
            return wm_http_refuse(p, 400, "the chunks of the body are malformed or padded past a limit");
        if (step == WM_CHUNKED_DATA) {
            enum wm_status st = wm_buffer_add(&p->body, data, data_len);
            if (st != WM_OK)
                return st == WM_ELIMIT ? wm_http_refuse(p, 413, "the body is longer than this address takes")
                                       : wm_http_refuse(p, 503, "out of memory");
        }
        if (step == WM_CHUNKED_END) {
            p->state = WHOLE;
            return 0;
        }
    }
    return 0;
}

enum wm_http_step wm_http_parser_feed(struct wm_http_parser *p, const char *bytes, size_t len, size_t *used)
{
    *used = 0;
    int refused = 0;
    if (p->state <= FIELDS) {
        refused = read_head(p, bytes, len, used);
        if (!refused && p->state == HEAD_WHOLE) {
            p->state = BODY_START;
            return WM_HTTP_HEAD;
        }
    }
    if (!refused && p->state == BODY_START)
        refused = begin_body(p);
    if (!refused && p->state == BODY_LENGTH)
        refused = read_length_body(p, bytes, len, used);
    if (!refused && p->state == BODY_CHUNKS)
        refused = read_chunked_body(p, bytes, len, used);
    if (refused) {
        p->state = REFUSED;
        return WM_HTTP_REFUSED;
    }
    return p->state == WHOLE ? WM_HTTP_WHOLE : WM_HTTP_MORE;
}

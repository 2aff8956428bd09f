/* http.c -- the request parser under any bytes, cut in any way.
 *
 * The first byte of the input chooses how the rest is cut. The same bytes are read whole and in pieces: both must give
 * the same requests, the same refusal, and take the same bytes. What is accepted must keep the parser's promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/parser.h"

enum { HEAD_LIMIT = 4096, FIELDS_MAX = 20, BODY_LIMIT = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int truth)
{
    if (!truth)
        abort();
}

static void check_promises(const struct wm_http_parser *p)
{
    demand(p->path[0] == '/' && !strstr(p->path, "//") && !strstr(p->path, "/../") && !strchr(p->path, '\\'));
    demand(!strchr(p->path, '%') && !strchr(p->query, '#') && !strchr(p->query, ' '));
    demand(p->n_fields <= FIELDS_MAX && p->body.len <= BODY_LIMIT && p->head.len <= HEAD_LIMIT);
    for (int i = 0; i < p->n_fields; i++) {
        const char *name = p->head.data + p->fields[i].name, *value = p->head.data + p->fields[i].value;
        demand(name[0] != '\0' && strlen(value) == p->fields[i].value_len && !strpbrk(value, "\r\n"));
        demand(wm_http_parser_header(p, name, NULL, NULL) != NULL);
    }
}

/* Reads all requests in pieces chosen by `seed` (0: whole) and writes down what they were; returns the bytes taken. */
static size_t read_all(const char *bytes, size_t len, uint32_t seed, struct wm_buffer *out)
{
    struct wm_http_parser p;
    size_t at = 0;
    enum wm_http_step step = WM_HTTP_MORE;
    wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
    while ((at < len || step == WM_HTTP_HEAD) && step != WM_HTTP_REFUSED) {
        size_t used = 0, n = len - at;
        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            size_t piece = 1 + (seed >> 16) % 17;
            n = n < piece ? n : piece;
        }
        step = wm_http_parser_feed(&p, bytes + at, n, &used);
        demand(used <= n && (step != WM_HTTP_MORE || used == n));
        at += used;
        if (step == WM_HTTP_HEAD)
            wm_http_parser_limit_body(&p, BODY_LIMIT);
        if (step == WM_HTTP_REFUSED) {
            demand(p.status >= 400 && p.status <= 505 && p.why != NULL);
            wm_buffer_printf(out, "refused %d %s\n", p.status, p.why);
        }
        if (step != WM_HTTP_WHOLE)
            continue;
        check_promises(&p);
        wm_buffer_printf(out, "%s %s %s %d %d %zu\n", p.method, p.path, p.query, p.keep_alive, p.n_fields,
                         p.body.len);
        wm_buffer_add(out, p.body.data, p.body.len);
        wm_http_parser_free(&p);
        wm_http_parser_init(&p, HEAD_LIMIT, FIELDS_MAX);
        step = WM_HTTP_MORE;
    }
    wm_http_parser_free(&p);
    return step == WM_HTTP_REFUSED ? SIZE_MAX : at; /* where a refused request ends is nobody's business */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *bytes = (const char *)data + 1;
    struct wm_buffer whole = WM_BUFFER(1 << 24), pieces = WM_BUFFER(1 << 24);
    size_t a = read_all(bytes, size - 1, 0, &whole), b = read_all(bytes, size - 1, 1 + data[0], &pieces);
    demand(a == b && whole.len == pieces.len &&
           (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
    wm_buffer_free(&whole);
    wm_buffer_free(&pieces);
    return 0;
}

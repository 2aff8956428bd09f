/* answer.c -- the bytes of an answer: status line, the server's own headers, the handler's, and the body behind them.
 *
 * WHY     A second send costs as much as a whole request, so head and body are laid into one buffer. And what a browser
 *         must be told for safety is told here, once, for every answer of every route.
 *
 * ALWAYS  (1) An answer has one length: Content-Length, chunks, or the end of the connection.
 *         (2) nosniff and no-referrer are on every answer. "no-store" and a policy that allows nothing are the defaults
 *             of Cache-Control and Content-Security-Policy; a handler's own header of the name replaces them.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "gateway/http/inside.h"

/* Status, reason phrase. */
#define REASONS(X)                                                                                           \
    X(100, "Continue")                                                                                       \
    X(200, "OK")                                                                                             \
    X(201, "Created")                                                                                        \
    X(202, "Accepted")                                                                                       \
    X(204, "No Content")                                                                                     \
    X(206, "Partial Content")                                                                                \
    X(301, "Moved Permanently")                                                                              \
    X(302, "Found")                                                                                          \
    X(303, "See Other")                                                                                      \
    X(304, "Not Modified")                                                                                   \
    X(307, "Temporary Redirect")                                                                             \
    X(308, "Permanent Redirect")                                                                             \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(406, "Not Acceptable")                                                                                 \
    X(408, "Request Timeout")                                                                                \
    X(409, "Conflict")                                                                                       \
    X(410, "Gone")                                                                                           \
    X(411, "Length Required")                                                                                \
    X(412, "Precondition Failed")                                                                            \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(415, "Unsupported Media Type")                                                                         \
    X(416, "Range Not Satisfiable")                                                                          \
    X(417, "Expectation Failed")                                                                             \
    X(422, "Unprocessable Content")                                                                          \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(502, "Bad Gateway")                                                                                    \
    X(503, "Service Unavailable")                                                                            \
    X(504, "Gateway Timeout")                                                                                \
    X(505, "HTTP Version Not Supported")

const char *wm_http_reason(int status)
{
    switch (status) {
#define X(code, text)                                                                                        \
    case code:                                                                                               \
        return text;
        REASONS(X)
#undef X
    default:
        return "Unknown";
    }
}

/* The server's own headers, each unless the handler sends one of that name. */
static const struct {
    const char *name, *line;
} defaults[] = {
    {"cache-control:", "Cache-Control: no-store\r\n"},
    {"content-security-policy:", "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"},
};

/* Does one of the lines begin with `name` (lower case, with its colon)? */
static bool has_line(const char *lines, const char *name)
{
    size_t len = strlen(name);
    while (lines && *lines) {
        if (strncasecmp(lines, name, len) == 0)
            return true;
        lines = strchr(lines, '\n');
        lines = lines ? lines + 1 : NULL;
    }
    return false;
}

/* The Date header, made anew once a second. */
static const char *date_line(struct wm_http_server *s)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t;
    if (now != s->date_at && gmtime_r(&now, &t)) {
        snprintf(s->date, sizeof s->date, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                 days[t.tm_wday % 7], t.tm_mday, months[t.tm_mon % 12], (t.tm_year + 1900) % 10000, t.tm_hour,
                 t.tm_min, t.tm_sec);
        s->date_at = now;
    }
    return s->date;
}

/* Without printf, which would cost more here than everything else of an answer. */
static void add_number(struct wm_buffer *out, size_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    wm_buffer_add(out, digits + at, sizeof digits - at);
}

enum wm_status wm_http_answer_write(struct wm_http_server *s, const struct wm_http_answer *a,
                                    struct wm_buffer *out)
{
    wm_buffer_puts(out, "HTTP/1.1 ");
    add_number(out, (size_t)a->status);
    wm_buffer_puts(out, " ");
    wm_buffer_puts(out, wm_http_reason(a->status));
    wm_buffer_puts(out, "\r\n");
    wm_buffer_puts(out, date_line(s));
    if (a->content_type) {
        wm_buffer_puts(out, "Content-Type: ");
        wm_buffer_puts(out, a->content_type);
        wm_buffer_puts(out, "\r\n");
    }
    bool bodiless = a->status == 204 || a->status == 304;
    if (a->framing == WM_HTTP_SIZED && !bodiless) {
        wm_buffer_puts(out, "Content-Length: ");
        add_number(out, a->len);
        wm_buffer_puts(out, "\r\n");
    }
    if (a->framing == WM_HTTP_CHUNKED)
        wm_buffer_puts(out, "Transfer-Encoding: chunked\r\n");
    if (a->close)
        wm_buffer_puts(out, "Connection: close\r\n");
    wm_buffer_puts(out, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (!has_line(a->headers, defaults[i].name))
            wm_buffer_puts(out, defaults[i].line);
    if (a->status == 401 && !has_line(a->headers, "www-authenticate:"))
        wm_buffer_puts(out, "WWW-Authenticate: Bearer\r\n");
    if (a->headers)
        wm_buffer_puts(out, a->headers);
    wm_buffer_puts(out, "\r\n");
    if (a->framing == WM_HTTP_SIZED && !bodiless && !a->head_only)
        wm_buffer_add(out, a->body, a->len);
    return out->failed ? WM_ENOMEM : WM_OK;
}

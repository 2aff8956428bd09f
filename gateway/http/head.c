/* head.c -- what the lines of a request's head mean, and which heads are refused.
 *
 * WHY     Everything that two readers of HTTP have ever read differently is refused, with the status that says so best
 *         (RFC 9110, RFC 9112): a proxy before us and we must agree on where each request begins and whose it is.
 *
 * ALWAYS  (1) A body has one length: a single Content-Length of 1 to 18 digits, or the single coding "chunked", never
 *             both. POST, PUT and PATCH must say which (411).
 *         (2) HTTP/1.1 has exactly one Host, HTTP/1.0 at most one; a host in the target must be the same.
 *         (3) A connection of HTTP/1.0 ends with its first answer.
 *         (4) Methods are matched as they are written: "post" is not POST (501).
 */
#include "gateway/http/head.h"

#include <string.h>
#include <strings.h>

#include "gateway/http/text.h"

/* The methods that handlers may see; any other token gets 501. */
static const struct {
    const char *name;
    bool needs_length;
} methods[] = {{"GET", false},  {"HEAD", false},   {"POST", true},    {"PUT", true},
               {"PATCH", true}, {"DELETE", false}, {"OPTIONS", false}};
enum { N_METHODS = sizeof methods / sizeof *methods, LENGTH_DIGITS_MAX = 18 };

int wm_http_refuse(struct wm_http_parser *p, int status, const char *why)
{
    p->status = status;
    p->why = why;
    return status;
}

static int method_index(const char *method)
{
    for (int i = 0; i < N_METHODS; i++)
        if (strcmp(method, methods[i].name) == 0)
            return i;
    return -1;
}

static int read_version(struct wm_http_parser *p, const char *version, size_t len)
{
    if (len != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.' || version[5] < '0' ||
        version[5] > '9' || version[7] < '0' || version[7] > '9')
        return wm_http_refuse(p, 400, "the request line does not end with an HTTP version");
    if (version[5] != '1' || version[7] > '1')
        return wm_http_refuse(p, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
    p->http_1_0 = version[7] == '0';
    return 0;
}

int wm_http_head_request_line(struct wm_http_parser *p, size_t at, size_t len)
{
    char *line = p->head.data + at;
    char *space = memchr(line, ' ', len);
    char *target = space ? space + 1 : NULL;
    char *end = target ? memchr(target, ' ', len - (size_t)(target - line)) : NULL;
    if (!end || space == line)
        return wm_http_refuse(p, 400, "the request line is not a method, a target and a version");
    for (const char *c = line; c < space; c++)
        if (!wm_http_is_token((unsigned char)*c))
            return wm_http_refuse(p, 400, "the method has a byte that no method may have");
    int refused = read_version(p, end + 1, len - (size_t)(end + 1 - line));
    if (refused)
        return refused;
    *space = '\0';
    if (method_index(line) < 0)
        return wm_http_refuse(p, 501, "this method is not known here; methods are written in capitals");

    struct wm_http_target t;
    const char *why = wm_http_target_read(target, (size_t)(end - target), &t);
    if (why)
        return wm_http_refuse(p, 400, why);
    p->method_at = (uint32_t)at;
    p->path_at = (uint32_t)(at + (size_t)(target - line) + t.path);
    p->query_at = (uint32_t)(at + (size_t)(target - line) + t.query);
    p->authority_at = (uint32_t)(at + (size_t)(target - line) + t.authority);
    p->authority_len = (uint32_t)t.authority_len;
    return 0;
}

int wm_http_head_field(struct wm_http_parser *p, size_t at, size_t len)
{
    char *line = p->head.data + at;
    if (line[0] == ' ' || line[0] == '\t')
        return wm_http_refuse(p, 400, "a header is continued on a second line");
    if (p->n_fields >= p->max_fields)
        return wm_http_refuse(p, 431, "the request has too many headers");
    char *colon = memchr(line, ':', len);
    if (!colon || colon == line)
        return wm_http_refuse(p, 400, "a header has no name or no ':'");
    for (char *c = line; c < colon; c++) {
        if (!wm_http_is_token((unsigned char)*c))
            return wm_http_refuse(p, 400, "a header's name has a byte that no name may have");
        *c = wm_http_lower(*c);
    }
    char *value = colon + 1, *end = line + len;
    for (const char *c = value; c < end; c++)
        if (!wm_http_is_text((unsigned char)*c))
            return wm_http_refuse(p, 400, "a header's value has a control byte");
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *colon = '\0';
    *end = '\0'; /* at the latest where the CR was */

    p->fields[p->n_fields++] = (struct wm_http_field){.name = (uint32_t)at,
                                                      .name_len = (uint32_t)(colon - line),
                                                      .value = (uint32_t)(value - p->head.data),
                                                      .value_len = (uint32_t)(end - value)};
    return 0;
}

/* A host as RFC 3986 writes it, with or without a port; the parts are not looked at closer. */
static bool is_host(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];
        if (!(wm_http_is_uri(c) && c != '@') && c != '[' && c != ']' && c != '%')
            return false;
    }
    return len > 0;
}

static int check_host(struct wm_http_parser *p)
{
    size_t len = 0;
    int count = 0;
    const char *host = wm_http_parser_header(p, "host", &len, &count);
    if (count > 1)
        return wm_http_refuse(p, 400, "the request has more than one Host");
    if (count == 0 && !p->http_1_0)
        return wm_http_refuse(p, 400, "the request has no Host");
    if (host && !is_host(host, len))
        return wm_http_refuse(p, 400, "the Host is not a host and a port");
    if (p->authority_len > 0 &&
        (!host || len != p->authority_len || strncasecmp(host, p->head.data + p->authority_at, len) != 0))
        return wm_http_refuse(p, 400, "the request target's host is not that of the Host header");
    return 0;
}

static int read_length(struct wm_http_parser *p, const char *digits, size_t len)
{
    if (len == 0 || len > LENGTH_DIGITS_MAX)
        return wm_http_refuse(p, 400, "the Content-Length is not a number of 1 to 18 digits");
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return wm_http_refuse(p, 400, "the Content-Length is not a number of 1 to 18 digits");
        p->content_length = 10 * p->content_length + (uint64_t)(digits[i] - '0');
    }
    return 0;
}

static int check_body_length(struct wm_http_parser *p)
{
    size_t len = 0;
    int lengths = 0, codings = 0;
    const char *coding = wm_http_parser_header(p, "transfer-encoding", NULL, &codings);
    const char *digits = wm_http_parser_header(p, "content-length", &len, &lengths);
    if (lengths > 1 || codings > 1 || (lengths && codings))
        return wm_http_refuse(p, 400, "the request gives the length of its body more than once");
    if (lengths)
        return read_length(p, digits, len);
    if (codings) {
        if (p->http_1_0)
            return wm_http_refuse(p, 400, "HTTP/1.0 has no Transfer-Encoding");
        if (strcasecmp(coding, "chunked") != 0)
            return wm_http_refuse(p, 501, "the only Transfer-Encoding here is chunked");
        p->is_chunked = true;
        return 0;
    }
    if (methods[method_index(p->method)].needs_length)
        return wm_http_refuse(p, 411, "the request does not say how long its body is; send Content-Length");
    return 0;
}

/* Is `word` (lower case) in the comma-separated list? */
static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (*list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n == len && strncasecmp(list, word, len) == 0)
            return true;
        list += n;
    }
    return false;
}

/* Does the peer close after this request? Connection may come in several lines, each a list. */
static bool closes(const struct wm_http_parser *p)
{
    for (int i = 0; i < p->n_fields; i++)
        if (strcmp(p->head.data + p->fields[i].name, "connection") == 0 &&
            list_has(p->head.data + p->fields[i].value, "close"))
            return true;
    return false;
}

static int check_expect(struct wm_http_parser *p)
{
    int count = 0;
    const char *expect = wm_http_parser_header(p, "expect", NULL, &count);
    if (!expect || p->http_1_0)
        return 0;
    if (count > 1 || strcasecmp(expect, "100-continue") != 0)
        return wm_http_refuse(p, 417, "the only Expect here is 100-continue");
    p->expect_continue = p->has_body;
    return 0;
}

int wm_http_head_finish(struct wm_http_parser *p)
{
    p->method = p->head.data + p->method_at;
    p->path = p->head.data + p->path_at;
    p->query = p->head.data + p->query_at;
    int refused = check_host(p);
    if (!refused)
        refused = check_body_length(p);
    if (refused)
        return refused;
    p->has_body = p->is_chunked || p->content_length > 0;
    p->keep_alive = !p->http_1_0 && !closes(p);
    return check_expect(p);
}

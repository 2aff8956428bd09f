/* target.c -- a request target, taken apart: path decoded and checked, query raw.
 *
 * WHY     A route is compared as a string, so there may be only one string for each route. What other programs would
 *         quietly tidy up ("//", "/../", "%2e%2e", "%2f", a second round of decoding) is refused here instead: a path
 *         that two readers could read differently opens doors.
 *
 * HOW     origin form     /path?query              the usual one
 *         absolute form   http://host/path?query   must be understood; the host must be the Host header's
 *         Others ("*", host:port) belong to methods that this server does not have.
 *
 * ALWAYS  (1) A path begins with '/', is UTF-8, has no control byte, no '\', no '%', and no segment that is empty
 *             (but for a last one), "." or "..".
 *         (2) Percent-decoding happens once; a decoded '/', '\' or '%' is refused.
 *
 * LIMITS  Those of the request line.
 */
#include <string.h>
#include <strings.h>

#include "gateway/http/head.h"
#include "gateway/http/text.h"
#include "kernels/base/utf8.h"

/* Decodes path[0..len) in place and ends it with a NUL. */
static const char *decode(char *path, size_t len)
{
    size_t out = 0;
    for (size_t at = 0; at < len; at++) {
        unsigned char byte = (unsigned char)path[at];
        if (byte == '%') {
            int high = len - at > 2 ? wm_http_hex((unsigned char)path[at + 1]) : -1;
            int low = len - at > 2 ? wm_http_hex((unsigned char)path[at + 2]) : -1;
            if (high < 0 || low < 0)
                return "the path has a '%' without two hexadecimal digits";
            byte = (unsigned char)(high << 4 | low);
            if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' || byte == '%')
                return "the path hides a control byte, a slash or a '%' behind percent-encoding";
            at += 2;
        } else if (!wm_http_is_uri(byte) && byte != '/') {
            return "the path has a byte that must be percent-encoded";
        }
        path[out++] = (char)byte;
    }
    path[out] = '\0';
    return wm_utf8_valid(path, out) ? NULL : "the path is not UTF-8";
}

static const char *check_segments(const char *path)
{
    for (const char *segment = path + 1;; segment++) {
        size_t len = strcspn(segment, "/");
        bool last = segment[len] == '\0';
        if (len == 0 && !last)
            return "the path has an empty segment";
        if ((len == 1 && segment[0] == '.') || (len == 2 && segment[0] == '.' && segment[1] == '.'))
            return "the path has a segment of dots";
        if (last)
            return NULL;
        segment += len;
    }
}

const char *wm_http_target_read(char *target, size_t len, struct wm_http_target *out)
{
    *out = (struct wm_http_target){.query = len};
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7f || target[i] == '#')
            return "the request target has a byte that no URL may have";
    target[len] = '\0';

    size_t end_of_path = strcspn(target, "?");
    if (target[0] != '/') {
        size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                        : strncasecmp(target, "https://", 8) == 0 ? 8
                                                                  : 0;
        if (!scheme)
            return "the request target is neither a path nor an http URL";
        out->authority = scheme;
        out->authority_len = strcspn(target + scheme, "/?");
        out->path = scheme + out->authority_len;
        if (out->authority_len == 0)
            return "the request target names no host";
    }
    if (end_of_path < len) {
        out->query = end_of_path + 1;
        target[end_of_path] = '\0';
    }
    if (out->path == end_of_path) { /* "http://host": the path is "/", written where the scheme was */
        out->path = 0;
        target[0] = '/';
        target[1] = '\0';
        return NULL;
    }
    const char *why = decode(target + out->path, end_of_path - out->path);
    return why ? why : check_segments(target + out->path);
}

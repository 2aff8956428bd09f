/* chunked.c -- takes the chunked transfer coding off a body.
 *
 * WHY     Where a body ends decides where the next request begins. Two programs that disagree about that let a
 *         stranger slip a request past the first one, so nothing is accepted here that another reader could read
 *         differently.
 *
 * HOW     A machine that looks at one byte at a time, except inside a chunk's data, which passes in spans:
 *
 *           SIZE -> [EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *             0 -> SIZE_LF -> LINE -> NAME -> VALUE -> VALUE_LF -> LINE ... -> END_LF
 *
 * ALWAYS  (1) Lines end with CR LF; a bare one of either is refused.
 *         (2) A size is 1 to 8 hexadecimal digits, with neither sign, prefix nor blank.
 *         (3) Trailers must look like headers, and are dropped: none of them can change what the head said.
 *
 * LIMITS  Extensions and trailers: 4 KiB each in the whole body. The size of the body is the caller's to limit.
 */
#include "gateway/http/chunked.h"

#include "gateway/http/text.h"

enum { DIGITS_MAX = 8, EXTENSION_MAX = 4096, TRAILER_MAX = 4096 };

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LINE, NAME, VALUE, VALUE_LF, END_LF, END };

/* One byte outside of chunk data. */
static enum wm_chunked_step step(struct wm_chunked *c, unsigned char byte)
{
    int digit;
    switch (c->state) {
    case SIZE:
        if ((digit = wm_http_hex(byte)) >= 0) {
            c->left = c->left << 4 | (uint32_t)digit;
            return ++c->digits <= DIGITS_MAX ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
        }
        if (c->digits == 0 || (byte != '\r' && byte != ';'))
            return WM_CHUNKED_BAD;
        c->state = byte == ';' ? EXTENSION : SIZE_LF;
        return WM_CHUNKED_MORE;
    case EXTENSION:
        if (byte == '\r')
            c->state = SIZE_LF;
        else if (!wm_http_is_text(byte) || ++c->extension > EXTENSION_MAX)
            return WM_CHUNKED_BAD;
        return WM_CHUNKED_MORE;
    case SIZE_LF:
        c->state = c->left ? DATA : LINE;
        c->digits = 0;
        return byte == '\n' ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r' ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n' ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case LINE:
        if (byte == '\r') {
            c->state = END_LF;
            return WM_CHUNKED_MORE;
        }
        c->state = NAME;
        return wm_http_is_token(byte) && ++c->trailer <= TRAILER_MAX ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case NAME:
        if (byte == ':')
            c->state = VALUE;
        return (byte == ':' || wm_http_is_token(byte)) && ++c->trailer <= TRAILER_MAX ? WM_CHUNKED_MORE
                                                                                      : WM_CHUNKED_BAD;
    case VALUE:
        if (byte == '\r') {
            c->state = VALUE_LF;
            return WM_CHUNKED_MORE;
        }
        return wm_http_is_text(byte) && ++c->trailer <= TRAILER_MAX ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case VALUE_LF:
        c->state = LINE;
        return byte == '\n' ? WM_CHUNKED_MORE : WM_CHUNKED_BAD;
    case END_LF:
        c->state = END;
        return byte == '\n' ? WM_CHUNKED_END : WM_CHUNKED_BAD;
    default: /* END: nothing may follow */
        return WM_CHUNKED_BAD;
    }
}

enum wm_chunked_step wm_chunked_feed(struct wm_chunked *c, const char *bytes, size_t len, size_t *used,
                                     const char **data, size_t *data_len)
{
    size_t at = 0;
    enum wm_chunked_step result = WM_CHUNKED_MORE;
    while (at < len && result == WM_CHUNKED_MORE) {
        if (c->state != DATA) {
            result = step(c, (unsigned char)bytes[at++]);
            continue;
        }
        *data = bytes + at;
        *data_len = len - at < c->left ? len - at : c->left;
        c->left -= (uint32_t)*data_len;
        at += *data_len;
        if (c->left == 0)
            c->state = DATA_CR;
        result = WM_CHUNKED_DATA;
    }
    *used = at;
    return result;
}

/* text.h -- which bytes HTTP allows where (RFC 9110, section 5). Bytes, not characters: no locale has a say. */
#ifndef WM_HTTP_TEXT_H
#define WM_HTTP_TEXT_H

#include <stdbool.h>

/* Part of a method or of a header's name. */
static inline bool wm_http_is_token(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

/* What a URL may hold as it is in its host and path (RFC 3986: unreserved, sub-delims, ':' and '@'). */
static inline bool wm_http_is_uri(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    switch (c) {
    case '-':
    case '.':
    case '_':
    case '~':
    case '!':
    case '$':
    case '&':
    case '\'':
    case '(':
    case ')':
    case '*':
    case '+':
    case ',':
    case ';':
    case '=':
    case ':':
    case '@':
        return true;
    default:
        return false;
    }
}

/* Part of a header's value: all but control characters; bytes from 0x80 on are opaque. */
static inline bool wm_http_is_text(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* The value of a hexadecimal digit, or -1. */
static inline int wm_http_hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline char wm_http_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

#endif

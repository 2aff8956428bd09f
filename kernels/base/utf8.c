/* utf8.c -- see utf8.h. The second byte's range depends on the first; table 3-7 of Unicode 15 gives it. */
#include "kernels/base/utf8.h"

#include <string.h>

/* What a lead byte promises: total length, range of the second byte, bits it carries. */
struct lead {
    unsigned char len, low, high, mask;
};

static struct lead lead_of(unsigned char b)
{
    if (b < 0x80)
        return (struct lead){1, 0, 0, 0x7F};
    if (b >= 0xC2 && b <= 0xDF)
        return (struct lead){2, 0x80, 0xBF, 0x1F};
    if (b == 0xE0)
        return (struct lead){3, 0xA0, 0xBF, 0x0F};
    if (b == 0xED)
        return (struct lead){3, 0x80, 0x9F, 0x0F};
    if (b >= 0xE1 && b <= 0xEF)
        return (struct lead){3, 0x80, 0xBF, 0x0F};
    if (b == 0xF0)
        return (struct lead){4, 0x90, 0xBF, 0x07};
    if (b >= 0xF1 && b <= 0xF3)
        return (struct lead){4, 0x80, 0xBF, 0x07};
    if (b == 0xF4)
        return (struct lead){4, 0x80, 0x8F, 0x07};
    return (struct lead){0, 0, 0, 0};
}

/* Bytes at text that follow the promise of its lead byte: lead.len when the sequence is whole. */
static size_t well_formed_prefix(const unsigned char *text, size_t len, struct lead lead)
{
    size_t n = 1;
    for (; n < lead.len && n < len; n++) {
        unsigned char low = n == 1 ? lead.low : 0x80, high = n == 1 ? lead.high : 0xBF;
        if (text[n] < low || text[n] > high)
            break;
    }
    return n;
}

size_t wm_utf8_decode(const char *text, size_t len, uint32_t *code, bool *ok)
{
    const unsigned char *s = (const unsigned char *)text;
    struct lead lead = lead_of(s[0]);
    size_t n = lead.len ? well_formed_prefix(s, len, lead) : 1;
    bool whole = lead.len && n == lead.len;
    if (ok)
        *ok = whole;
    if (!whole) {
        *code = WM_UTF8_REPLACEMENT;
        return n;
    }
    uint32_t c = s[0] & lead.mask;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3F);
    *code = c;
    return n;
}

size_t wm_utf8_encode(uint32_t code, char out[4])
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = WM_UTF8_REPLACEMENT;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool wm_utf8_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t code;
        bool ok;
        i += wm_utf8_decode(text + i, len - i, &code, &ok);
        if (!ok)
            return false;
    }
    return true;
}

enum wm_status wm_utf8_sanitize(struct wm_buffer *out, const char *text, size_t len)
{
    size_t kept = 0; /* start of the well-formed run not yet copied */
    for (size_t i = 0; i < len;) {
        uint32_t code;
        bool ok;
        size_t n = wm_utf8_decode(text + i, len - i, &code, &ok);
        if (!ok) {
            wm_buffer_add(out, text + kept, i - kept);
            wm_buffer_add(out, "\xEF\xBF\xBD", 3);
            kept = i + n;
        }
        i += n;
    }
    return wm_buffer_add(out, text + kept, len - kept);
}

size_t wm_utf8_incomplete_tail(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        const unsigned char *s = (const unsigned char *)text + len - back;
        if ((*s & 0xC0) == 0x80)
            continue; /* a continuation byte: its lead is further back */
        struct lead lead = lead_of(*s);
        return lead.len > back && well_formed_prefix(s, back, lead) == back ? back : 0;
    }
    return 0;
}

size_t wm_utf8_utf16_len(const char *text, size_t len)
{
    size_t units = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code;
        i += wm_utf8_decode(text + i, len - i, &code, NULL);
        units += code > 0xFFFF ? 2 : 1;
    }
    return units;
}

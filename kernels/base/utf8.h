/* utf8.h -- UTF-8 as strangers send it.
 *
 * Well-formed means RFC 3629: no overlong form, no surrogate, nothing past U+10FFFF. Each ill-formed part
 * counts as one U+FFFD by the "maximal subpart" practice (Unicode 15, section 3.9, table 3-8).
 */
#ifndef WM_BASE_UTF8_H
#define WM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"

enum { WM_UTF8_REPLACEMENT = 0xFFFD };

/* Decodes the code point at text[0..len), len >= 1; returns the bytes it took (>= 1).
 * Ill-formed: *code is U+FFFD, *ok (may be NULL) is false, and the maximal subpart is taken. */
size_t wm_utf8_decode(const char *text, size_t len, uint32_t *code, bool *ok);

/* Writes 1 to 4 bytes for a scalar value (U+FFFD for others); returns their number. */
size_t wm_utf8_encode(uint32_t code, char out[4]);

bool wm_utf8_valid(const char *text, size_t len);

/* Appends text with each ill-formed part as U+FFFD. */
enum wm_status wm_utf8_sanitize(struct wm_buffer *out, const char *text, size_t len);

/* Bytes at the end of text that begin a sequence which more bytes could still complete (0 to 3):
 * a stream holds these back. */
size_t wm_utf8_incomplete_tail(const char *text, size_t len);

/* Length in UTF-16 code units, as the platforms count; ill-formed parts count one. */
size_t wm_utf8_utf16_len(const char *text, size_t len);

#endif

/* unicode.h -- the classes of code points that pre-tokenizers split by. Any thread. */
#ifndef WM_ENGINE_UNICODE_H
#define WM_ENGINE_UNICODE_H

#include <stdint.h>

/* Every code point is in exactly one. \p{L} is UPPER, LOWER and CASELESS together. */
enum wm_char_class {
    WM_CHAR_OTHER,
    WM_CHAR_UPPER,    /* \p{Lu}, \p{Lt} */
    WM_CHAR_LOWER,    /* \p{Ll} */
    WM_CHAR_CASELESS, /* \p{Lm}, \p{Lo} */
    WM_CHAR_MARK,     /* \p{M} */
    WM_CHAR_NUMBER,   /* \p{N} */
    WM_CHAR_SPACE     /* \s: the property White_Space */
};

enum wm_char_class wm_char_class(uint32_t code);

#endif

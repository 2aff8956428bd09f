/* unicode.h -- the three classes of code points that pre-tokenizers split by. Any thread. */
#ifndef WM_ENGINE_UNICODE_H
#define WM_ENGINE_UNICODE_H

#include <stdint.h>

enum wm_char_class {
    WM_CHAR_OTHER,
    WM_CHAR_LETTER, /* \p{L} */
    WM_CHAR_NUMBER, /* \p{N} */
    WM_CHAR_SPACE   /* \s: the property White_Space */
};

enum wm_char_class wm_char_class(uint32_t code);

#endif

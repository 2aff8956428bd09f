/* unicode.c -- see unicode.h. A binary search over ranges made from Unicode's data (unicode_tables.py). */
#include "engine/unicode.h"

#include <stddef.h>

enum { OTHER = WM_CHAR_OTHER, LETTER = WM_CHAR_LETTER, NUMBER = WM_CHAR_NUMBER, SPACE = WM_CHAR_SPACE };

static const struct {
    uint32_t first, last;
    uint8_t class;
} ranges[] = {
#include "engine/unicode_tables.h"
};

enum wm_char_class wm_char_class(uint32_t code)
{
    size_t low = 0, high = sizeof ranges / sizeof *ranges; /* the range, if any, is in [low, high) */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code < ranges[middle].first)
            high = middle;
        else if (code > ranges[middle].last)
            low = middle + 1;
        else
            return (enum wm_char_class)ranges[middle].class;
    }
    return WM_CHAR_OTHER;
}

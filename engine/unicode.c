/* unicode.c -- see unicode.h. A binary search over ranges made from Unicode's data (unicode_tables.py). */
#include "engine/unicode.h"

#include <stddef.h>

/* The names that the table uses. */
enum {
    UPPER = WM_CHAR_UPPER,
    LOWER = WM_CHAR_LOWER,
    CASELESS = WM_CHAR_CASELESS,
    MARK = WM_CHAR_MARK,
    NUMBER = WM_CHAR_NUMBER,
    SPACE = WM_CHAR_SPACE
};

static const struct {
    uint32_t first, last;
    uint8_t class;
} ranges[] = {
#include "engine/unicode_tables.h"
};

enum wm_char_class wm_char_class(uint32_t code)
{
    if (code - 'a' < 26) /* most text, and the middle of the search */
        return WM_CHAR_LOWER;
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

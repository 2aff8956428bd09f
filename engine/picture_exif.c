/* picture_exif.c -- how a camera was held: tag 0x0112 of the first directory of an EXIF block (TIFF 6.0, section 2).
 *
 * A block is a little TIFF file: "II" or "MM" says in which order its numbers are written, then 42, then
 * where the first directory begins: a count, and as many entries of 12 bytes (tag, type, number of values,
 * the value or where it lies). The one value we want is a SHORT and lies in its entry. Whatever is not so
 * means "upright": a picture is never refused for this.
 */
#include "engine/picture_parts.h"

#include <string.h>

enum { UPRIGHT = 1, LAST_ORIENTATION = 8, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, HEADER = 8, ENTRY = 12 };

struct block {
    const uint8_t *bytes;
    size_t len;
    bool big_endian;
};

/* The number of `size` bytes at `at`, which the caller has checked. */
static uint32_t number(const struct block *b, size_t at, size_t size)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | b->bytes[at + (b->big_endian ? i : size - 1 - i)];
    return value;
}

int wm_exif_orientation(const uint8_t *bytes, size_t len)
{
    static const uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
    if (len >= sizeof prefix && memcmp(bytes, prefix, sizeof prefix) == 0) {
        bytes += sizeof prefix;
        len -= sizeof prefix;
    }
    if (len < HEADER || (memcmp(bytes, "II", 2) != 0 && memcmp(bytes, "MM", 2) != 0))
        return UPRIGHT;
    struct block b = {bytes, len, bytes[0] == 'M'};
    size_t directory = number(&b, 4, 4);
    if (number(&b, 2, 2) != 42 || directory > len - 2)
        return UPRIGHT;
    size_t entries = number(&b, directory, 2), room = (len - directory - 2) / ENTRY;
    for (size_t i = 0; i < entries && i < room; i++) {
        size_t entry = directory + 2 + i * ENTRY;
        if (number(&b, entry, 2) != TAG_ORIENTATION)
            continue;
        uint32_t value = number(&b, entry + 8, 2);
        bool known = number(&b, entry + 2, 2) == TYPE_SHORT && number(&b, entry + 4, 4) == 1 &&
                     value >= UPRIGHT && value <= LAST_ORIENTATION;
        return known ? (int)value : UPRIGHT;
    }
    return UPRIGHT;
}

/* exif.c -- EXIF blocks of strangers: an orientation comes out, whatever goes in. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/picture_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int orientation = wm_exif_orientation(data, size);
    if (orientation < 1 || orientation > 8)
        abort();
    return 0;
}

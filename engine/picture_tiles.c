/* picture_tiles.c -- from a picture of any size to square tiles of one size, and from these to what the tower reads.
 *
 * WHY     The tower sees squares of `image` pixels. A large picture is shown as several, and once more as a
 *         whole, so that the model has the detail and the overview. (source: Meta's preprocess.py, chat_format.py)
 *
 * HOW     Among all grids of at most max_tiles squares the one is taken that wastes least: if the picture
 *         fits into some unshrunk, the one that would enlarge it least; if into none, the one that shrinks it
 *         least; among equals the smallest. Scales are compared in single precision, as the reference does.
 *
 *         The picture is then shrunk to fit that grid, or enlarged, but to no more than one square; its shape
 *         stays. It is put at the top left, the rest is black, and the grid is cut up row by row. Last comes
 *         the global tile: the original squeezed into one square, its shape lost. A picture of one tile has
 *         none: it is the overview.
 */
#include "engine/picture_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* How many times the picture fits into so many tiles. */
static float fit(const struct wm_vision_arch *v, int32_t width, int32_t height, int32_t rows, int32_t cols)
{
    float across = (float)(cols * v->image) / (float)width, down = (float)(rows * v->image) / (float)height;
    return across < down ? across : down;
}

/* Is scale a, on a grid of a_tiles, to be preferred to b? */
static bool better(float a, int32_t a_tiles, float b, int32_t b_tiles)
{
    if (a == b)
        return a_tiles < b_tiles;
    if ((a >= 1) != (b >= 1))
        return a >= 1;
    return a >= 1 ? a < b : a > b;
}

void wm_tiles_grid(const struct wm_vision_arch *v, int32_t width, int32_t height, int32_t *rows,
                   int32_t *cols)
{
    float best = fit(v, width, height, 1, 1);
    *rows = *cols = 1;
    for (int32_t r = 1; r <= v->max_tiles; r++)
        for (int32_t c = 1; r * c <= v->max_tiles; c++) {
            float scale = fit(v, width, height, r, c);
            if (!better(scale, r * c, best, *rows * *cols))
                continue;
            best = scale;
            *rows = r;
            *cols = c;
        }
}

/* The size within the grid. */
static void fitted_size(const struct wm_vision_arch *v, const struct wm_view *p, const struct wm_tiles *t,
                        int32_t *width, int32_t *height)
{
    int32_t most_wide = smaller(p->width > v->image ? p->width : v->image, t->cols * v->image),
            most_high = smaller(p->height > v->image ? p->height : v->image, t->rows * v->image);
    double across = (double)most_wide / p->width, down = (double)most_high / p->height;
    *width = most_wide;
    *height = most_high;
    if (across < down)
        *height = smaller((int32_t)floor(p->height * across), most_high);
    else
        *width = smaller((int32_t)floor(p->width * down), most_wide);
    *width = *width < 1 ? 1 : *width;
    *height = *height < 1 ? 1 : *height;
}

/* Where a resized picture goes: tiles from `first` on, `cols` of them in a row. */
struct cutter {
    struct wm_tiles *tiles;
    int32_t first, cols, width;
};

static uint8_t *tile_row(const struct wm_tiles *t, int32_t tile, int32_t channel, int32_t y)
{
    return t->pixels +
           (((size_t)tile * 3 + (size_t)channel) * (size_t)t->image + (size_t)y) * (size_t)t->image;
}

static void cut_row(void *arg, int32_t y, const uint8_t *rgb)
{
    const struct cutter *c = arg;
    int32_t side = c->tiles->image, tile = c->first + y / side * c->cols;
    for (int32_t x = 0; x < c->width; x += side, tile++) {
        uint8_t *red = tile_row(c->tiles, tile, 0, y % side), *green = tile_row(c->tiles, tile, 1, y % side),
                *blue = tile_row(c->tiles, tile, 2, y % side);
        int32_t n = smaller(side, c->width - x);
        for (int32_t i = 0; i < n; i++, rgb += 3) {
            red[i] = rgb[0];
            green[i] = rgb[1];
            blue[i] = rgb[2];
        }
    }
}

enum wm_status wm_tiles_cut(const struct wm_vision_arch *v, const struct wm_view *picture,
                            struct wm_tiles *out, struct wm_error *err)
{
    int32_t height;
    struct cutter cutter = {.tiles = out};
    out->width = picture->width;
    out->height = picture->height;
    out->image = v->image;
    wm_tiles_grid(v, picture->width, picture->height, &out->rows, &out->cols);
    int32_t cut = out->rows * out->cols;
    out->n = cut + (cut > 1);
    out->pixels = calloc((size_t)out->n * 3, (size_t)v->image * (size_t)v->image);
    if (!out->pixels)
        return wm_fail(err, WM_ENOMEM, "no memory for %d tiles of a picture", (int)out->n);
    fitted_size(v, picture, out, &cutter.width, &height);
    cutter.cols = out->cols;
    enum wm_status st = wm_resize(picture, cutter.width, height, cut_row, &cutter, err);
    if (st == WM_OK && out->n > cut) {
        cutter = (struct cutter){.tiles = out, .first = cut, .cols = 1, .width = v->image};
        st = wm_resize(picture, v->image, v->image, cut_row, &cutter, err);
    }
    if (st != WM_OK) {
        free(out->pixels);
        out->pixels = NULL;
    }
    return st;
}

/* The nearest bfloat16, ties to even; for ordinary numbers. */
static float as_bfloat16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Three steps, each rounded: doing it in one gives other values for half of the bytes. */
float wm_tile_value(uint8_t byte)
{
    float unit = as_bfloat16((float)byte * (1.0f / 255.0f)), centred = as_bfloat16(unit - 0.5f);
    return as_bfloat16(centred / 0.5f);
}

void wm_tile_patches(const struct wm_vision_arch *v, const struct wm_tiles *t, int32_t tile, float *out)
{
    float value[256];
    for (int byte = 0; byte < 256; byte++)
        value[byte] = wm_tile_value((uint8_t)byte);
    int32_t side = v->image / v->patch;
    for (int32_t p = 0; p < side * side; p++)
        for (int32_t channel = 0; channel < 3; channel++)
            for (int32_t y = 0; y < v->patch; y++) {
                const uint8_t *row =
                    tile_row(t, tile, channel, p / side * v->patch + y) + p % side * v->patch;
                for (int32_t x = 0; x < v->patch; x++)
                    *out++ = value[row[x]];
            }
}

/* picture_resize.c -- other sizes of a picture, with the very pixels that the reference gives.
 *
 * WHY     Meta's transform resizes by Pillow (BILINEAR, which always smooths when it shrinks); another
 *         resizer is off by one level in many pixels, and then nothing downstream can be compared to the bit.
 *
 * HOW     Each pixel of the result is a weighted mean of the pixels around its place in the original: a
 *         triangle as wide as one pixel of the larger scale, cut off at the border, normalised in double and
 *         rounded to 22 bits behind the point. First along each row, rounded to 8 bits, then down the
 *         columns, or the other way round where the height shrinks by more than twice what the width does.
 *         (source: Resample.c of Pillow 13. Up to Pillow 12 rows always came first: one level apart in some
 *         pixels of pictures much higher than wide.)
 *
 *         The original comes by in bands of BAND rows, each turned so that the same column of all its rows
 *         lies together: LANES bytes, each of which wants the same weight. So does each piece of LANES bytes
 *         of a row when rows are summed. One small loop does both, and a compiler makes vectors of it; it is
 *         built a second time for processors with AVX2. The bands are taken from an upright view, so a camera
 *         that lay on its side costs nothing extra.
 *
 *         Only the rows under the triangle of the row being made are kept, and the band that came last, in a
 *         ring: a few rows, whatever the size of the picture.
 *
 * ALWAYS  (1) Sums fit into 32 bits: the weights of a pixel sum to 2^22 but for rounding, and pixels have 8 bits.
 *         (2) Windows of consecutive rows begin and end in rising order, so a row leaves the ring once and
 *             never returns.
 *         (3) Where a size stays, windows hold one pixel of weight 1 (and one of 0): it comes out as it was.
 */
#include "engine/picture_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRACTION_BITS = 22,
    HALF = 1 << (FRACTION_BITS - 1),
    CHANNELS = 3,
    BAND = 16, /* rows */
    LANES = BAND * CHANNELS
};

/* Pixel i of the result is made from the pixels [first[i], first[i] + count[i]) with weights[i * stride ...]. */
struct windows {
    int32_t n, stride;
    int32_t *first, *count, *weights; /* first owns the memory of all three */
};

static enum wm_status windows_new(int32_t from, int32_t to, struct windows *out, struct wm_error *err)
{
    double scale = (double)from / to, reach = scale < 1 ? 1 : scale;
    *out = (struct windows){.n = to, .stride = (int32_t)ceil(reach) * 2 + 1};
    size_t n = (size_t)to, stride = (size_t)out->stride;
    double *exact = malloc(stride * sizeof *exact);
    out->first = malloc(n * (2 + stride) * sizeof *out->first);
    if (!exact || !out->first) {
        free(exact);
        return wm_fail(err, WM_ENOMEM, "no memory to resize a picture");
    }
    out->count = out->first + n;
    out->weights = out->count + n;
    for (int32_t i = 0; i < to; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int32_t begin = (int32_t)(centre - reach + 0.5), end = (int32_t)(centre + reach + 0.5);
        begin = begin < 0 ? 0 : begin;
        end = end > from ? from : end;
        for (int32_t k = 0; k < end - begin; k++) {
            double away = fabs((k + begin - centre + 0.5) * (1 / reach));
            exact[k] = away < 1 ? 1 - away : 0;
            sum += exact[k];
        }
        for (int32_t k = 0; k < end - begin; k++)
            out->weights[(size_t)i * stride + (size_t)k] =
                (int32_t)(0.5 + exact[k] / sum * (1 << FRACTION_BITS));
        out->first[i] = begin;
        out->count[i] = end - begin;
    }
    free(exact);
    return WM_OK;
}

/* `n` pieces of LANES bytes, `step` bytes apart. */
struct run {
    const uint8_t *from;
    int32_t n;
};

/* out[j] = the sum of piece[k][j] * weights[k], rounded, for j in [0, LANES); the pieces are those of two
 * runs, one behind the other. */
typedef void (*weigh_pieces)(const struct run runs[2], size_t step, const int32_t *weights, uint8_t *out);

static inline __attribute__((always_inline)) void weigh(const struct run runs[2], size_t step,
                                                        const int32_t *weights, uint8_t *out)
{
    int32_t sums[LANES];
    for (int j = 0; j < LANES; j++)
        sums[j] = HALF;
    for (int r = 0; r < 2; r++) {
        const uint8_t *from = runs[r].from;
        for (int32_t k = 0; k < runs[r].n; k++, from += step, weights++)
            for (int j = 0; j < LANES; j++)
                sums[j] += from[j] * *weights;
    }
    for (int j = 0; j < LANES; j++) {
        int32_t level = sums[j] >> FRACTION_BITS;
        out[j] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
    }
}

static void weigh_plain(const struct run runs[2], size_t step, const int32_t *weights, uint8_t *out)
{
    weigh(runs, step, weights, out);
}

#if defined __x86_64__
__attribute__((target("avx2"))) static void weigh_avx2(const struct run runs[2], size_t step,
                                                       const int32_t *weights, uint8_t *out)
{
    weigh(runs, step, weights, out);
}

static weigh_pieces weigh_on_this_processor(void)
{
    return __builtin_cpu_supports("avx2") ? weigh_avx2 : weigh_plain;
}
#else
static weigh_pieces weigh_on_this_processor(void)
{
    return weigh_plain;
}
#endif

struct resizer {
    const struct wm_view *view;
    weigh_pieces weigh;
    struct windows across, down;
    int32_t have; /* rows of the original that have come */
    int32_t ring_rows;
    size_t ring_bytes; /* of a row in the ring, a multiple of LANES */
    uint8_t *band;     /* column x of the band at x * LANES */
    uint8_t *ring;     /* row y, resized across, at y % ring_rows */
    uint8_t *mean;     /* [ring_bytes] */
};

/* The band of `n` rows from y on, turned, a few columns at a time: these stay in the cache, whichever way the
 * view goes. Rows past the picture's end keep what was there. */
static void turn_band(const struct wm_view *v, int32_t y, int32_t n, uint8_t *band)
{
    enum { COLUMNS = 64 };
    for (int32_t x = 0; x < v->width; x += COLUMNS, band += (size_t)COLUMNS * LANES) {
        int32_t columns = v->width - x < COLUMNS ? v->width - x : COLUMNS;
        for (int32_t i = 0; i < n; i++) {
            const uint8_t *from = v->first + x * v->right + (y + i) * v->down;
            uint8_t *to = band + i * CHANNELS;
            for (int32_t c = 0; c < columns; c++, from += v->right, to += LANES)
                memcpy(to, from, CHANNELS);
        }
    }
}

static void take_band(struct resizer *r)
{
    const struct windows *w = &r->across;
    int32_t n = r->view->height - r->have < BAND ? r->view->height - r->have : BAND;
    uint8_t column[LANES], *rows[BAND];
    turn_band(r->view, r->have, n, r->band);
    for (int32_t i = 0; i < n; i++)
        rows[i] = r->ring + (size_t)((r->have + i) % r->ring_rows) * r->ring_bytes;
    for (int32_t x = 0; x < w->n; x++) {
        struct run runs[2] = {{r->band + (size_t)w->first[x] * LANES, w->count[x]}};
        r->weigh(runs, LANES, w->weights + (size_t)x * (size_t)w->stride, column);
        for (int32_t i = 0; i < n; i++)
            memcpy(rows[i] + (size_t)x * CHANNELS, column + i * CHANNELS, CHANNELS);
    }
    r->have += n;
}

/* Row y of the result of resizing down, into r->mean. */
static void mean_row(struct resizer *r, int32_t y)
{
    const struct windows *w = &r->down;
    const int32_t *weights = w->weights + (size_t)y * (size_t)w->stride;
    while (r->have < w->first[y] + w->count[y])
        take_band(r);
    /* The window may go round the end of the ring. */
    int32_t begin = w->first[y] % r->ring_rows, room = r->ring_rows - begin,
            n = room < w->count[y] ? room : w->count[y];
    for (size_t at = 0; at < r->ring_bytes; at += LANES) {
        struct run runs[2] = {{r->ring + (size_t)begin * r->ring_bytes + at, n},
                              {r->ring + at, w->count[y] - n}};
        r->weigh(runs, r->ring_bytes, weights, r->mean + at);
    }
}

static enum wm_status resize(const struct wm_view *v, int32_t width, int32_t height, wm_resized_row row,
                             void *arg, struct wm_error *err)
{
    struct resizer r = {.view = v, .weigh = weigh_on_this_processor()};
    enum wm_status st = windows_new(v->width, width, &r.across, err);
    if (st == WM_OK)
        st = windows_new(v->height, height, &r.down, err);
    if (st != WM_OK)
        goto out;
    r.ring_rows = r.down.stride + BAND;
    r.ring_bytes = ((size_t)width * CHANNELS + LANES - 1) / LANES * LANES;
    r.band = calloc((size_t)v->width, LANES);
    r.ring = calloc((size_t)r.ring_rows, r.ring_bytes);
    r.mean = malloc(r.ring_bytes);
    if (!r.band || !r.ring || !r.mean) {
        st = wm_fail(err, WM_ENOMEM, "no memory to resize a picture");
        goto out;
    }
    for (int32_t y = 0; y < height; y++) {
        mean_row(&r, y);
        row(arg, y, r.mean);
    }
out:
    free(r.across.first);
    free(r.down.first);
    free(r.band);
    free(r.ring);
    free(r.mean);
    return st;
}

/* A whole picture, for when rows must be resized last. */
struct kept {
    uint8_t *rgb;
    size_t row_bytes;
};

static void keep_row(void *arg, int32_t y, const uint8_t *rgb)
{
    const struct kept *k = arg;
    memcpy(k->rgb + (size_t)y * k->row_bytes, rgb, k->row_bytes);
}

enum wm_status wm_resize(const struct wm_view *v, int32_t width, int32_t height, wm_resized_row row,
                         void *arg, struct wm_error *err)
{
    if (v->height <= height || v->height - height <= (v->width - width) * 2)
        return resize(v, width, height, row, arg, err);
    struct kept k = {.row_bytes = (size_t)v->width * CHANNELS};
    k.rgb = malloc((size_t)height * k.row_bytes); /* less than the original */
    enum wm_status st = k.rgb ? resize(v, v->width, height, keep_row, &k, err)
                              : wm_fail(err, WM_ENOMEM, "no memory to resize a picture");
    struct wm_view lower = {k.rgb, CHANNELS, (ptrdiff_t)k.row_bytes, v->width, height};
    if (st == WM_OK)
        st = resize(&lower, width, height, row, arg, err);
    free(k.rgb);
    return st;
}

/* picture_resize.c -- other sizes of a picture, with the very pixels that the models were trained on.
 *
 * WHY     Meta's transform resizes by Pillow (BILINEAR, which always smooths when it shrinks); another resizer is off by one
 *         level in many pixels, and then nothing downstream can be compared to the bit.
 *
 * HOW     Each pixel of the result is a weighted mean of the pixels around its place in the original: a triangle as
 *         wide as one pixel of the larger scale, cut off at the border, normalised in double and rounded to 22 bits behind the
 *         point. First along each row, rounded to 8 bits, then down the columns, or the other way round where the height
 *         shrinks by more than twice what the width does; a direction in which the size stays is left out.
 *         (source: Resample.c of Pillow 13. Up to Pillow 12 rows always came first: one level apart in some pixels of
 *         pictures much higher than wide.)
 *
 *         Rows of the original come by one at a time; only those under the triangle of the row being made are kept in a ring. So
 *         the memory needed is a few rows, whatever the size of the picture. Pictures whose camera lay on its side (their rows
 *         are columns in memory) are turned BAND rows at a time, so that each cache line is used while it is there.
 *
 * ALWAYS  (1) Sums fit into 32 bits: the weights of a pixel sum to 2^22 but for rounding, and pixels have 8 bits.
 *         (2) Windows of consecutive rows begin and end in rising order, so a row leaves the ring once and never returns.
 */
#include "engine/picture_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRACTION_BITS = 22, HALF = 1 << (FRACTION_BITS - 1), CHANNELS = 3, BAND = 16 /* rows */ };

/* Pixel i of the result is made from the pixels [first[i], first[i] + count[i]) with weights[i * stride ...]. */
struct windows {
    int32_t n, stride;
    int32_t *first, *count, *weights; /* first owns the memory of all three; NULL: the size stays */
};

static enum wm_status windows_new(int32_t from, int32_t to, struct windows *out, struct wm_error *err)
{
    double scale = (double)from / to, reach = scale < 1 ? 1 : scale;
    *out = (struct windows){.n = to, .stride = (int32_t)ceil(reach) * 2 + 1};
    if (from == to)
        return WM_OK;
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

static uint8_t rounded(int32_t sum)
{
    int32_t level = sum >> FRACTION_BITS;
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* One row, narrowed or widened. */
static void resize_row(const struct windows *w, const uint8_t *row, uint8_t *out)
{
    for (int32_t x = 0; x < w->n; x++, out += CHANNELS) {
        const uint8_t *p = row + (size_t)w->first[x] * CHANNELS;
        const int32_t *weights = w->weights + (size_t)x * (size_t)w->stride;
        int32_t r = HALF, g = HALF, b = HALF;
        for (int32_t k = 0; k < w->count[x]; k++, p += CHANNELS) {
            r += p[0] * weights[k];
            g += p[1] * weights[k];
            b += p[2] * weights[k];
        }
        out[0] = rounded(r);
        out[1] = rounded(g);
        out[2] = rounded(b);
    }
}

struct resizer {
    const struct wm_view *view;
    struct windows across, down;
    bool across_first;
    int32_t have; /* rows of the original that have come */
    int32_t ring_rows;
    size_t
        ring_bytes; /* of a row in the ring: as wide as the result when it was resized on its way in, else as the original */
    uint8_t *ring;   /* row y at y % ring_rows */
    uint8_t *band;   /* [BAND] rows of the original put straight; NULL: they lie straight */
    int32_t *sums;   /* [ring_bytes]: the mean of rows in the making */
    uint8_t *mean;   /* [ring_bytes] */
    uint8_t *result; /* one row */
};

static uint8_t *ring_row(const struct resizer *r, int32_t y)
{
    return r->ring + (size_t)(y % r->ring_rows) * r->ring_bytes;
}

/* Row y of the original as it lies in memory, or put straight. Called with rising y. */
static const uint8_t *original_row(const struct resizer *r, int32_t y)
{
    const struct wm_view *v = r->view;
    size_t bytes = (size_t)v->width * CHANNELS;
    if (!r->band)
        return v->first + y * v->down;
    if (y % BAND == 0)
        for (int32_t x = 0; x < v->width; x++)
            for (int32_t i = 0; i < BAND && y + i < v->height; i++)
                memcpy(r->band + (size_t)i * bytes + (size_t)x * CHANNELS,
                       v->first + x * v->right + (y + i) * v->down, CHANNELS);
    return r->band + (size_t)(y % BAND) * bytes;
}

static void take_rows_up_to(struct resizer *r, int32_t end)
{
    for (; r->have < end; r->have++) {
        const uint8_t *row = original_row(r, r->have);
        if (r->across_first)
            resize_row(&r->across, row, ring_row(r, r->have));
        else
            memcpy(ring_row(r, r->have), row, r->ring_bytes);
    }
}

/* The weighted mean of rows, for row y of the result. */
static const uint8_t *mean_row(struct resizer *r, int32_t y)
{
    const struct windows *w = &r->down;
    if (!w->first) {
        take_rows_up_to(r, y + 1);
        return ring_row(r, y);
    }
    take_rows_up_to(r, w->first[y] + w->count[y]);
    for (size_t i = 0; i < r->ring_bytes; i++)
        r->sums[i] = HALF;
    for (int32_t k = 0; k < w->count[y]; k++) {
        const uint8_t *row = ring_row(r, w->first[y] + k);
        int32_t weight = w->weights[(size_t)y * (size_t)w->stride + (size_t)k], *restrict sums = r->sums;
        for (size_t i = 0; i < r->ring_bytes; i++)
            sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < r->ring_bytes; i++)
        r->mean[i] = rounded(r->sums[i]);
    return r->mean;
}

enum wm_status wm_resize(const struct wm_view *v, int32_t width, int32_t height, wm_resized_row row,
                         void *arg, struct wm_error *err)
{
    struct resizer r = {.view = v};
    enum wm_status st = windows_new(v->width, width, &r.across, err);
    if (st == WM_OK)
        st = windows_new(v->height, height, &r.down, err);
    if (st != WM_OK)
        goto out;
    bool across_last = r.across.first && v->height > height && v->height - height > (v->width - width) * 2;
    r.across_first = r.across.first && !across_last;
    r.ring_rows = r.down.first ? r.down.stride : 1;
    r.ring_bytes = (size_t)(across_last ? v->width : width) * CHANNELS;
    r.ring = malloc((size_t)r.ring_rows * r.ring_bytes);
    r.sums = malloc(r.ring_bytes * sizeof *r.sums);
    r.mean = malloc(r.ring_bytes);
    r.result = malloc((size_t)width * CHANNELS);
    if (v->right != CHANNELS)
        r.band = malloc(BAND * (size_t)v->width * CHANNELS);
    if (!r.ring || !r.sums || !r.mean || !r.result || (v->right != CHANNELS && !r.band)) {
        st = wm_fail(err, WM_ENOMEM, "no memory to resize a picture");
        goto out;
    }
    for (int32_t y = 0; y < height; y++) {
        const uint8_t *mean = mean_row(&r, y);
        if (across_last)
            resize_row(&r.across, mean, r.result);
        row(arg, y, across_last ? r.result : mean);
    }
out:
    free(r.across.first);
    free(r.down.first);
    free(r.ring);
    free(r.band);
    free(r.sums);
    free(r.mean);
    free(r.result);
    return st;
}

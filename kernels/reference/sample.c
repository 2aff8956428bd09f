/* sample.c -- the next token, by sorting the whole vocabulary: slow, and easy to believe. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/reference/face.h"

struct candidate {
    int32_t id;
    double logit; /* finite */
    double weight;
};

/* NaN is the least likely token there is; infinities are the largest finite logits. */
static double tame(double logit)
{
    if (isnan(logit))
        return -(double)FLT_MAX;
    return fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, logit));
}

static int by_falling_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* How many of the `n` sorted candidates stay; their weights (relative to the first one's) are filled in. */
static int32_t keep(struct candidate *c, int32_t n, const struct wm_sample_row *how)
{
    for (int32_t i = 0; i < n; i++)
        c[i].weight = exp((c[i].logit - c[0].logit) / (double)how->temperature);
    if (how->min_p > 0)
        while (n > 1 && c[n - 1].weight < (double)how->min_p)
            n--;
    if (how->top_k > 0 && n > how->top_k)
        n = how->top_k;
    if (how->top_p < 1) {
        double total = 0, head = 0;
        int32_t kept = 0;
        for (int32_t i = 0; i < n; i++)
            total += c[i].weight;
        while (kept < n && (kept == 0 || head < (double)how->top_p * total))
            head += c[kept++].weight;
        n = kept;
    }
    return n;
}

static int32_t pick(const struct candidate *c, int32_t n, double uniform)
{
    double total = 0, head = 0;
    for (int32_t i = 0; i < n; i++)
        total += c[i].weight;
    for (int32_t i = 0; i < n - 1; i++) {
        head += c[i].weight;
        if (uniform * total < head)
            return i;
    }
    return n - 1;
}

enum wm_status reference_sample(struct wm_backend *be, const struct wm_act *logits, int32_t vocabulary,
                                const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out,
                                struct wm_error *err)
{
    (void)be;
    assert(rows <= logits->rows && vocabulary >= 1 && vocabulary <= logits->width);
    struct candidate *c = malloc((size_t)vocabulary * sizeof *c);
    if (!c)
        return wm_fail(err, WM_ENOMEM, "no memory to sort %d logits", vocabulary);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t i = 0; i < vocabulary; i++)
            c[i] =
                (struct candidate){i, tame(logits->data[(size_t)r * (size_t)logits->width + (size_t)i]), 0};
        qsort(c, (size_t)vocabulary, sizeof *c, by_falling_logit);
        double sum = 0;
        for (int32_t i = 0; i < vocabulary; i++)
            sum += exp(c[i].logit - c[0].logit);
        int32_t chosen = 0;
        if (how[r].temperature > 0)
            chosen = pick(c, keep(c, vocabulary, &how[r]), how[r].uniform);
        out[r] = (struct wm_sampled){c[chosen].id, (float)(c[chosen].logit - c[0].logit - log(sum))};
    }
    free(c);
    return WM_OK;
}

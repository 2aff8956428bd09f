/* ranked.c -- see ranked.h. The highest are kept in a heap whose root is the lowest of them: a row is read
 * once, whatever k. */
#include "engine/ranked.h"

#include <math.h>
#include <stdbool.h>

double wm_log_sum_exp(const float *logits, int32_t n)
{
    float max = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > max)
            max = logits[i];
    for (int32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)max);
    return (double)max + log(sum);
}

/* Does `a` stand behind `b` among the highest? */
static bool behind(const struct wm_ranked *a, const struct wm_ranked *b)
{
    return a->logit != b->logit ? a->logit < b->logit : a->id > b->id;
}

/* Restores a heap of n, whose last is at the root, when only heap[at] may be out of place. */
static void sink(struct wm_ranked *heap, int32_t n, int32_t at)
{
    for (;;) {
        int32_t last = at, left = 2 * at + 1, right = left + 1;
        if (left < n && behind(&heap[left], &heap[last]))
            last = left;
        if (right < n && behind(&heap[right], &heap[last]))
            last = right;
        if (last == at)
            return;
        struct wm_ranked t = heap[at];
        heap[at] = heap[last];
        heap[last] = t;
        at = last;
    }
}

void wm_top_k(const float *logits, int32_t n, struct wm_ranked *out, int32_t k)
{
    for (int32_t id = 0; id < k; id++)
        out[id] = (struct wm_ranked){id, logits[id]};
    for (int32_t i = k / 2; i-- > 0;)
        sink(out, k, i);
    for (int32_t id = k; id < n && k > 0; id++) {
        struct wm_ranked r = {id, logits[id]};
        if (behind(&out[0], &r)) {
            out[0] = r;
            sink(out, k, 0);
        }
    }
    for (int32_t left = k; left > 1;) { /* the last goes to the end, then the last but one ... */
        struct wm_ranked t = out[0];
        out[0] = out[--left];
        out[left] = t;
        sink(out, left, 0);
    }
}

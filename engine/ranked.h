/* ranked.h -- the likeliest tokens of a row of logits. Any thread. */
#ifndef WM_ENGINE_RANKED_H
#define WM_ENGINE_RANKED_H

#include <stdint.h>

/* Log of the sum of exponents, in double: log-probability of id i is logits[i] minus it. */
double wm_log_sum_exp(const float *logits, int32_t n);

struct wm_ranked {
    int32_t id;
    float logit;
};

/* The k highest, falling; equal logits by rising id. k <= n; takes n log k. */
void wm_top_k(const float *logits, int32_t n, struct wm_ranked *out, int32_t k);

#endif

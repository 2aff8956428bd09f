/* sample.c -- the next token, without sorting the vocabulary.
 *
 * WHY     Nearly all of the probability lies on a few dozen of 50,000 or 200,000 tokens. Sorting all of them for every
 *         token of every conversation would cost as much as a layer.
 *
 * HOW     One vectorised pass gives the largest logit and the sum of all weights. Then the tokens within some distance
 *         of the largest are gathered and sorted. If what was asked for can be answered from them (the top k are among
 *         them, the top-p mass is reached, the random number falls on one of them), they are the answer;
 *         if not, the distance doubles. At the end stands the whole vocabulary, as in the reference.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/face.h"

/* Weights below e^-FIRST_REACH of the largest are left out at first. */
static const double FIRST_REACH = 8;
/* Past it nothing weighs anything: then take all. */
static const double LAST_REACH = 100;

struct candidate {
    int32_t id;
    float logit;
    double weight; /* relative to the largest */
};

struct sampling {
    const struct wm_cpu_path *path;
    const struct wm_act *logits;
    int32_t vocabulary;
    const struct wm_sample_row *how;
    struct wm_sampled *out;
    struct candidate *candidates; /* [vocabulary] for each worker */
};

/* As softmax_sum sees them: NaN smallest, infinities finite. */
static float tame(float logit)
{
    if (!(logit > -FLT_MAX))
        return -FLT_MAX;
    return logit < FLT_MAX ? logit : FLT_MAX;
}

static int by_falling_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int32_t lowest_id_of(const float *logits, int32_t n, float value)
{
    for (int32_t i = 0; i < n; i++)
        if (tame(logits[i]) == value)
            return i;
    return 0;
}

/* Tokens within `reach` of the largest logit (in units of temperature), by falling logit. */
static int32_t gather(const float *logits, int32_t n, float max, double temperature, double reach,
                      struct candidate *out)
{
    double floor_logit = (double)max - reach * temperature;
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        float logit = tame(logits[i]);
        if ((double)logit >= floor_logit)
            out[count++] = (struct candidate){i, logit, exp(((double)logit - (double)max) / temperature)};
    }
    qsort(out, (size_t)count, sizeof *out, by_falling_logit);
    return count;
}

/* Index of the chosen one among `count` sorted candidates, or -1 when more are needed. `whole`: these are all
 * there are. `total` is the weight of the whole vocabulary. */
static int32_t choose(const struct candidate *c, int32_t count, bool whole, double total,
                      const struct wm_sample_row *how)
{
    int32_t kept = count;
    bool all = whole; /* the kept ones are known to be all that the filters so far let through */
    if (how->min_p > 0) {
        while (kept > 1 && c[kept - 1].weight < (double)how->min_p)
            kept--;
        all |= kept < count;
    }
    if (how->top_k > 0 && how->top_k <= kept) {
        kept = how->top_k;
        all = true;
    }
    bool filtered = how->min_p > 0 || how->top_k > 0;
    if (filtered && !all)
        return -1;
    double sum = 0;
    for (int32_t i = 0; i < kept; i++)
        sum += c[i].weight;
    if (filtered || whole)
        total = sum;
    if (how->top_p < 1) {
        double head = 0;
        int32_t n = 0;
        while (n < kept && (n == 0 || head < (double)how->top_p * total))
            head += c[n++].weight;
        if (n == kept && !all && head < (double)how->top_p * total)
            return -1;
        kept = n;
        total = head;
        all = true;
    }
    double head = 0;
    for (int32_t i = 0; i < kept; i++) {
        head += c[i].weight;
        if (how->uniform * total < head)
            return i;
    }
    return all ? kept - 1 : -1;
}

static void sample_row(void *arg, int chunk, int worker)
{
    const struct sampling *s = arg;
    const struct wm_sample_row *how = &s->how[chunk];
    const float *logits = act_row(s->logits, chunk);
    size_t n = (size_t)s->vocabulary;
    float max;
    double sum = s->path->softmax_sum(logits, n, 1, &max);
    struct wm_sampled *out = &s->out[chunk];
    if (!(how->temperature > 0)) {
        *out = (struct wm_sampled){lowest_id_of(logits, s->vocabulary, max), (float)-log(sum)};
        return;
    }
    struct candidate *c = s->candidates + (size_t)worker * n;
    float inverse = fminf(1 / how->temperature, 1e30f);
    double total = how->temperature == 1 ? sum : s->path->softmax_sum(logits, n, inverse, &max);
    int32_t chosen = -1;
    for (double reach = FIRST_REACH; chosen < 0; reach = 2 * reach < LAST_REACH ? 2 * reach : INFINITY) {
        int32_t count = gather(logits, s->vocabulary, max, (double)how->temperature, reach, c);
        chosen = choose(c, count, count == s->vocabulary, total, how);
    }
    *out = (struct wm_sampled){c[chosen].id, (float)((double)c[chosen].logit - (double)max - log(sum))};
}

enum wm_status cpu_sample(struct wm_backend *be, const struct wm_act *logits, int32_t vocabulary,
                          const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out,
                          struct wm_error *err)
{
    assert(rows <= logits->rows && vocabulary >= 1 && vocabulary <= logits->width);
    size_t room = (size_t)wm_workers_threads(be->workers) * (size_t)vocabulary;
    struct sampling s = {be->path, logits, vocabulary, how, out, NULL};
    s.candidates = cpu_scratch(&be->candidates, room * sizeof *s.candidates);
    if (!s.candidates)
        return wm_fail(err, WM_ENOMEM, "no memory to choose among %d tokens", vocabulary);
    wm_workers_run(be->workers, sample_row, &s, rows);
    return WM_OK;
}

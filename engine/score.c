/* score.c -- see score.h.
 *
 * HOW     Prefill in slices, then one token at a time, each run asking for the logits of every row. With `company`
 *         every run also carries that many other sequences with tokens of their own: whatever they are, the rows
 *         of the first sequence must come out the same, bit for bit. Each sequence has its own KV blocks.
 */
#include "engine/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SLICE = 256, MAX_SLICE = 4096, MAX_COMPANY = 63 };

struct wm_score {
    struct wm_model model;
    int32_t slice, sequences;
    struct wm_act *logits; /* [slice * sequences, vocabulary] */
    float *row;            /* [vocabulary] */
    int32_t *ids, *want;   /* [slice * sequences] */
    struct wm_span *spans; /* [sequences] */
    /* of the run at hand */
    struct wm_kv *kv;
    int32_t *blocks; /* [sequences][blocks_each] */
    int32_t blocks_each;
};

enum wm_status wm_score_open(const struct wm_score_options *options, struct wm_score **out,
                             struct wm_error *err)
{
    int32_t slice = options->slice ? options->slice : DEFAULT_SLICE;
    if (slice < 1 || slice > MAX_SLICE || options->company < 0 || options->company > MAX_COMPANY)
        return wm_fail(err, WM_EINVAL,
                       "a slice of %d rows with %d other sequences: 1 to %d and 0 to %d are allowed", slice,
                       options->company, MAX_SLICE, MAX_COMPANY);
    struct wm_score *s = calloc(1, sizeof *s);
    if (!s)
        return wm_fail(err, WM_ENOMEM, "no memory to score with");
    s->slice = slice;
    s->sequences = 1 + options->company;
    int32_t rows = s->slice * s->sequences;
    struct wm_model_options model = options->model;
    model.max_rows = rows;
    enum wm_status st = wm_model_open(&model, &s->model, err);
    if (st == WM_OK)
        st = s->model.ops->act_new(s->model.backend, rows, s->model.shape.vocabulary, &s->logits, err);
    if (st == WM_OK) {
        s->row = malloc((size_t)s->model.shape.vocabulary * sizeof *s->row);
        s->ids = malloc((size_t)rows * sizeof *s->ids);
        s->want = malloc((size_t)rows * sizeof *s->want);
        s->spans = calloc((size_t)s->sequences, sizeof *s->spans);
        if (!s->row || !s->ids || !s->want || !s->spans)
            st = wm_fail(err, WM_ENOMEM, "no memory to score with");
    }
    if (st != WM_OK) {
        wm_score_close(s);
        return st;
    }
    *out = s;
    return WM_OK;
}

void wm_score_close(struct wm_score *s)
{
    if (!s)
        return;
    if (s->model.ops)
        s->model.ops->act_free(s->model.backend, s->logits);
    wm_model_close(&s->model);
    free(s->row);
    free(s->ids);
    free(s->want);
    free(s->spans);
    free(s);
}

const struct wm_model *wm_score_model(const struct wm_score *s)
{
    return &s->model;
}

/* A pool and block tables for `positions` of every sequence; blocks are dealt in turn, so that none are neighbours. */
static enum wm_status new_pool(struct wm_score *s, int64_t positions, struct wm_error *err)
{
    s->blocks_each = (int32_t)((positions + WM_KV_BLOCK - 1) / WM_KV_BLOCK);
    struct wm_kv_shape shape = s->model.program->kv_shape(&s->model.shape, s->blocks_each * s->sequences);
    s->blocks = malloc((size_t)shape.blocks * sizeof *s->blocks);
    if (!s->blocks)
        return wm_fail(err, WM_ENOMEM, "no memory for %lld positions", (long long)positions);
    for (int32_t q = 0; q < s->sequences; q++)
        for (int32_t b = 0; b < s->blocks_each; b++)
            s->blocks[q * s->blocks_each + b] = b * s->sequences + q;
    return s->model.ops->kv_new(s->model.backend, &shape, &s->kv, err);
}

static void free_pool(struct wm_score *s)
{
    s->model.ops->kv_free(s->model.backend, s->kv);
    free(s->blocks);
    s->kv = NULL;
    s->blocks = NULL;
}

/* Runs ids at positions [first, first + n) of every sequence: the first with `ids`, the others with shifted ones. */
static enum wm_status run_slice(struct wm_score *s, const int32_t *ids, int32_t first, int32_t n,
                                struct wm_error *err)
{
    int32_t subject = s->sequences / 2; /* company on both sides */
    for (int32_t q = 0; q < s->sequences; q++) {
        s->spans[q] = (struct wm_span){.first_row = q * n, .rows = n, .first_pos = first};
        s->spans[q].table[0].blocks = s->blocks + q * s->blocks_each;
        int32_t shift = q == subject ? 0 : q + 1;
        for (int32_t r = 0; r < n; r++)
            s->ids[q * n + r] = (ids[r] + shift) % s->model.shape.vocabulary;
    }
    for (int32_t r = 0; r < n; r++)
        s->want[r] = subject * n + r;
    struct wm_batch batch = {.rows = n * s->sequences, .n_spans = s->sequences, .spans = s->spans};
    return s->model.program->run(
        s->model.forward,
        &(struct wm_run){
            .batch = &batch, .ids = s->ids, .kv = s->kv, .want = s->want, .n_want = n, .logits = s->logits},
        err);
}

/* Runs a slice and hands its rows on; the likeliest token behind the last row in *next. */
static enum wm_status score_slice(struct wm_score *s, const int32_t *ids, int32_t first, int32_t n,
                                  wm_score_row row, void *arg, int32_t *next, struct wm_error *err)
{
    enum wm_status st = run_slice(s, ids, first, n, err);
    for (int32_t r = 0; r < n && st == WM_OK; r++) {
        if (!row && r + 1 < n)
            continue;
        st = s->model.ops->act_read(s->model.backend, s->logits, r, 1, s->row, err);
        if (st == WM_OK && row)
            st = row(arg, first + r, s->row, err);
    }
    if (st == WM_OK) {
        struct wm_ranked best;
        wm_top_k(s->row, s->model.shape.vocabulary, &best, 1);
        *next = best.id;
    }
    return st;
}

enum wm_status wm_score_run(struct wm_score *s, const int32_t *ids, int32_t n, int32_t greedy,
                            wm_score_row row, void *arg, struct wm_tokens *out, struct wm_error *err)
{
    int32_t next = 0;
    if (n < 1 || greedy < 0 || (int64_t)n + greedy > s->model.shape.context)
        return wm_fail(err, WM_ELIMIT, "%d tokens and %d more: the model takes 1 to %d", n, greedy,
                       s->model.shape.context);
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->model.shape.vocabulary)
            return wm_fail(err, WM_EINVAL, "id %d at place %d is outside the vocabulary of %d", ids[i], i,
                           s->model.shape.vocabulary);
    enum wm_status st = new_pool(s, (int64_t)n + greedy, err);
    for (int32_t at = 0; at < n && st == WM_OK; at += s->slice)
        st = score_slice(s, ids + at, at, n - at < s->slice ? n - at : s->slice, row, arg, &next, err);
    for (int32_t g = 0; g < greedy && st == WM_OK; g++) {
        if (wm_tokens_add(out, &next, 1) != WM_OK)
            st = wm_fail(err, WM_ENOMEM, "no memory for %d tokens", greedy);
        else if (g + 1 < greedy)
            st = score_slice(s, &(int32_t){next}, n + g, 1, row, arg, &next, err);
    }
    free_pool(s);
    return st;
}

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

void wm_top_k(const float *logits, int32_t n, struct wm_ranked *out, int32_t k)
{
    int32_t held = 0;
    for (int32_t id = 0; id < n; id++) {
        if (held == k && logits[id] <= out[k - 1].logit)
            continue;
        int32_t at = held < k ? held++ : k - 1; /* insertion: k is small */
        for (; at > 0 && out[at - 1].logit < logits[id]; at--)
            out[at] = out[at - 1];
        out[at] = (struct wm_ranked){id, logits[id]};
    }
}

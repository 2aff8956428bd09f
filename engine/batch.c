/* batch.c -- one step: rows of many requests through the model at once.
 *
 * WHY     Reading the weights costs the same for one row as for thirty, so everybody who waits for a token
 *         gets it from the same pass; and long prompts must not stop those who are being answered.
 *
 * HOW     First one row for each request that needs just one (they are being answered, or their prompt ends
 *         here), then slices of the prompts, in the order of wm_request_before, until the budget of rows is
 *         used up. Rows of one request lie together as one span. Only the last row of a request that is
 *         complete is turned into logits and sampled.
 *
 *         A slice ends before the first slot of a picture whose rows are not there yet; slots of those that
 *         are get their rows grafted in. Slices begin and end inside pictures as they do anywhere else.
 *
 * ALWAYS  (1) What a request gets does not depend on the others: rows do not mix (the operations promise it),
 *             and its random numbers come from its seed and the place of the token alone.
 *         (2) Every request that needs one row gets it in every step: max_running <= max_rows.
 */
#include "engine/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/encoder.h"

#include "engine/queue.h"

struct wm_step {
    struct wm_model *model;
    struct wm_kv *kv[WM_KV_GROUPS];
    int32_t max_rows, max_running;
    struct wm_act *logits; /* [max_running, vocabulary] */
    /* of the step at hand */
    int32_t rows, n_spans, n_samples, n_grafts;
    int32_t *ids;                    /* [max_rows] */
    struct wm_span *spans;           /* [max_running] */
    struct wm_graft *grafts;         /* [max_rows] */
    struct wm_request **waiting;     /* [max_running] those with a prompt to compute */
    int32_t *want;                   /* [max_running] row whose logits are sampled, */
    const struct wm_request **whose; /* [max_running] for this request, */
    struct wm_sample_row *how;       /* [max_running] in this way, */
    struct wm_sampled *chosen;       /* [max_running] with this result */
};

enum wm_status wm_step_new(struct wm_model *model, struct wm_kv *const kv[WM_KV_GROUPS], int32_t max_rows,
                           int32_t max_running, struct wm_step **out, struct wm_error *err)
{
    assert(max_running >= 1 && max_running <= max_rows);
    size_t running = (size_t)max_running;
    struct wm_step *s = calloc(1, sizeof *s);
    if (!s)
        return wm_fail(err, WM_ENOMEM, "no memory for a step of %d rows", max_rows);
    *s = (struct wm_step){.model = model,
                          .max_rows = max_rows,
                          .max_running = max_running,
                          .ids = calloc((size_t)max_rows, sizeof *s->ids),
                          .spans = calloc(running, sizeof *s->spans),
                          .grafts = calloc((size_t)max_rows, sizeof *s->grafts),
                          .waiting = calloc(running, sizeof *s->waiting),
                          .want = calloc(running, sizeof *s->want),
                          .whose = calloc(running, sizeof *s->whose),
                          .how = calloc(running, sizeof *s->how),
                          .chosen = calloc(running, sizeof *s->chosen)};
    memcpy(s->kv, kv, sizeof s->kv);
    enum wm_status st = WM_OK;
    if (!s->ids || !s->spans || !s->grafts || !s->waiting || !s->want || !s->whose || !s->how || !s->chosen)
        st = wm_fail(err, WM_ENOMEM, "no memory for a step of %d rows", max_rows);
    if (st == WM_OK)
        st = model->ops->act_new(model->backend, max_running, model->arch->vocabulary, &s->logits, err);
    if (st != WM_OK) {
        wm_step_free(s);
        return st;
    }
    *out = s;
    return WM_OK;
}

void wm_step_free(struct wm_step *s)
{
    if (!s)
        return;
    s->model->ops->act_free(s->model->backend, s->logits);
    free(s->ids);
    free(s->spans);
    free(s->grafts);
    free(s->waiting);
    free(s->want);
    free(s->whose);
    free(s->how);
    free(s->chosen);
    free(s);
}

/* splitmix64's finaliser: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

double wm_uniform(uint64_t seed, uint64_t place)
{
    uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) + place * 0x9e3779b97f4a7c15u);
    return (double)(bits >> 11) * 0x1p-53;
}

static void want_sample(struct wm_step *s, const struct wm_request *r)
{
    const struct wm_sampling *how = &r->ask.sampling;
    s->want[s->n_samples] = s->rows - 1;
    s->whose[s->n_samples] = r;
    s->how[s->n_samples] =
        (struct wm_sample_row){.temperature = how->temperature,
                               .top_p = how->top_p > 0 ? how->top_p : 1,
                               .min_p = how->min_p,
                               .top_k = how->top_k,
                               .uniform = wm_uniform(how->seed, (uint64_t)r->usage.completion_tokens)};
    s->n_samples++;
}

/* The next row is a picture's slot: its own row of the picture goes there. */
static void fill_slot(struct wm_step *s, struct wm_request *r)
{
    const struct wm_request_picture *p = &r->pictures[r->picture];
    wm_graft_add(s->grafts, &s->n_grafts, wm_encoding_rows(p->rows_of), r->slot, s->rows);
    if (++r->slot == p->rows) {
        r->picture++;
        r->slot = 0;
    }
}

/* The next `rows` tokens of a request become a span. */
static void take_rows(struct wm_step *s, struct wm_request *r, int32_t rows)
{
    size_t done = r->lease->ids.n;
    struct wm_span *span = &s->spans[s->n_spans++];
    *span = (struct wm_span){.first_row = s->rows, .rows = rows, .first_pos = (int64_t)done};
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        span->table[g].blocks = r->lease->table[g].blocks;
        span->table[g].first_block = r->lease->table[g].first;
    }
    for (int32_t i = 0; i < rows; i++, s->rows++) {
        s->ids[s->rows] = r->ids.ids[done + (size_t)i];
        if (r->picture < r->n_pictures && s->ids[s->rows] == s->model->patch_id)
            fill_slot(s, r);
    }
    r->step_rows = rows;
    r->step_samples = r->ask.max_tokens > 0 && done + (size_t)rows == r->ids.n;
    if (r->step_samples)
        want_sample(s, r);
}

/* Rows of a request that can be computed now: up to the first picture that is not there yet. */
static size_t ready(const struct wm_request *r)
{
    size_t done = r->lease->ids.n;
    for (int32_t i = r->picture; i < r->n_pictures; i++)
        if (!wm_encoding_rows(r->pictures[i].rows_of))
            return r->pictures[i].first > done ? r->pictures[i].first - done : 0;
    return wm_request_left(r);
}

static void choose_rows(struct wm_step *s, struct wm_request *running, uint64_t step_number)
{
    int32_t n_waiting = 0;
    s->rows = s->n_spans = s->n_samples = s->n_grafts = 0;
    for (struct wm_request *r = running; r; r = r->next) {
        r->step_rows = 0;
        r->step_samples = false;
        size_t rows = ready(r);
        if (rows == 1) {
            take_rows(s, r, 1);
        } else if (rows > 1) {
            int32_t at = n_waiting++; /* insertion keeps them in the order of service */
            for (; at > 0 && wm_request_before(r, s->waiting[at - 1], step_number); at--)
                s->waiting[at] = s->waiting[at - 1];
            s->waiting[at] = r;
        }
    }
    for (int32_t i = 0; i < n_waiting && s->rows < s->max_rows; i++) {
        size_t rows = ready(s->waiting[i]), room = (size_t)(s->max_rows - s->rows);
        take_rows(s, s->waiting[i], (int32_t)(rows < room ? rows : room));
    }
}

enum wm_status wm_step_run(struct wm_step *s, struct wm_request *running, uint64_t step_number,
                           struct wm_error *err)
{
    struct wm_model *m = s->model;
    choose_rows(s, running, step_number);
    if (s->rows == 0)
        return WM_OK; /* every prompt was in the cache already, or waits for a picture */
    struct wm_batch batch = {.rows = s->rows, .n_spans = s->n_spans, .spans = s->spans};
    struct wm_run run = {.batch = &batch,
                         .ids = s->ids,
                         .grafts = s->grafts,
                         .n_grafts = s->n_grafts,
                         .kv = {s->kv[WM_GROUP_GLOBAL], s->kv[WM_GROUP_LOCAL]},
                         .want = s->want,
                         .n_want = s->n_samples,
                         .logits = s->logits};
    enum wm_status st = wm_program_run(m->program, &run, err);
    if (st == WM_OK && s->n_samples)
        st = m->ops->sample(m->backend, s->logits, m->arch->vocabulary, s->how, s->n_samples, s->chosen, err);
    return st;
}

int32_t wm_step_token(const struct wm_step *s, const struct wm_request *r)
{
    int32_t i = 0;
    while (s->whose[i] != r)
        i++;
    return s->chosen[i].id;
}

int32_t wm_step_rows(const struct wm_step *s)
{
    return s->rows;
}

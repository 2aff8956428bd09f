/* score.c -- see score.h.
 *
 * HOW     Prefill in slices, then one token at a time, each run asking for the logits of every row. With
 *         `company` every run also carries that many other sequences with tokens of their own: whatever they
 *         are, the rows of the first sequence must come out the same, bit for bit. Each sequence has its own
 *         KV blocks, and keeps them to the end: the block tables of both layer groups are the same list.
 */
#include "engine/score.h"

#include <stdlib.h>

#include "engine/picture_file.h"

enum { DEFAULT_SLICE = 256, MAX_SLICE = 4096, MAX_COMPANY = 63 };

struct wm_score {
    struct wm_model model;
    int32_t slice, sequences;
    struct wm_act *logits;   /* [slice * sequences, vocabulary] */
    float *row;              /* [vocabulary] */
    int32_t *ids, *want;     /* [slice * sequences] */
    struct wm_span *spans;   /* [sequences] */
    struct wm_graft *grafts; /* [slice] */
    struct wm_act *shown;    /* rows of the pictures shown; NULL: none */
    int32_t n_shown;
    /* of the run at hand */
    struct wm_kv *kv[WM_KV_GROUPS];
    int32_t next_slot; /* of the pictures shown */
    int32_t *blocks;   /* [sequences][blocks_each] */
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
        st = s->model.ops->act_new(s->model.backend, rows, s->model.arch->vocabulary, &s->logits, err);
    if (st == WM_OK) {
        s->row = malloc((size_t)s->model.arch->vocabulary * sizeof *s->row);
        s->ids = malloc((size_t)rows * sizeof *s->ids);
        s->want = malloc((size_t)rows * sizeof *s->want);
        s->spans = calloc((size_t)s->sequences, sizeof *s->spans);
        s->grafts = calloc((size_t)s->slice, sizeof *s->grafts);
        if (!s->row || !s->ids || !s->want || !s->spans || !s->grafts)
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
    if (s->model.ops) {
        s->model.ops->act_free(s->model.backend, s->logits);
        s->model.ops->act_free(s->model.backend, s->shown);
    }
    wm_model_close(&s->model);
    free(s->row);
    free(s->ids);
    free(s->want);
    free(s->spans);
    free(s->grafts);
    free(s);
}

const struct wm_model *wm_score_model(const struct wm_score *s)
{
    return &s->model;
}

static enum wm_status look(void *arg, const char *path, struct wm_picture *out, struct wm_error *err)
{
    return wm_model_look(arg, path, out, err);
}

enum wm_status wm_score_prompt(const struct wm_score *s, const json_t *prompt, struct wm_prompt *out,
                               struct wm_error *err)
{
    const struct wm_model *m = &s->model;
    struct wm_prompt_reader reader = {.tokenizer = m->tokenizer,
                                      .chat = m->chat,
                                      .chat_error = &m->chat_error,
                                      .look = look,
                                      .arg = (void *)m};
    return wm_prompt_from_json(&reader, prompt, out, err);
}

/* --- pictures ------------------------------------------------------------------------------------------- */

/* One picture into rows from *row on. */
static enum wm_status show_one(struct wm_score *s, const struct wm_picture *picture, int32_t *row,
                               struct wm_error *err)
{
    const struct wm_vision_arch *v = &s->model.arch->vision;
    struct wm_tiles tiles;
    enum wm_status st = wm_picture_tiles_of(v, picture, &tiles, err);
    if (st != WM_OK)
        return st;
    for (int32_t t = 0; t < tiles.n && st == WM_OK; t++, *row += wm_tile_tokens(v))
        st = wm_vision_encode(s->model.vision, &tiles, t, s->shown, *row, err);
    wm_tiles_free(&tiles);
    return st;
}

enum wm_status wm_score_show(struct wm_score *s, const struct wm_picture *pictures, size_t n,
                             struct wm_error *err)
{
    const struct wm_model *m = &s->model;
    int64_t rows = 0;
    m->ops->act_free(m->backend, s->shown);
    s->shown = NULL;
    s->n_shown = 0;
    if (n == 0)
        return WM_OK;
    if (!m->vision)
        return wm_fail(err, WM_EUNSUPPORTED, "%s has no vision tower: it cannot be shown pictures", m->name);
    for (size_t i = 0; i < n; i++)
        rows += wm_picture_rows(&m->arch->vision, &pictures[i]);
    if (rows > m->arch->context)
        return wm_fail(err, WM_ELIMIT, "%zu pictures take %lld tokens, the model takes %d", n,
                       (long long)rows, m->arch->context);
    enum wm_status st = m->ops->act_new(m->backend, (int32_t)rows, m->arch->width, &s->shown, err);
    int32_t row = 0;
    for (size_t i = 0; i < n && st == WM_OK; i++)
        st = show_one(s, &pictures[i], &row, err);
    s->n_shown = st == WM_OK ? row : 0;
    return st;
}

int32_t wm_score_shown(const struct wm_score *s)
{
    return s->n_shown;
}

enum wm_status wm_score_embeddings(struct wm_score *s, int32_t row, int32_t rows, float *out,
                                   struct wm_error *err)
{
    return s->model.ops->act_read(s->model.backend, s->shown, row, rows, out, err);
}

/* --- runs ----------------------------------------------------------------------------------------------- */

/* Pools and block tables for `positions` of every sequence; blocks are dealt in turn, so that none are
 * neighbours. */
static enum wm_status new_pools(struct wm_score *s, int64_t positions, struct wm_error *err)
{
    const struct wm_model *m = &s->model;
    s->next_slot = 0;
    s->blocks_each = (int32_t)((positions + WM_KV_BLOCK - 1) / WM_KV_BLOCK);
    int32_t blocks = s->blocks_each * s->sequences;
    s->blocks = malloc((size_t)blocks * sizeof *s->blocks);
    enum wm_status st =
        s->blocks ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for %lld positions", (long long)positions);
    for (int32_t q = 0; q < s->sequences && st == WM_OK; q++)
        for (int32_t b = 0; b < s->blocks_each; b++)
            s->blocks[q * s->blocks_each + b] = b * s->sequences + q;
    for (int g = 0; g < WM_KV_GROUPS && st == WM_OK; g++) {
        struct wm_kv_shape shape = wm_program_kv_shape(m->arch, g, blocks);
        if (shape.layers)
            st = m->ops->kv_new(m->backend, &shape, &s->kv[g], err);
    }
    return st;
}

static void free_pools(struct wm_score *s)
{
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        if (s->kv[g])
            s->model.ops->kv_free(s->model.backend, s->kv[g]);
        s->kv[g] = NULL;
    }
    free(s->blocks);
    s->blocks = NULL;
}

/* Runs ids at positions [first, first + n) of every sequence: the subject with `ids`, and pictures in their
 * slots, the others with shifted ones. `prompt`: these are of the prompt; what the model says itself shows
 * nothing. */
static enum wm_status run_slice(struct wm_score *s, const int32_t *ids, int32_t first, int32_t n, bool prompt,
                                struct wm_error *err)
{
    int32_t subject = s->sequences / 2, n_grafts = 0; /* company on both sides */
    for (int32_t q = 0; q < s->sequences; q++) {
        s->spans[q] = (struct wm_span){.first_row = q * n, .rows = n, .first_pos = first};
        for (int g = 0; g < WM_KV_GROUPS; g++)
            s->spans[q].table[g].blocks = s->blocks + q * s->blocks_each;
        int32_t shift = q == subject ? 0 : q + 1;
        for (int32_t r = 0; r < n; r++)
            s->ids[q * n + r] = (ids[r] + shift) % s->model.arch->vocabulary;
    }
    for (int32_t r = 0; r < n; r++) {
        s->want[r] = subject * n + r;
        if (prompt && s->shown && ids[r] == s->model.patch_id)
            wm_graft_add(s->grafts, &n_grafts, s->shown, s->next_slot++, s->want[r]);
    }
    struct wm_batch batch = {.rows = n * s->sequences, .n_spans = s->sequences, .spans = s->spans};
    struct wm_run run = {.batch = &batch,
                         .ids = s->ids,
                         .grafts = s->grafts,
                         .n_grafts = n_grafts,
                         .kv = {s->kv[0], s->kv[1]},
                         .want = s->want,
                         .n_want = n,
                         .logits = s->logits};
    return wm_program_run(s->model.program, &run, err);
}

/* Runs a slice and hands its rows on; the likeliest token behind the last row in *next. */
static enum wm_status score_slice(struct wm_score *s, const int32_t *ids, int32_t first, int32_t n,
                                  bool prompt, wm_score_row row, void *arg, int32_t *next,
                                  struct wm_error *err)
{
    enum wm_status st = run_slice(s, ids, first, n, prompt, err);
    for (int32_t r = 0; r < n && st == WM_OK; r++) {
        if (!row && r + 1 < n)
            continue;
        st = s->model.ops->act_read(s->model.backend, s->logits, r, 1, s->row, err);
        if (st == WM_OK && row)
            st = row(arg, first + r, s->row, err);
    }
    if (st == WM_OK) {
        struct wm_ranked best;
        wm_top_k(s->row, s->model.arch->vocabulary, &best, 1);
        *next = best.id;
    }
    return st;
}

enum wm_status wm_score_run(struct wm_score *s, const int32_t *ids, int32_t n, int32_t greedy,
                            wm_score_row row, void *arg, struct wm_tokens *out, struct wm_error *err)
{
    int32_t next = 0, slots = 0;
    if (n < 1 || greedy < 0 || (int64_t)n + greedy > s->model.arch->context)
        return wm_fail(err, WM_ELIMIT, "%d tokens and %d more: the model takes 1 to %d", n, greedy,
                       s->model.arch->context);
    for (int32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= s->model.arch->vocabulary)
            return wm_fail(err, WM_EINVAL, "id %d at place %d is outside the vocabulary of %d", ids[i], i,
                           s->model.arch->vocabulary);
        slots += ids[i] == s->model.patch_id;
    }
    if (slots != s->n_shown)
        return wm_fail(err, WM_EINVAL, "the ids have %d slots for pictures, and the pictures shown fill %d",
                       slots, s->n_shown);
    enum wm_status st = new_pools(s, (int64_t)n + greedy, err);
    for (int32_t at = 0; at < n && st == WM_OK; at += s->slice)
        st = score_slice(s, ids + at, at, n - at < s->slice ? n - at : s->slice, true, row, arg, &next, err);
    for (int32_t g = 0; g < greedy && st == WM_OK; g++) {
        if (wm_tokens_add(out, &next, 1) != WM_OK)
            st = wm_fail(err, WM_ENOMEM, "no memory for %d tokens", greedy);
        else if (g + 1 < greedy)
            st = score_slice(s, &(int32_t){next}, n + g, 1, false, row, arg, &next, err);
    }
    free_pools(s);
    return st;
}

/* cmd_score.c -- `wingman score MODEL`: logits and greedy text for exactness. One JSON object in, one out.
 *
 *   in   {"ids": [...], "images": [paths]}, {"text": "..."} or {"messages": [...]}, whose pictures are paths
 *   out  {"ids", "greedy", "text": greedy up to the first end token, "nll": mean in nats,
 *         "top": per position [[id, logprob]]}
 *
 * --logits F.npy writes float32 [positions, vocabulary], row by row: nothing is kept in memory but one row.
 * --distill F.safetensors takes many conversations instead, one a line, and writes what a student learns
 * from: distill.c.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/score.h"
#include "gateway/command.h"
#include "gateway/distill.h"
#include "gateway/npy.h"

enum { DEFAULT_DISTILL_TOP = 64, MAX_GREEDY = 1 << 24 };

struct options {
    const char *model, *projector, *backend, *logits, *distill;
    int greedy, top, threads, slice;
};

struct scoring {
    const struct options *options;
    const struct wm_model *model;
    struct wm_prompt prompt;
    struct wm_tokens greedy;
    double nll; /* sum */
    json_t *top;
    struct wm_ranked *ranked; /* [top of them asked for] */
    struct wm_npy npy;        /* of --logits */
};

static const char usage[] =
    "usage: wingman score MODEL [--backend auto|cpu|reference] [--threads N] [--slice ROWS]\n"
    "                     [--projector F.gguf] [--logits F.npy] [--greedy N] [--top K] < object\n"
    "       wingman score MODEL --distill F.safetensors [--top K] [...] < conversations, one a line\n";

/* A whole number in [0, max], or -1. */
static int number(const char *text, int max)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return *text && !*end && !errno && value >= 0 && value <= max ? (int)value : -1;
}

static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"backend", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'},
        {"slice", required_argument, NULL, 's'},
        {"logits", required_argument, NULL, 'l'},
        {"projector", required_argument, NULL, 'p'},
        {"distill", required_argument, NULL, 'd'},
        {"greedy", required_argument, NULL, 'g'},
        {"top", required_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    int c, bad = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'b':
            o->backend = optarg;
            break;
        case 'l':
            o->logits = optarg;
            break;
        case 'p':
            o->projector = optarg;
            break;
        case 'd':
            o->distill = optarg;
            break;
        case 't':
            bad |= (o->threads = number(optarg, 256)) < 0;
            break;
        case 's':
            bad |= (o->slice = number(optarg, 4096)) < 0;
            break;
        case 'g':
            bad |= (o->greedy = number(optarg, MAX_GREEDY)) < 0;
            break;
        case 'k':
            bad |= (o->top = number(optarg, WM_MAX_VOCABULARY)) < 0;
            break;
        default:
            bad = 1;
        }
    }
    if (bad || optind + 1 != argc || (o->distill && (o->logits || o->greedy)))
        return -1;
    o->model = argv[optind];
    return 0;
}

/* How many a row asks for: no more than there are. */
static int32_t top_of(const struct scoring *s)
{
    int32_t vocabulary = s->model->arch->vocabulary;
    return s->options->top < vocabulary ? s->options->top : vocabulary;
}

static enum wm_status add_top(struct scoring *s, const float *logits, double log_sum, struct wm_error *err)
{
    int32_t vocabulary = s->model->arch->vocabulary, k = top_of(s);
    json_t *row = json_array();
    wm_top_k(logits, vocabulary, s->ranked, k);
    for (int32_t i = 0; i < k; i++)
        json_array_append_new(row,
                              json_pack("[i,f]", (int)s->ranked[i].id, (double)s->ranked[i].logit - log_sum));
    return json_array_append_new(s->top, row) == 0 ? WM_OK
                                                   : wm_fail(err, WM_ENOMEM, "no memory for the answer");
}

static enum wm_status take_row(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct scoring *s = arg;
    size_t at = (size_t)position, width = (size_t)s->model->arch->vocabulary;
    if (at >= s->prompt.tokens.n)
        return WM_OK; /* of the greedy part */
    if (wm_npy_add(&s->npy, logits, width, err) != WM_OK)
        return err->code;
    double log_sum = wm_log_sum_exp(logits, (int32_t)width);
    if (at + 1 < s->prompt.tokens.n)
        s->nll += log_sum - (double)logits[s->prompt.tokens.ids[at + 1]];
    return s->options->top ? add_top(s, logits, log_sum, err) : WM_OK;
}

/* The greedy tokens up to the first end token, as text. */
static enum wm_status greedy_text(const struct scoring *s, struct wm_buffer *out)
{
    struct wm_decoder d = {0};
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < s->greedy.n && st == WM_OK; i++) {
        if (wm_tokenizer_stops(s->model->tokenizer, s->greedy.ids[i]))
            break;
        st = wm_decoder_push(&d, s->model->tokenizer, s->greedy.ids[i], out);
    }
    return st == WM_OK ? wm_decoder_flush(&d, out) : st;
}

static enum wm_status print_answer(const struct scoring *s, struct wm_error *err)
{
    struct wm_buffer text = WM_BUFFER(64 << 20);
    json_t *out = NULL;
    enum wm_status st = greedy_text(s, &text);
    if (st == WM_OK) {
        json_t *nll =
            s->prompt.tokens.n > 1 ? json_real(s->nll / (double)(s->prompt.tokens.n - 1)) : json_null();
        out = json_pack("{s:o,s:o,s:s%,s:o}", "ids", wm_ids_to_json(s->prompt.tokens.ids, s->prompt.tokens.n),
                        "greedy", wm_ids_to_json(s->greedy.ids, s->greedy.n), "text",
                        text.data ? text.data : "", text.len, "nll", nll);
    }
    if (out && s->options->top)
        json_object_set(out, "top", s->top);
    if (!out || json_dumpf(out, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        st = wm_fail(err, WM_EIO, "the answer could not be printed");
    json_decref(out);
    wm_buffer_free(&text);
    return st;
}

static enum wm_status read_prompt(struct scoring *s, const struct wm_score *score, struct wm_error *err)
{
    json_error_t where;
    json_t *prompt = json_loadf(stdin, 0, &where);
    if (!prompt)
        return wm_fail(err, WM_EFORMAT, "standard input is not JSON: %s (line %d)", where.text, where.line);
    enum wm_status st = wm_score_prompt(score, prompt, &s->prompt, err);
    json_decref(prompt);
    return st;
}

/* One prompt: the answer on standard output. */
static enum wm_status score_one(const struct options *o, struct wm_score *score, struct wm_error *err)
{
    struct scoring s = {.options = o, .model = wm_score_model(score), .top = json_array()};
    s.ranked = calloc((size_t)top_of(&s) + 1, sizeof *s.ranked);
    enum wm_status st = s.top && s.ranked ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for the answer");
    if (st == WM_OK)
        st = read_prompt(&s, score, err);
    if (st == WM_OK)
        st = wm_score_show(score, s.prompt.pictures, s.prompt.n_pictures, err);
    int64_t shape[] = {(int64_t)s.prompt.tokens.n, s.model->arch->vocabulary};
    if (st == WM_OK && o->logits)
        st = wm_npy_begin(&s.npy, o->logits, shape, 2, err);
    if (st == WM_OK)
        st = wm_score_run(score, s.prompt.tokens.ids, (int32_t)s.prompt.tokens.n, o->greedy, take_row, &s,
                          &s.greedy, err);
    if (wm_npy_end(&s.npy, err) == WM_OK && st == WM_OK)
        st = print_answer(&s, err);
    wm_prompt_free(&s.prompt);
    wm_tokens_free(&s.greedy);
    json_decref(s.top);
    free(s.ranked);
    return err->code;
}

int wm_cmd_score(int argc, char **argv)
{
    struct options o = {.backend = "auto"};
    if (read_options(argc, argv, &o) != 0) {
        fputs(usage, stderr);
        return WM_EXIT_MISUSED;
    }
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score *score = NULL;
    struct wm_score_options options = {
        .model = {.path = o.model, .projector = o.projector, .backend = o.backend, .threads = o.threads},
        .slice = o.slice};
    enum wm_status st = wm_score_open(&options, &score, &err);
    if (st == WM_OK && o.distill)
        st = wm_distill(score, stdin, o.top ? o.top : DEFAULT_DISTILL_TOP, o.distill, &err);
    else if (st == WM_OK)
        st = score_one(&o, score, &err);
    if (st != WM_OK)
        fprintf(stderr, "wingman score: %s\n", err.text);
    wm_score_close(score);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

/* cmd_bench.c -- `wingman bench MODEL`: prefill and batched decode speed of this machine.
 *
 * HOW     Through the same engine as everything else, so that queue, sampling and events are in the figures. Prefill is one prompt
 *         with no reply. Decode with n conversations: their prompts are computed first and stay in the cache; then all n
 *         replies begin together, and tokens are counted from the moment when each has its first until one ends.
 *         Rounds go through all measurements in turn, so that a disturbance hits all alike; medians are printed.
 *
 *         A step reads every packed weight once, of routed experts those that it meets: bytes/s. Each token takes two
 *         operations for each value of the matrices it meets: operations/s. Attention is left out of both, so the shares of the peaks are slightly too low.
 */
#include <errno.h>
#include <getopt.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/model.h"
#include "engine/parts.h"
#include "engine/plan.h"
#include "gateway/command.h"
#include "kernels/base/clock.h"
#include "kernels/cpu/peaks.h"

enum { MAX_CONVERSATIONS = 256, MAX_KINDS = 16, MAX_ROUNDS = 99, DECODE_PROMPT = 128 };

struct bench {
    const char *model, *backend;
    int threads, prompt, reply, rounds;
    int conversations[MAX_KINDS], n_kinds;
    struct wm_engine *engine;
    struct wm_arch arch;
    struct wm_parameters values;
    double output_values; /* of the matrix that only a sampled token meets */
    double matrix_values; /* of the others that a token meets */
    double file_bytes;    /* of all matrices in the file */
    uint64_t next_owner;
    struct wm_error err;
};

static const char usage[] =
    "usage: wingman bench MODEL [--backend auto|cpu|reference] [--threads N] [--prompt TOKENS]\n"
    "                     [--reply TOKENS] [--conversations 1,8,32] [--rounds N]\n";

/* A whole number in [1, max], or 0. */
static int number(const char *text, int max, char **end)
{
    errno = 0;
    long value = strtol(text, end, 10);
    return *end != text && !errno && value >= 1 && value <= max ? (int)value : 0;
}

static int read_list(struct bench *b, char *text)
{
    for (b->n_kinds = 0; b->n_kinds < MAX_KINDS; text++) {
        char *end;
        int n = number(text, MAX_CONVERSATIONS, &end);
        if (!n || (*end && *end != ','))
            return -1;
        b->conversations[b->n_kinds++] = n;
        if (!*end)
            return 0;
        text = end;
    }
    return -1;
}

static int read_options(int argc, char **argv, struct bench *b)
{
    static const struct option longs[] = {
        {"backend", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'},
        {"prompt", required_argument, NULL, 'p'},
        {"reply", required_argument, NULL, 'r'},
        {"rounds", required_argument, NULL, 'R'},
        {"conversations", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int c, bad = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        char *end = NULL;
        switch (c) {
        case 'b':
            b->backend = optarg;
            continue;
        case 'c':
            bad |= read_list(b, optarg);
            continue;
        case 't':
            bad |= !(b->threads = number(optarg, 256, &end));
            break;
        case 'p':
            bad |= !(b->prompt = number(optarg, 1 << 20, &end));
            break;
        case 'r':
            bad |= !(b->reply = number(optarg, 1 << 20, &end));
            break;
        case 'R':
            bad |= !(b->rounds = number(optarg, MAX_ROUNDS, &end));
            break;
        default:
            return -1;
        }
        bad |= *end != '\0';
    }
    if (bad || optind + 1 != argc || b->reply < 3)
        return -1;
    b->model = argv[optind];
    return 0;
}

/* What a token meets of the model, and what its matrices weigh in the file. */
static enum wm_status weigh(struct bench *b)
{
    struct wm_model_file *f;
    const struct wm_parameters *v = &b->values;
    enum wm_status st = wm_model_file_open(b->model, &f, &b->err);
    if (st != WM_OK)
        return st;
    st = wm_arch_read(f, NULL, &b->arch, &b->err);
    if (st == WM_OK) {
        const struct wm_parts parts = {f, NULL, &b->arch};
        wm_plan_parameters(&b->arch, &b->values);
        b->output_values = (double)(b->arch.tied ? v->embedding : v->output);
        b->matrix_values = (double)(v->touched - v->norms) - b->output_values;
        for (enum wm_part part = 0; part < WM_PARTS; part++)
            if (!wm_part_is_vision(part) && !wm_part_is_vector(part) &&
                (part != WM_PART_EMBEDDING || b->arch.tied))
                b->file_bytes += (double)wm_part_bytes(&parts, part);
    }
    wm_model_file_close(f);
    return st;
}

/* Of the matrices' bytes, the share that a step of `conversations` reads: all of a dense model, of experts those that are met. */
static double share_read(const struct bench *b, int conversations)
{
    double experts = (double)b->values.routed, met = 0;
    double always = b->matrix_values + b->output_values - (double)b->values.routed_touched;
    if (b->arch.experts)
        met = experts * wm_plan_distinct(&b->arch, conversations) / b->arch.experts;
    return (always + met) / (always + experts);
}

/* --- one measurement ------------------------------------------------------------------------------------------- */

/* Filled in by the engine thread; read when `done` has been posted for every request. */
struct run {
    int conversations, begun, ended;
    int64_t from_us, to_us; /* all have begun; the last token before one ended */
    int64_t tokens;         /* in between */
    bool failed;
    sem_t done;
};

struct one {
    struct run *run;
    bool begun;
};

static void on_event(void *arg, const struct wm_generated *g)
{
    struct one *one = arg;
    struct run *run = one->run;
    int64_t now = wm_now_us();
    if (run->begun == run->conversations && !run->ended && now > run->from_us) {
        run->tokens += (int64_t)g->n_ids;
        run->to_us = now;
    }
    if (g->n_ids && !one->begun) {
        one->begun = true;
        if (++run->begun == run->conversations)
            run->from_us = now;
    }
    if (g->finish != WM_FINISH_NONE) {
        run->ended++;
        run->failed |= g->finish != WM_FINISH_LENGTH;
        sem_post(&run->done);
    }
}

/* Submits one request for each of `n` owners and waits for all. */
static enum wm_status run_all(struct bench *b, struct run *run, uint64_t first_owner, int n, int prompt,
                              int reply)
{
    static struct one ones[MAX_CONVERSATIONS];
    int32_t *ids = malloc((size_t)prompt * sizeof *ids);
    int32_t vocabulary = wm_engine_info(b->engine)->vocabulary;
    enum wm_status st = ids ? WM_OK : wm_fail(&b->err, WM_ENOMEM, "no memory for a prompt");
    int submitted = 0;
    *run = (struct run){.conversations = n};
    sem_init(&run->done, 0, 0);
    for (int i = 0; i < n && st == WM_OK; i++) {
        uint64_t request, seed = first_owner + (uint64_t)i;
        for (int t = 0; t < prompt; t++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            ids[t] = (int32_t)((seed >> 33) % (uint64_t)vocabulary);
        }
        ones[i] = (struct one){.run = run};
        st = wm_engine_submit(b->engine,
                              &(struct wm_generate){.owner = first_owner + (uint64_t)i,
                                                    .prompt = ids,
                                                    .prompt_len = (size_t)prompt,
                                                    .max_tokens = reply,
                                                    .ignore_eos = true,
                                                    .event = on_event,
                                                    .arg = &ones[i]},
                              &request, &b->err);
        submitted += st == WM_OK;
    }
    for (int i = 0; i < submitted; i++)
        while (sem_wait(&run->done) != 0) {
        }
    sem_destroy(&run->done);
    free(ids);
    if (st == WM_OK && run->failed)
        st = wm_fail(&b->err, WM_EIO, "a request did not run to its end");
    return st;
}

/* Tokens a second; 0 after a failure. */
static double measure_prefill(struct bench *b)
{
    struct run run;
    int64_t from = wm_now_us();
    if (run_all(b, &run, b->next_owner++, 1, b->prompt, 0) != WM_OK)
        return 0;
    double seconds = (double)(wm_now_us() - from) / 1e6;
    wm_engine_forget(b->engine, b->next_owner - 1);
    return b->prompt / seconds;
}

static double measure_decode(struct bench *b, int n)
{
    struct run run;
    uint64_t first = b->next_owner;
    b->next_owner += (uint64_t)n;
    if (run_all(b, &run, first, n, DECODE_PROMPT, 0) != WM_OK ||
        run_all(b, &run, first, n, DECODE_PROMPT, b->reply) != WM_OK)
        return 0;
    for (int i = 0; i < n; i++)
        wm_engine_forget(b->engine, first + (uint64_t)i);
    return run.to_us > run.from_us ? (double)run.tokens * 1e6 / (double)(run.to_us - run.from_us) : 0;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, rising);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* --- the table ------------------------------------------------------------------------------------------------- */

static enum wm_status measure(struct bench *b, double rates[MAX_KINDS + 1])
{
    static double all[MAX_KINDS + 1][MAX_ROUNDS];
    (void)measure_prefill(b); /* wakes the workers, touches the weights */
    for (int r = 0; r < b->rounds && b->err.code == WM_OK; r++) {
        all[0][r] = measure_prefill(b);
        for (int k = 0; k < b->n_kinds && b->err.code == WM_OK; k++)
            all[k + 1][r] = measure_decode(b, b->conversations[k]);
    }
    for (int k = 0; k <= b->n_kinds; k++)
        rates[k] = median(all[k], b->rounds);
    return b->err.code;
}

/* A rate and, where the machine's peak is known, its share of it. */
static void print_rate(double rate, double peak)
{
    if (rate <= 0)
        printf(" %10s %6s", "-", "");
    else if (peak > 0)
        printf(" %10.2f %5.0f%%", rate / 1e9, 100 * rate / peak);
    else
        printf(" %10.2f %6s", rate / 1e9, "");
}

static void print_table(const struct bench *b, const struct wm_cpu_peaks *peaks,
                        const double rates[MAX_KINDS + 1])
{
    struct wm_engine_stats stats;
    wm_engine_stats(b->engine, &stats);
    double weight_bytes = stats.weight_bytes ? (double)stats.weight_bytes : b->file_bytes;
    printf("%s on %s\n", wm_engine_info(b->engine)->name, wm_engine_info(b->engine)->backend);
    printf("%.1f M values met by a token, %.1f MB of packed weights; medians of %d rounds\n",
           (b->matrix_values + b->output_values) / 1e6, weight_bytes / 1e6, b->rounds);
    printf("this machine's peaks (%s): %.1f GB/s read, %.0f Gop/s int8, %.0f Gflop/s float\n\n", peaks->path,
           peaks->read_bytes / 1e9, peaks->int8_ops / 1e9, peaks->f32_flops / 1e9);
    printf("%-20s %10s %10s %6s %10s %6s\n", "", "tok/s", "GB/s", "", "Gop/s", "");
    printf("prefill %-12d %10.1f", b->prompt, rates[0]);
    print_rate(0, 0);
    print_rate(rates[0] * 2 * b->matrix_values, peaks->int8_ops);
    putchar('\n');
    for (int k = 0; k < b->n_kinds; k++) {
        printf("decode %-13d %10.1f", b->conversations[k], rates[k + 1]);
        print_rate(rates[k + 1] / b->conversations[k] * weight_bytes * share_read(b, b->conversations[k]),
                   peaks->read_bytes);
        print_rate(rates[k + 1] * 2 * (b->matrix_values + b->output_values), peaks->int8_ops);
        putchar('\n');
    }
}

int wm_cmd_bench(int argc, char **argv)
{
    struct bench b = {.backend = "auto",
                      .prompt = 512,
                      .reply = 64,
                      .rounds = 5,
                      .conversations = {1, 8, 32},
                      .n_kinds = 3,
                      .next_owner = 1};
    double rates[MAX_KINDS + 1];
    struct wm_cpu_peaks peaks;
    if (read_options(argc, argv, &b) != 0) {
        fputs(usage, stderr);
        return WM_EXIT_MISUSED;
    }
    enum wm_status st = weigh(&b);
    if (st == WM_OK)
        st = wm_cpu_peaks(wm_threads(b.threads), &peaks, &b.err);
    if (st == WM_OK)
        st = wm_engine_open(&(struct wm_engine_options){.model = b.model,
                                                        .backend = b.backend,
                                                        .threads = b.threads,
                                                        .max_running = MAX_CONVERSATIONS},
                            NULL, NULL, &b.engine, &b.err);
    if (st == WM_OK)
        st = measure(&b, rates);
    if (st == WM_OK)
        print_table(&b, &peaks, rates);
    else
        fprintf(stderr, "wingman bench: %s\n", b.err.text);
    wm_engine_close(b.engine);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

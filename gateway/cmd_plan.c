/* cmd_plan.c -- `wingman plan MODEL`: what a model would take and how fast memory lets it be, from its config alone.
 *
 * MODEL is a name (scout, maverick, behemoth), a config.json, a Hugging Face folder or a GGUF; no weight is
 * read. The arithmetic and what it assumes: engine/plan.h.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/config_json.h"
#include "engine/plan.h"
#include "gateway/command.h"
#include "gateway/files.h"
#include "gateway/model_text.h"

enum { MAX_GPUS = 8, MAX_COUNT = 4096, MOST_NEEDED = 64, DEFAULT_CONTEXT = 8192 };
static const double GB = 1e9, GiB = 1073741824;
static const int batches[] = {1, 8, 64};
enum { BATCHES = sizeof batches / sizeof *batches };

static const char usage[] = "usage: wingman plan MODEL [--gpu NAME[:COUNT]]... [--kv bf16|fp8|...] "
                            "[--context N] [--projector F.gguf]\n"
                            "MODEL: scout, maverick, behemoth, a config.json, a folder or a GGUF\n";

struct gpus {
    const struct wm_gpu *gpu;
    int count;
};

struct options {
    const char *model, *projector;
    struct gpus gpus[MAX_GPUS];
    int n_gpus;
    const struct wm_kv_format *kv;
    int64_t context;
};

/* --- options -------------------------------------------------------------------------------------------- */

/* A whole number in [1, max], or 0. */
static int64_t number(const char *text, int64_t max)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return *text && !*end && !errno && value >= 1 && value <= max ? value : 0;
}

static bool read_gpu(const char *text, struct gpus *out)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    out->count = colon ? (int)number(colon + 1, MAX_COUNT) : 1;
    for (out->gpu = wm_gpus; out->gpu->name; out->gpu++)
        if (strlen(out->gpu->name) == len && memcmp(out->gpu->name, text, len) == 0)
            break;
    if (out->gpu->name && out->count)
        return true;
    fprintf(stderr, "wingman plan: --gpu %s: NAME[:COUNT], COUNT up to %d, NAME one of", text, MAX_COUNT);
    for (const struct wm_gpu *g = wm_gpus; g->name; g++)
        fprintf(stderr, " %s", g->name);
    fprintf(stderr, "\n");
    return false;
}

static bool read_kv(const char *text, const struct wm_kv_format **out)
{
    for (*out = wm_kv_formats; (*out)->name; (*out)++)
        if (strcmp((*out)->name, text) == 0)
            return true;
    fprintf(stderr, "wingman plan: --kv %s: it must be one of", text);
    for (const struct wm_kv_format *k = wm_kv_formats; k->name; k++)
        fprintf(stderr, " %s", k->name);
    fprintf(stderr, "\n");
    return false;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"gpu", required_argument, NULL, 'g'},
        {"kv", required_argument, NULL, 'k'},
        {"context", required_argument, NULL, 'c'},
        {"projector", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    bool ok = true;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1 && ok) {
        if (c == 'g')
            ok = o->n_gpus < MAX_GPUS && read_gpu(optarg, &o->gpus[o->n_gpus++]);
        else if (c == 'k')
            ok = read_kv(optarg, &o->kv);
        else if (c == 'c')
            ok = (o->context = number(optarg, WM_MAX_CONTEXT)) > 0;
        else if (c == 'p')
            o->projector = optarg;
        else
            ok = false;
    }
    if (ok && optind + 1 == argc)
        o->model = argv[optind];
    if (!o->model)
        fputs(usage, stderr);
    return o->model != NULL;
}

/* --- the model ------------------------------------------------------------------------------------------ */

static enum wm_status read_config(const char *path, struct wm_arch *a, struct wm_error *err)
{
    struct wm_buffer text;
    char why[WM_FILE_WHY];
    enum wm_status st = wm_file_read(path, WM_CONFIG_MAX_BYTES, &text, NULL, why);
    if (st != WM_OK)
        return wm_fail(err, st, "%s %s", path, why);
    st = wm_arch_from_config(path, text.data, text.len, a, err);
    wm_buffer_free(&text);
    return st;
}

static enum wm_status read_files(const struct options *o, struct wm_arch *a, struct wm_error *err)
{
    struct wm_model_file *text = NULL, *projector = NULL;
    enum wm_status st = wm_model_file_open(o->model, &text, err);
    if (st == WM_OK && o->projector)
        st = wm_model_file_open(o->projector, &projector, err);
    if (st == WM_OK)
        st = wm_arch_read(text, projector, a, err);
    wm_model_file_close(projector);
    wm_model_file_close(text);
    return st;
}

static enum wm_status read_model(const struct options *o, struct wm_arch *a, const char **note,
                                 struct wm_error *err)
{
    struct stat info;
    size_t len = strlen(o->model);
    const struct wm_plan_model *known = wm_plan_models;
    while (known->name && strcmp(known->name, o->model) != 0)
        known++;
    if (!known->name && stat(o->model, &info) != 0)
        return wm_fail(err, WM_ENOENT, "%s is neither scout, maverick nor behemoth, nor a file: %s", o->model,
                       strerror(errno));
    bool folder = !known->name && S_ISDIR(info.st_mode);
    bool config = len > 5 && strcmp(o->model + len - 5, ".json") == 0;
    if (o->projector && (known->name || folder || config))
        return wm_fail(err, WM_EINVAL,
                       "%s: --projector goes with a GGUF, whose vision tower is a file of its own; leave %s "
                       "out",
                       o->model, o->projector);
    if (known->name) {
        *note = known->note;
        return wm_arch_from_config(known->name, known->config, strlen(known->config), a, err);
    }
    if (config)
        return read_config(o->model, a, err);
    if (!folder)
        return read_files(o, a, err);
    char *path = wm_file_path(o->model, "config.json"); /* the weights need not be there */
    if (!path)
        return wm_fail(err, WM_ENOMEM, "no memory to plan");
    enum wm_status st = read_config(path, a, err);
    free(path);
    return st;
}

/* --- the tables ----------------------------------------------------------------------------------------- */

static void print_count(const char *name, int64_t n, const char *what)
{
    if (n)
        printf("  %-18s %20s%s%s\n", name, wm_text_count(n), *what ? "   " : "", what);
}

static void print_parameters(const struct wm_parameters *p)
{
    printf("parameters\n");
    print_count("embeddings", p->embedding, "");
    print_count("output", p->output, "");
    print_count("attention", p->attention, "");
    print_count("dense layers", p->dense, "");
    print_count("routed experts", p->routed, "");
    print_count("shared experts", p->shared, "");
    print_count("routers", p->routers, "");
    print_count("norms", p->norms, "");
    print_count("vision tower", p->vision, "");
    print_count("projector", p->projector, "");
    print_count("total", p->total, "");
    print_count("active", p->active, "for one token, the embeddings counted whole");
    print_count("read", p->touched, "to decode one token");
}

static void print_weights(const struct wm_arch *a, const struct wm_parameters *p)
{
    printf("weights, GB           all   read by a step of");
    for (int b = 0; b < BATCHES; b++)
        printf(" %6d", batches[b]);
    printf("  conversations\n");
    for (const struct wm_weight_format *w = wm_weight_formats; w->name; w++) {
        printf("  %-8s %14.2f                    ", w->name, wm_plan_weight_bytes(p, w) / GB);
        for (int b = 0; b < BATCHES; b++)
            printf(" %6.1f", wm_plan_step_bytes(a, p, w, batches[b]) / GB);
        printf("  %s\n", w->what);
    }
    if (a->experts)
        printf("  distinct experts of %-6d             ", a->experts);
    for (int b = 0; a->experts && b < BATCHES; b++)
        printf(" %6.1f", wm_plan_distinct(a, batches[b]));
    printf("%s", a->experts ? "  in each layer, all equally likely\n" : "");
}

static void print_conversations(const struct wm_arch *a, const struct wm_plan_kv *kv, const char *format)
{
    static const int64_t lengths[] = {8192, 131072, 1048576, 10485760};
    double whole = kv->global + kv->local;
    printf("a conversation's K and V in %s: %s a token", format, wm_text_bytes(whole));
    if (kv->local > 0)
        printf(", %s once its chunk of %lld has ended and was freed", wm_text_bytes(kv->global),
               (long long)kv->chunk);
    printf("\n  positions             GiB%s\n", kv->local > 0 ? "   without freeing" : "");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths && (i == 0 || lengths[i] <= a->context); i++) {
        printf("  %10s %14.2f", wm_text_count(lengths[i]), wm_plan_kv_bytes(kv, (double)lengths[i]) / GiB);
        if (kv->local > 0)
            printf(" %17.2f", (double)lengths[i] * whole / GiB);
        printf("\n");
    }
}

static void print_gpu(const struct wm_arch *a, const struct wm_parameters *p, const struct wm_plan_kv *kv,
                      const struct gpus *g, int64_t context)
{
    double usable = g->gpu->memory * g->count * WM_PLAN_USABLE;
    printf("%d x %s: %.0f GB at %.2f TB/s together; %.0f GB of it for weights and conversations\n", g->count,
           g->gpu->what, g->gpu->memory * g->count / GB, g->gpu->bandwidth * g->count / 1e12, usable / GB);
    printf("  weights    context that fits   tokens/s at most, of");
    for (int b = 0; b < BATCHES; b++)
        printf(" %7d", batches[b]);
    printf("  conversations at position %s\n", wm_text_count(context));
    for (const struct wm_weight_format *w = wm_weight_formats; w->name; w++) {
        struct wm_plan_fit fit;
        wm_plan_fit(a, w, kv, g->gpu, g->count, &fit);
        printf("  %-8s ", w->name);
        if (!fit.weights_fit) {
            printf("%19s   (%.0f GB of weights)\n", "none", wm_plan_weight_bytes(p, w) / GB);
            continue;
        }
        printf("%19s                        ", wm_text_count(fit.positions));
        for (int b = 0; b < BATCHES; b++) {
            double speed = wm_plan_speed(a, w, kv, g->gpu, g->count, batches[b], context - 1);
            if (speed > 0)
                printf(" %7.0f", speed);
            else
                printf(" %7s", "full");
        }
        printf("\n");
    }
}

/* Without --gpu: how many of each it takes, in powers of two. */
static void print_needs(const struct wm_arch *a, const struct wm_plan_kv *kv, int64_t context)
{
    static const char *const shown[] = {"bf16", "fp8", "q8_0", "int4"};
    printf("GPUs that hold the weights and a conversation of %s positions:", wm_text_count(context));
    printf(" --gpu NAME:COUNT tells how fast\n  %-24s", "");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        printf(" %6s", shown[i]);
    printf("\n");
    for (const struct wm_gpu *g = wm_gpus; g->name; g++) {
        printf("  %-12s %4.0f GB    ", g->name, g->memory / GB);
        for (const struct wm_weight_format *w = wm_weight_formats; w->name; w++) {
            bool is_shown = false;
            for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
                is_shown = is_shown || strcmp(shown[i], w->name) == 0;
            int count = 1;
            while (is_shown && count <= MOST_NEEDED && wm_plan_speed(a, w, kv, g, count, 1, context - 1) <= 0)
                count *= 2;
            if (is_shown && count <= MOST_NEEDED)
                printf(" %6d", count);
            else if (is_shown)
                printf(" %6s", "> 64");
        }
        printf("\n");
    }
}

int wm_cmd_plan(int argc, char **argv)
{
    struct options o = {.kv = wm_kv_formats};
    struct wm_error err = WM_ERROR_INIT;
    struct wm_arch a;
    struct wm_parameters p;
    const char *note = NULL;
    if (!read_options(argc, argv, &o))
        return WM_EXIT_MISUSED;
    if (read_model(&o, &a, &note, &err) != WM_OK) {
        fprintf(stderr, "wingman plan: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    if (!o.context)
        o.context = a.context < DEFAULT_CONTEXT ? a.context : DEFAULT_CONTEXT;
    struct wm_plan_kv kv = wm_plan_kv(&a, o.kv->bytes);
    wm_plan_parameters(&a, &p);
    printf("%s%s%s\n", o.model, note ? ": " : "", note ? note : "");
    wm_print_arch(&a);
    print_parameters(&p);
    print_weights(&a, &p);
    print_conversations(&a, &kv, o.kv->name);
    for (int i = 0; i < o.n_gpus; i++)
        print_gpu(&a, &p, &kv, &o.gpus[i], o.context);
    if (!o.n_gpus)
        print_needs(&a, &kv, o.context);
    return WM_EXIT_OK;
}

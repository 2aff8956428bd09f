/* cmd_model.c -- `wingman model info MODEL` says what a model holds and what it takes, `wingman model verify
 * MODEL` whether it is whole. MODEL is a GGUF, any part of a split one, or a Hugging Face folder; --projector
 * gives a GGUF's vision tower. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/arch.h"
#include "engine/chat.h"
#include "engine/parts.h"
#include "engine/plan.h"
#include "engine/verify.h"
#include "gateway/command.h"
#include "gateway/model_text.h"

enum { MAX_SHOWN = 60, MAX_TYPES = 64 };

/* Dimensions of a type that we cannot read are bounded by nothing: their sum is shown up to here. */
static const double most_elements = 0x1p62;

/* What `serve` grants conversations without a setting: kv.device. */
static const double default_kv_bytes = 2147483648.0;

/* A model's files and what could be made of them. */
struct opened {
    struct wm_model_file *text, *projector;
    struct wm_arch arch;
    struct wm_parts parts;
    bool understood;       /* arch and parts are good */
    struct wm_error cause; /* why not */
};

static enum wm_status open_files(struct opened *m, const char *path, const char *projector,
                                 struct wm_error *err)
{
    *m = (struct opened){0};
    enum wm_status st = wm_model_file_open(path, &m->text, err);
    if (st == WM_OK && projector)
        st = wm_model_file_open(projector, &m->projector, err);
    if (st != WM_OK)
        return st;
    m->parts = (struct wm_parts){m->text, m->projector, &m->arch};
    m->understood = wm_arch_read(m->text, m->projector, &m->arch, &m->cause) == WM_OK &&
                    wm_parts_check(&m->parts, &m->cause) == WM_OK;
    return WM_OK;
}

static void close_files(struct opened *m)
{
    wm_model_file_close(m->text);
    wm_model_file_close(m->projector);
}

/* --- info: what the files say --------------------------------------------------------------------------- */

/* A stranger's bytes: control characters do not reach the terminal, long ones are cut. */
static void print_text(const char *bytes, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len && i < MAX_SHOWN; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n')
            fputs("\\n", stdout);
        else
            putchar(c < ' ' || c == 0x7f ? '?' : c);
    }
    printf("\"%s", len > MAX_SHOWN ? "..." : "");
}

static void print_meta(const struct wm_meta *m)
{
    printf("  %-44s ", m->key);
    switch (m->kind) {
    case WM_META_INT:
        printf("%lld", (long long)m->integer);
        break;
    case WM_META_BOOL:
        printf("%s", m->integer ? "true" : "false");
        break;
    case WM_META_FLOAT:
        printf("%g", m->real);
        break;
    case WM_META_STRING:
        print_text(m->string.bytes, m->string.len);
        break;
    case WM_META_ARRAY:
        printf("[%llu]", (unsigned long long)m->array.count);
        break;
    }
    putchar('\n');
}

struct type_count {
    uint32_t type;
    uint64_t tensors, bytes;
    double elements;
};

static void count_type(struct type_count *seen, int *n, const struct wm_tensor *t)
{
    int at = 0;
    while (at < *n && seen[at].type != t->type)
        at++;
    if (at == MAX_TYPES)
        return;
    if (at == *n)
        seen[(*n)++] = (struct type_count){.type = t->type};
    seen[at].tensors++;
    seen[at].bytes += t->bytes;
    seen[at].elements += (double)t->dims[0] * (double)t->dims[1] * (double)t->dims[2] * (double)t->dims[3];
}

/* Tensors, elements and bytes of each type. */
static void print_types(const struct wm_model_file *f)
{
    struct type_count seen[MAX_TYPES];
    int n = 0;
    for (size_t i = 0; i < wm_model_file_tensors(f); i++)
        count_type(seen, &n, wm_model_file_tensor_at(f, i));
    printf("types of its tensors:\n");
    for (int i = 0; i < n; i++) {
        const char *name = wm_tensor_type_name(seen[i].type);
        printf("  %-8s %6llu tensors %20s values", name ? name : "?", (unsigned long long)seen[i].tensors,
               wm_text_count((int64_t)fmin(seen[i].elements, most_elements)));
        if (seen[i].bytes)
            printf(" %20s bytes\n", wm_text_count((int64_t)seen[i].bytes));
        else
            printf("  (type %u: this build cannot read it)\n", seen[i].type);
    }
}

static void print_file(const struct wm_model_file *f)
{
    printf("%s: %s, %s bytes\n", wm_model_file_name(f), wm_model_file_form(f),
           wm_text_count((int64_t)wm_model_file_bytes(f)));
    if (wm_model_file_metas(f))
        printf("metadata:\n");
    for (size_t i = 0; i < wm_model_file_metas(f); i++)
        print_meta(wm_model_file_meta_at(f, i));
    print_types(f);
}

/* --- info: what it means -------------------------------------------------------------------------------- */

/* Parts in groups that a person thinks in. */
enum group {
    EMBEDDINGS,
    OUTPUT,
    ATTENTION,
    DENSE,
    ROUTERS,
    SHARED,
    ROUTED,
    NORMS,
    VISION,
    PROJECTOR,
    GROUPS
};

static const char *const group_names[GROUPS] = {
    "embeddings",     "output",         "attention", "dense layers", "routers",
    "shared experts", "routed experts", "norms",     "vision tower", "projector"};

static enum group group_of(enum wm_part part)
{
    if (part == WM_PART_PROJECTOR)
        return PROJECTOR;
    if (wm_part_is_vision(part))
        return VISION;
    if (wm_part_is_vector(part))
        return NORMS;
    return part == WM_PART_EMBEDDING     ? EMBEDDINGS
           : part == WM_PART_OUTPUT      ? OUTPUT
           : part <= WM_PART_O           ? ATTENTION
           : part <= WM_PART_DOWN        ? DENSE
           : part == WM_PART_ROUTER      ? ROUTERS
           : part <= WM_PART_SHARED_DOWN ? SHARED
                                         : ROUTED;
}

static void print_bytes(const struct opened *m)
{
    struct wm_parameters p;
    uint64_t bytes[GROUPS] = {0}, total = 0;
    wm_plan_parameters(&m->arch, &p);
    for (enum wm_part part = 0; part < WM_PARTS; part++)
        bytes[group_of(part)] += wm_part_bytes(&m->parts, part);
    printf("bytes of its parts:\n");
    for (int g = 0; g < GROUPS; g++) {
        if (bytes[g])
            printf("  %-16s %20s\n", group_names[g], wm_text_count((int64_t)bytes[g]));
        total += bytes[g];
    }
    printf("  %-16s %20s  (%s)\n", "all", wm_text_count((int64_t)total), wm_text_bytes((double)total));
    printf("parameters: %s, %s of them for each token\n", wm_text_count(p.total), wm_text_count(p.active));
}

/* What a position costs the face that computes on this machine, and what the default ceiling holds. */
static void print_fit(const struct wm_arch *a)
{
    const struct wm_ops *ops = wm_face("cpu");
    struct wm_kv_shape shape = {.kv_heads = a->kv_heads, .head_dim = a->head_dim, .layers = 1, .blocks = 1};
    if (!ops)
        return;
    double elements = 2.0 * a->kv_heads * a->head_dim;
    double layer = (double)ops->kv_block_bytes(&shape) / WM_KV_BLOCK;
    struct wm_plan_kv kv = wm_plan_kv(a, layer / elements);
    printf("conversations on the %s face: %s a token", ops->name, wm_text_bytes(kv.global + kv.local));
    if (kv.chunk && kv.local > 0)
        printf(", %s once its chunk of %lld has ended", wm_text_bytes(kv.global), (long long)kv.chunk);
    printf("\n  kv.device of %s (the default) holds one of %s tokens\n", wm_text_bytes(default_kv_bytes),
           wm_text_count(wm_plan_kv_positions(&kv, default_kv_bytes)));
}

static void print_chat(const struct opened *m)
{
    struct wm_tokenizer *tokenizer = NULL;
    struct wm_chat *chat = NULL;
    struct wm_error err = WM_ERROR_INIT;
    const struct wm_chat_options options = {.tile_tokens =
                                                m->arch.vision.layers ? wm_tile_tokens(&m->arch.vision) : 0};
    if (wm_tokenizer_new(m->text, &tokenizer, &err) == WM_OK &&
        wm_chat_new(m->text, &options, tokenizer, &chat, &err) == WM_OK)
        printf("runs here: yes, as %s; chats as %s\n", wm_family_name(m->arch.family), wm_chat_format(chat));
    else
        printf("runs here: %s: %s\n", tokenizer ? "yes, but no chats" : "no", err.text);
    if (chat && wm_chat_warning(chat))
        printf("warning: %s\n", wm_chat_warning(chat));
    wm_chat_free(chat);
    wm_tokenizer_free(tokenizer);
}

static int info(const struct opened *m)
{
    print_file(m->text);
    if (m->projector)
        print_file(m->projector);
    if (!m->understood) {
        printf("runs here: no: %s\n", m->cause.text);
        return WM_EXIT_OK;
    }
    wm_print_arch(&m->arch);
    print_bytes(m);
    print_fit(&m->arch);
    print_chat(m);
    return WM_EXIT_OK;
}

/* --- verify --------------------------------------------------------------------------------------------- */

static void print_found(void *arg, const char *sentence)
{
    (void)arg;
    printf("  %s\n", sentence);
}

/* To a person who waits; a log would only fill up with it. */
static void print_progress(void *arg, int percent)
{
    (void)arg;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%3d %%%s", percent, percent == 100 ? "\r     \r" : "");
}

/* True: nothing is wrong with the file. */
static bool verify_file(const struct wm_model_file *f)
{
    const struct wm_verify_watch watch = {.found = print_found, .progress = print_progress};
    struct wm_verified v;
    wm_model_file_verify(f, &watch, &v);
    printf("%s: %s tensors, %s values in %s bytes looked at\n", wm_model_file_name(f),
           wm_text_count((int64_t)v.tensors), wm_text_count((int64_t)v.values),
           wm_text_count((int64_t)v.bytes));
    if (v.skipped)
        printf("not looked at: %llu tensors of types that this build cannot read\n",
               (unsigned long long)v.skipped);
    return !v.bad_tensors && !v.skipped;
}

static int verify(const struct opened *m)
{
    bool whole = verify_file(m->text);
    if (m->projector)
        whole = verify_file(m->projector) && whole;
    if (!m->understood)
        printf("it does not run here: %s\n", m->cause.text);
    whole = whole && m->understood;
    printf("%s\n", whole ? "whole" : "NOT whole, or not for this build");
    return whole ? WM_EXIT_OK : WM_EXIT_FAILED;
}

int wm_cmd_model(int argc, char **argv)
{
    bool with_projector = argc == 5 && strcmp(argv[3], "--projector") == 0;
    bool wants_info = argc >= 3 && strcmp(argv[1], "info") == 0;
    if ((argc != 3 && !with_projector) || (!wants_info && strcmp(argv[1], "verify") != 0)) {
        fprintf(stderr, "usage: wingman model info|verify FILE-or-FOLDER [--projector F.gguf]\n");
        return WM_EXIT_MISUSED;
    }
    struct opened m;
    struct wm_error err = WM_ERROR_INIT;
    int code = WM_EXIT_FAILED;
    if (open_files(&m, argv[2], with_projector ? argv[4] : NULL, &err) != WM_OK)
        fprintf(stderr, "wingman model: %s\n", err.text);
    else
        code = wants_info ? info(&m) : verify(&m);
    close_files(&m);
    return code;
}

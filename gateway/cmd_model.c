/* cmd_model.c -- `wingman model info FILE` says what a model file holds, `wingman model verify FILE` whether it is whole. */
#include <stdio.h>
#include <string.h>

#include "engine/model.h"
#include "engine/verify.h"
#include "gateway/command.h"

enum { MAX_SHOWN = 60, MAX_TYPES = 64 };

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

/* Tensors, elements and bytes of each type. */
static void print_types(const struct wm_model_file *f)
{
    struct {
        uint32_t type;
        uint64_t tensors, bytes;
        double elements;
    } seen[MAX_TYPES];
    int n = 0;
    for (size_t i = 0; i < wm_model_file_tensors(f); i++) {
        const struct wm_tensor *t = wm_model_file_tensor_at(f, i);
        int at = 0;
        while (at < n && seen[at].type != t->type)
            at++;
        if (at == MAX_TYPES)
            continue;
        if (at == n) {
            memset(&seen[at], 0, sizeof seen[at]);
            seen[n++].type = t->type;
        }
        seen[at].tensors++;
        seen[at].bytes += t->bytes;
        seen[at].elements +=
            (double)t->dims[0] * (double)t->dims[1] * (double)t->dims[2] * (double)t->dims[3];
    }
    for (int i = 0; i < n; i++) {
        const struct wm_type_info *info = wm_type_info(seen[i].type);
        printf("  %-6s %6llu tensors %14.0f values", info ? info->name : "?",
               (unsigned long long)seen[i].tensors, seen[i].elements);
        if (info)
            printf(" %14llu bytes\n", (unsigned long long)seen[i].bytes);
        else
            printf("  (ggml type %u: this build cannot read it)\n", seen[i].type);
    }
}

static void print_runs(const struct wm_model *m)
{
    const struct wm_model_shape *s = &m->shape;
    printf(
        "runs here: yes, as %s: %d layers of width %d, %d heads (%d for keys) of %d, %d tokens, context %d, ",
        m->program->architecture, s->layers, s->width, s->heads, s->kv_heads, s->head_dim, s->vocabulary,
        s->context);
    if (m->chat)
        printf("chats as %s\n", wm_chat_format(m->chat));
    else
        printf("but no chats: %s\n", m->chat_error.text);
}

static int info(const struct wm_model_file *f, const struct wm_model *m, const struct wm_error *why_not)
{
    printf("%s: %s, %llu bytes\n", wm_model_file_name(f), wm_model_file_form(f),
           (unsigned long long)wm_model_file_bytes(f));
    printf("metadata:\n");
    for (size_t i = 0; i < wm_model_file_metas(f); i++)
        print_meta(wm_model_file_meta_at(f, i));
    printf("tensors:\n");
    print_types(f);
    if (why_not->code == WM_OK)
        print_runs(m);
    else
        printf("runs here: no: %s\n", why_not->text);
    return WM_EXIT_OK;
}

static void print_found(void *arg, const char *sentence)
{
    (void)arg;
    printf("  %s\n", sentence);
}

static int verify(const struct wm_model_file *f, const struct wm_error *why_not)
{
    struct wm_verified v;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_model_file_verify(f, print_found, NULL, &v, &err) != WM_OK) {
        fprintf(stderr, "wingman model: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    printf("%s: %llu tensors, %llu values in %llu bytes looked at\n", wm_model_file_name(f),
           (unsigned long long)v.tensors, (unsigned long long)v.values, (unsigned long long)v.bytes);
    if (v.skipped)
        printf("not looked at: %llu tensors of types that this build cannot read\n",
               (unsigned long long)v.skipped);
    if (why_not->code != WM_OK)
        printf("it does not run here: %s\n", why_not->text);
    bool whole = !v.bad_tensors && !v.overlaps && !v.skipped && why_not->code == WM_OK;
    printf("%s\n", whole ? "whole" : "NOT whole, or not for this build");
    return whole ? WM_EXIT_OK : WM_EXIT_FAILED;
}

int wm_cmd_model(int argc, char **argv)
{
    bool wants_info = argc == 3 && strcmp(argv[1], "info") == 0;
    if (!wants_info && !(argc == 3 && strcmp(argv[1], "verify") == 0)) {
        fprintf(stderr, "usage: wingman model info|verify FILE\n");
        return WM_EXIT_MISUSED;
    }
    struct wm_model_file *file;
    struct wm_model model;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_model_file_open(argv[2], &file, &err) != WM_OK) {
        fprintf(stderr, "wingman model: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    (void)wm_model_read(file, &model, &err); /* a file that we cannot run can still be looked at */
    int code = wants_info ? info(file, &model, &err) : verify(file, &err);
    wm_model_close(&model);
    return code;
}

/* golden_model.c -- see golden_model.h. */
#include "tests/engine/golden_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/picture_file.h"

/* Where models lie: a folder each, with their expected outputs inside, or GGUF files with them beside. */
static const struct {
    const char *name;
    const char *model, *golden, *images; /* golden: without its ending */
} models[] = {
#define FOLDER(n)                                                                                            \
    {"models/" n, "../shared/golden/models/" n, "../shared/golden/models/" n "/golden",                      \
     "../shared/golden/images"},
#define TINY(n)                                                                                              \
    {"tiny/" n, "tests/models/tiny/" n, "tests/models/tiny/" n "/golden", "tests/models/tiny/images"},
#define GGUF(n) {"gguf/" n, "../shared/golden/gguf/" n ".gguf", "../shared/golden/gguf/" n ".golden", ""},
    TINY("maverick") TINY("maverick-fp8") TINY("scout-top2") FOLDER("llama-dense") FOLDER("llama3-dense")
        FOLDER("maverick-tiny") FOLDER("maverick-vision-tiny") FOLDER("scout-tiny") FOLDER("scout-top2")
            FOLDER("maverick-fp8") FOLDER("maverick-fp8-fused") GGUF("llama-dense-F32")
                GGUF("llama-dense-Q8_0") GGUF("llama-dense-Q4_0") GGUF("llama3-dense-Q4_1") GGUF("quant-mix")
                    GGUF("maverick-tiny-BF16") GGUF("maverick-tiny-Q8_0") GGUF("maverick-tiny-Q4_0") GGUF(
                        "maverick-vision-tiny-BF16") GGUF("scout-tiny-Q8_0") GGUF("scout-tiny-Q4_1"){
                        "gguf/scout-tiny-BF16", "../shared/golden/gguf/scout-tiny-BF16-00001-of-00003.gguf",
                        "../shared/golden/gguf/scout-tiny-BF16.golden", ""},
    GGUF("maverick-defaults") GGUF("scout-defaults")
#undef FOLDER
#undef TINY
#undef GGUF
};

bool golden_open(struct golden *g, const char *name)
{
    size_t i = 0;
    while (i < COUNT(models) && strcmp(models[i].name, name) != 0)
        i++;
    if (i == COUNT(models))
        fail_msg("no golden model is called %s", name);
    char path[160];
    *g = (struct golden){0};
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->model, sizeof g->model, "%s", models[i].model);
    snprintf(g->images, sizeof g->images, "%s", models[i].images);
    snprintf(g->tensors, sizeof g->tensors, "%s.safetensors", models[i].golden);
    snprintf(path, sizeof path, "%s.json", models[i].golden);
    if (access(path, R_OK) != 0) {
        print_message("not there: %s\n", path);
        return false;
    }
    json_error_t error;
    g->json = json_load_file(path, 0, &error);
    if (!g->json)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    g->std = json_number_value(json_object_get(g->json, "logits_std"));
    return true;
}

int golden_open_all(struct golden out[MAX_MODELS])
{
    int n = 0;
    for (size_t i = 0; i < COUNT(models); i++)
        n += golden_open(&out[n], models[i].name);
    return n;
}

void golden_close_all(struct golden *g, int n)
{
    for (int i = 0; i < n; i++)
        json_decref(g[i].json);
}

bool is_exact(const char *face)
{
    return strcmp(face, "reference") == 0;
}

struct wm_score *golden_score(const struct golden *g, const char *face, int32_t slice, int32_t company)
{
    struct wm_score *score;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score_options options = {
        .model = {.path = g->model, .backend = face, .threads = 2}, .slice = slice, .company = company};
    if (wm_score_open(&options, &score, &err) != WM_OK)
        fail_msg("%s on %s: %s", g->name, face, err.text);
    return score;
}

void golden_prompt(const struct golden *g, const char *prompt, struct wm_score *s, struct wm_tokens *ids)
{
    enum { MAX_PICTURES = 8 };
    const json_t *p = json_object_get(json_object_get(g->json, "prompts"), prompt), *part;
    const struct wm_vision_arch *v = &wm_score_model(s)->arch->vision;
    struct wm_picture pictures[MAX_PICTURES];
    char paths[MAX_PICTURES][256];
    struct wm_error err = WM_ERROR_INIT;
    size_t n = 0, i;
    ids->n = 0;
    add_json_ids(ids, json_object_get(p, "ids"));
    json_array_foreach(json_object_get(p, "parts"), i, part)
    {
        const char *image = json_string_value(json_object_get(part, "image"));
        if (!image)
            continue;
        assert_true(n < MAX_PICTURES);
        snprintf(paths[n], sizeof paths[n], "%s/%s", g->images, image);
        if (wm_picture_look(v, paths[n], &pictures[n], &err) != WM_OK)
            fail_msg("%s", err.text);
        n++;
    }
    if (wm_score_show(s, pictures, n, &err) != WM_OK)
        fail_msg("%s %s: %s", g->name, prompt, err.text);
}

static enum wm_status take_row(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct recorded *r = arg;
    (void)err;
    memcpy(r->logits + (size_t)position * (size_t)r->vocabulary, logits,
           (size_t)r->vocabulary * sizeof *logits);
    r->rows = position + 1;
    return WM_OK;
}

void record(struct recorded *r, struct wm_score *s, const struct wm_tokens *ids, int32_t greedy,
            struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    recorded_free(r);
    r->vocabulary = wm_score_model(s)->arch->vocabulary;
    r->logits = malloc((ids->n + (size_t)greedy) * (size_t)r->vocabulary * sizeof *r->logits);
    assert_non_null(r->logits);
    out->n = 0;
    if (wm_score_run(s, ids->ids, (int32_t)ids->n, greedy, take_row, r, out, &err) != WM_OK)
        fail_msg("%s", err.text);
}

void recorded_free(struct recorded *r)
{
    free(r->logits);
    *r = (struct recorded){0};
}

double largest_error(const struct golden *g, const struct recorded *r, int32_t first, const double *want,
                     size_t rows, double *relative, size_t *n)
{
    double largest = 0;
    size_t width = (size_t)r->vocabulary;
    for (size_t p = 0; p < rows; p++) {
        double error = 0, size = 0;
        for (size_t v = 0; v < width; v++) {
            double w = want[p * width + v], d = (double)r->logits[((size_t)first + p) * width + v] - w;
            error += d * d;
            size += w * w;
            if (!(fabs(d) / g->std <= largest)) /* a NaN is kept */
                largest = fabs(d) / g->std;
        }
        relative[(*n)++] = sqrt(error / size);
    }
    return largest;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, rising);
    return values[n / 2];
}

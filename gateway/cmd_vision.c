/* cmd_vision.c -- `wingman vision MODEL PICTURE`: how a model sees a picture.
 *
 * Prints its size, its tiles and what they cost in a prompt. --pixels F.npy writes what the tower gets,
 * float32 [tiles, 3, side, side]; --embeddings F.npy what it makes of that, float32 [tokens, width of the
 * text model]. Weights are read for --embeddings alone.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/picture_file.h"
#include "engine/score.h"
#include "gateway/command.h"
#include "gateway/npy.h"

struct options {
    const char *model, *projector, *backend, *picture, *pixels, *embeddings;
};

static const char usage[] =
    "usage: wingman vision MODEL PICTURE [--projector F.gguf] [--backend auto|cpu|reference]\n"
    "                      [--pixels F.npy] [--embeddings F.npy]\n";

static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"projector", required_argument, NULL, 'm'},
        {"backend", required_argument, NULL, 'b'},
        {"pixels", required_argument, NULL, 'p'},
        {"embeddings", required_argument, NULL, 'e'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'm':
            o->projector = optarg;
            break;
        case 'b':
            o->backend = optarg;
            break;
        case 'p':
            o->pixels = optarg;
            break;
        case 'e':
            o->embeddings = optarg;
            break;
        default:
            return -1;
        }
    }
    if (optind + 2 != argc)
        return -1;
    o->model = argv[optind];
    o->picture = argv[optind + 1];
    return 0;
}

/* The tower's sizes, from the model's files; no weight is read. */
static enum wm_status read_tower(const struct options *o, struct wm_vision_arch *v, struct wm_error *err)
{
    struct wm_model_file *file = NULL, *projector = NULL;
    struct wm_arch *arch = calloc(1, sizeof *arch);
    enum wm_status st =
        arch ? wm_model_file_open(o->model, &file, err) : wm_fail(err, WM_ENOMEM, "no memory");
    if (st == WM_OK && o->projector)
        st = wm_model_file_open(o->projector, &projector, err);
    if (st == WM_OK)
        st = wm_arch_read(file, projector, arch, err);
    if (st == WM_OK && arch->vision.layers == 0)
        st = wm_fail(err, WM_EUNSUPPORTED,
                     "%s: this model does not see; name the GGUF of its vision tower with --projector, if "
                     "there is one",
                     o->model);
    if (st == WM_OK)
        *v = arch->vision;
    wm_model_file_close(file);
    wm_model_file_close(projector);
    free(arch);
    return st;
}

/* Around the slots of the tiles stand a start, an end and the mark of the global tile; with more tiles than
 * one, a separator behind each of the others. (source: Meta's chat_format.py) */
static int32_t prompt_tokens(const struct wm_vision_arch *v, const struct wm_tiles *t)
{
    int32_t cut = t->rows * t->cols;
    return t->n * wm_tile_tokens(v) + 3 + (cut > 1 ? cut : 0);
}

static void print_tiles(const struct options *o, const struct wm_vision_arch *v, const struct wm_tiles *t)
{
    printf("%s: %d x %d pixels, held upright\n", o->picture, (int)t->width, (int)t->height);
    printf("  grid    %d x %d (rows x columns)\n", (int)t->rows, (int)t->cols);
    printf("  tiles   %d of %d x %d pixels%s\n", (int)t->n, (int)t->image, (int)t->image,
           t->n > 1 ? ", the last one the whole picture" : "");
    printf("  tokens  %d in a prompt, %d of them the tower's (%d a tile)\n", (int)prompt_tokens(v, t),
           (int)(t->n * wm_tile_tokens(v)), (int)wm_tile_tokens(v));
    printf("  sha256  ");
    for (size_t i = 0; i < sizeof t->hash; i++)
        printf("%02x", t->hash[i]);
    printf("\n");
}

static enum wm_status write_pixels(const char *path, const struct wm_tiles *t, struct wm_error *err)
{
    struct wm_npy npy = {0};
    size_t row = (size_t)t->image, rows = (size_t)t->n * 3 * row;
    float *values = malloc(row * sizeof *values);
    enum wm_status st = values ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory to write %s", path);
    if (st == WM_OK)
        st = wm_npy_begin(&npy, path, (const int64_t[]){t->n, 3, t->image, t->image}, 4, err);
    for (size_t y = 0; y < rows && st == WM_OK; y++) {
        for (size_t x = 0; x < row; x++)
            values[x] = wm_tile_value(t->pixels[y * row + x]);
        st = wm_npy_add(&npy, values, row, err);
    }
    free(values);
    enum wm_status ended = wm_npy_end(&npy, err);
    return st == WM_OK ? ended : st;
}

static enum wm_status write_embeddings(const struct options *o, const struct wm_tiles *t,
                                       struct wm_error *err)
{
    struct wm_npy npy = {0};
    struct wm_score *score = NULL;
    struct wm_picture picture = {.rows = t->rows, .cols = t->cols, .path = o->picture};
    float *row = NULL;
    memcpy(picture.hash, t->hash, sizeof picture.hash);
    enum wm_status st = wm_score_open(
        &(struct wm_score_options){
            .model = {.path = o->model, .projector = o->projector, .backend = o->backend}},
        &score, err);
    if (st == WM_OK)
        st = wm_score_show(score, &picture, 1, err);
    if (st != WM_OK)
        goto close;
    int32_t rows = wm_score_shown(score), width = wm_score_model(score)->arch->width;
    row = malloc((size_t)width * sizeof *row);
    st = row ? wm_npy_begin(&npy, o->embeddings, (const int64_t[]){rows, width}, 2, err)
             : wm_fail(err, WM_ENOMEM, "no memory to write %s", o->embeddings);
    for (int32_t i = 0; i < rows && st == WM_OK; i++) {
        st = wm_score_embeddings(score, i, 1, row, err);
        if (st == WM_OK)
            st = wm_npy_add(&npy, row, (size_t)width, err);
    }
close:
    free(row);
    wm_score_close(score);
    enum wm_status ended = wm_npy_end(&npy, err);
    return st == WM_OK ? ended : st;
}

int wm_cmd_vision(int argc, char **argv)
{
    struct options o = {.backend = "auto"};
    if (read_options(argc, argv, &o) != 0) {
        fputs(usage, stderr);
        return WM_EXIT_MISUSED;
    }
    struct wm_error err = WM_ERROR_INIT;
    struct wm_vision_arch tower;
    struct wm_tiles tiles = {0};
    enum wm_status st = read_tower(&o, &tower, &err);
    if (st == WM_OK)
        st = wm_picture_tiles(&tower, o.picture, &tiles, &err);
    if (st == WM_OK)
        print_tiles(&o, &tower, &tiles);
    if (st == WM_OK && o.pixels)
        st = write_pixels(o.pixels, &tiles, &err);
    if (st == WM_OK && o.embeddings)
        st = write_embeddings(&o, &tiles, &err);
    wm_tiles_free(&tiles);
    if (st != WM_OK)
        fprintf(stderr, "wingman vision: %s\n", err.text);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

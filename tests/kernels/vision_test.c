/* vision_test.c -- the operations of pictures, on every face, against plain loops in double.
 *
 * These stay floats on every face: what is left is the rounding of sums, FLOAT.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double FLOAT = 2e-5;

static float *normals(struct dice *d, size_t n)
{
    float *x = need(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = dice_normal(d);
    return x;
}

/* --- attention within tiles ----------------------------------------------------------------------------- */

struct tiles {
    int32_t tiles, tokens, heads, head_dim;
};

/* One token; around the 12 rows and 16 lanes that a product takes; dimensions that fill none; Llama 4's own tile. */
static const struct tiles TILES[] = {
    {1, 1, 1, 2},  {2, 17, 3, 12}, {3, 12, 2, 80}, {2, 13, 5, 24},
    {1, 33, 1, 6}, {3, 16, 2, 96}, {2, 5, 2, 256}, {1, 577, 1, 88},
};

struct picture {
    struct tiles shape;
    float *qkv, *cos, *sin;
};

static size_t out_count(const struct tiles *t)
{
    return (size_t)t->tiles * (size_t)t->tokens * (size_t)(t->heads * t->head_dim);
}

static struct picture make_picture(struct dice *d, const struct tiles *t)
{
    size_t angles = (size_t)t->tokens * (size_t)t->head_dim / 2;
    struct picture p = {*t, normals(d, 3 * out_count(t)), need(angles * sizeof(float)),
                        need(angles * sizeof(float))};
    for (size_t i = 0; i < angles; i++) {
        double angle = 6.28 * dice_uniform(d);
        p.cos[i] = (float)cos(angle);
        p.sin[i] = (float)sin(angle);
    }
    return p;
}

static void forget(struct picture *p)
{
    free(p->qkv);
    free(p->cos);
    free(p->sin);
}

static double scale_of(const struct tiles *t)
{
    return (double)(1 / sqrtf((float)t->head_dim));
}

/* Element i of the rotated head. */
static double turned(const struct picture *p, int32_t token, const float *head, int32_t i)
{
    int32_t a = token * (p->shape.head_dim / 2) + i / 2;
    double x = (double)head[i & ~1], y = (double)head[i | 1], c = (double)p->cos[a], s = (double)p->sin[a];
    return i % 2 ? x * s + y * c : x * c - y * s;
}

/* Heads h of all tokens of tile t, as the contract defines them. */
static void one_head(const struct picture *p, int32_t t, int32_t h, float *out)
{
    const struct tiles *s = &p->shape;
    int32_t n = s->head_dim, width = s->heads * n;
    double *weights = need((size_t)s->tokens * sizeof *weights), *q = need((size_t)n * sizeof *q),
           *k = need((size_t)(s->tokens * n) * sizeof *k);
    const float *first = p->qkv + (size_t)(t * s->tokens) * (size_t)(3 * width) + h * n;
    for (int32_t j = 0; j < s->tokens; j++)
        for (int32_t i = 0; i < n; i++)
            k[j * n + i] = turned(p, j, first + (size_t)j * 3 * (size_t)width + width, i);
    for (int32_t r = 0; r < s->tokens; r++) {
        double sum = 0;
        for (int32_t i = 0; i < n; i++)
            q[i] = turned(p, r, first + (size_t)r * 3 * (size_t)width, i);
        for (int32_t j = 0; j < s->tokens; j++) {
            double dot = 0;
            for (int32_t i = 0; i < n; i++)
                dot += q[i] * k[j * n + i];
            sum += weights[j] = exp(dot * scale_of(s));
        }
        for (int32_t i = 0; i < n; i++) {
            double value = 0;
            for (int32_t j = 0; j < s->tokens; j++)
                value += weights[j] * (double)first[(size_t)j * 3 * (size_t)width + (size_t)(2 * width + i)];
            out[(size_t)(t * s->tokens + r) * (size_t)width + (size_t)(h * n + i)] = (float)(value / sum);
        }
    }
    free(weights);
    free(q);
    free(k);
}

static float *attend(struct face *f, const struct picture *p)
{
    const struct tiles *s = &p->shape;
    struct wm_error err = WM_ERROR_INIT;
    int32_t rows = s->tiles * s->tokens, width = s->heads * s->head_dim;
    struct wm_act *qkv = new_act(f, rows, 3 * width, p->qkv), *out = new_act(f, rows, width, NULL);
    struct wm_tile_attention op = {
        .qkv = qkv,
        .out = out,
        .tiles = s->tiles,
        .tokens = s->tokens,
        .heads = s->heads,
        .head_dim = s->head_dim,
        .scale = (float)scale_of(s),
        .cos = p->cos,
        .sin = p->sin,
    };
    assert_int_equal(f->ops->tile_attention(f->be, &op, &err), WM_OK);
    float *result = need(out_count(s) * sizeof *result);
    read_act(f, out, rows, result);
    f->ops->act_free(f->be, qkv);
    f->ops->act_free(f->be, out);
    return result;
}

static void tile_attention_follows_its_formula(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 2);
    struct dice d = {21};
    for (size_t i = 0; i < COUNT(TILES); i++) {
        const struct tiles *s = &TILES[i];
        struct picture p = make_picture(&d, s);
        float *want = need(out_count(s) * sizeof *want);
        for (int32_t t = 0; t < s->tiles; t++)
            for (int32_t h = 0; h < s->heads; h++)
                one_head(&p, t, h, want);
        float *got = attend(&f, &p);
        check_close(f.name, got, want, out_count(s), FLOAT);
        free(got);
        free(want);
        forget(&p);
    }
    close_face(&f);
}

static void a_tile_does_not_depend_on_its_company(const struct face_kind *kind)
{
    struct face one = open_kind(kind, 1), three = open_kind(kind, 3);
    struct dice d = {22};
    for (size_t i = 0; i < COUNT(TILES); i++) {
        struct picture all = make_picture(&d, &TILES[i]);
        size_t each = out_count(&TILES[i]) / (size_t)TILES[i].tiles;
        float *together = attend(&three, &all), *again = attend(&one, &all);
        check_same("other threads", again, together, out_count(&TILES[i]));
        for (int32_t t = 0; t < TILES[i].tiles; t++) {
            struct picture alone = all;
            alone.shape.tiles = 1;
            alone.qkv += 3 * (size_t)t * each;
            float *got = attend(&one, &alone);
            check_same("alone", got, together + (size_t)t * each, each);
            free(got);
        }
        free(together);
        free(again);
        forget(&all);
    }
    close_face(&one);
    close_face(&three);
}

/* Scores of tens of thousands: all weight on one token, and no overflow on the way. */
static void sharp_tiles_stay_numbers(const struct face_kind *kind)
{
    enum { TOKENS = 20, DIM = 4 };
    struct face f = open_kind(kind, 1);
    struct picture p = {.shape = {1, TOKENS, 1, DIM}};
    float qkv[TOKENS * 3 * DIM] = {0}, ones[TOKENS * DIM / 2], zeros[TOKENS * DIM / 2] = {0};
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < DIM; i++) {
            qkv[t * 3 * DIM + i] = 300;
            qkv[t * 3 * DIM + DIM + i] = t == 7 ? 200 : -200;
            qkv[t * 3 * DIM + 2 * DIM + i] = (float)(10 * t + i);
        }
    for (size_t i = 0; i < COUNT(ones); i++)
        ones[i] = 1;
    p.qkv = qkv;
    p.cos = ones;
    p.sin = zeros;
    float *got = attend(&f, &p);
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < DIM; i++)
            CHECK_NEAR((double)got[t * DIM + i], 70 + i, 1e-4);
    free(got);
    close_face(&f);
}

/* --- the layer norm ------------------------------------------------------------------------------------- */

static void the_layer_norm_follows_its_formula(const struct face_kind *kind)
{
    static const int32_t widths[] = {1, 2, 15, 16, 17, 31, 80, 1408};
    enum { ROWS = 21, NORMED = 19 };
    const double eps = (double)1e-5f;
    struct face f = open_kind(kind, 2);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {23};
    for (size_t w = 0; w < COUNT(widths); w++) {
        size_t n = (size_t)widths[w];
        float *x = normals(&d, ROWS * n), *norm = normals(&d, n), *bias = normals(&d, n);
        float *want = need(ROWS * n * sizeof *want), *got = need(ROWS * n * sizeof *got);
        for (size_t i = 0; i < n; i++)
            x[3 * n + i] += 1000; /* a mean far from zero must not eat the differences */
        memcpy(want, x, ROWS * n * sizeof *want);
        for (size_t r = 0; r < NORMED; r++) {
            double mean = 0, square = 0;
            for (size_t i = 0; i < n; i++)
                mean += (double)x[r * n + i] / (double)n;
            for (size_t i = 0; i < n; i++)
                square += ((double)x[r * n + i] - mean) * ((double)x[r * n + i] - mean) / (double)n;
            for (size_t i = 0; i < n; i++)
                want[r * n + i] =
                    (float)(((double)x[r * n + i] - mean) / sqrt(square + eps) * (double)norm[i] +
                            (double)bias[i]);
        }
        struct wm_act *act = new_act(&f, ROWS, widths[w], x);
        assert_int_equal(f.ops->layer_norm(f.be, act, NORMED, norm, bias, (float)eps, &err), WM_OK);
        read_act(&f, act, ROWS, got);
        for (size_t r = 0; r < ROWS; r++) /* at a mean of 1000 a float's own steps are 6e-5 */
            check_close(f.name, got + r * n, want + r * n, n, r == 3 ? 1e-3 : FLOAT);
        f.ops->act_free(f.be, act);
        free(x);
        free(norm);
        free(bias);
        free(want);
        free(got);
    }
    close_face(&f);
}

/* --- rows that move ------------------------------------------------------------------------------------- */

static void copied_rows_arrive_and_no_others_change(const struct face_kind *kind)
{
    static const struct {
        int32_t from, to, rows;
    } cases[] = {{0, 0, 5}, {2, 4, 3}, {4, 0, 1}, {0, 6, 0}};
    enum { FROM_ROWS = 5, TO_ROWS = 7, WIDTH = 19 };
    struct face f = open_kind(kind, 1);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {24};
    for (size_t i = 0; i < COUNT(cases); i++) {
        float *from = normals(&d, FROM_ROWS * WIDTH), *want = normals(&d, TO_ROWS * WIDTH),
              got[TO_ROWS * WIDTH];
        struct wm_act *a = new_act(&f, FROM_ROWS, WIDTH, from), *b = new_act(&f, TO_ROWS, WIDTH, want);
        assert_int_equal(f.ops->copy_rows(f.be, a, cases[i].from, b, cases[i].to, cases[i].rows, &err),
                         WM_OK);
        memcpy(want + cases[i].to * WIDTH, from + cases[i].from * WIDTH,
               (size_t)(cases[i].rows * WIDTH) * sizeof *want);
        read_act(&f, b, TO_ROWS, got);
        check_same(f.name, got, want, TO_ROWS * WIDTH);
        f.ops->act_free(f.be, a);
        f.ops->act_free(f.be, b);
        free(from);
        free(want);
    }
    close_face(&f);
}

/* Every element carries its tile, token and column; `tokens` may hold a class token behind the square. */
static float *shuffle(struct face *f, int32_t tiles, int32_t tokens, int32_t side, int32_t factor,
                      int32_t width)
{
    struct wm_error err = WM_ERROR_INIT;
    int32_t rows = tiles * (side / factor) * (side / factor), wide = width * factor * factor;
    float *labels = need((size_t)(tiles * tokens * width) * sizeof *labels);
    for (int32_t i = 0; i < tiles * tokens * width; i++)
        labels[i] = (float)i;
    struct wm_act *in = new_act(f, tiles * tokens, width, labels), *out = new_act(f, rows, wide, NULL);
    struct wm_pixel_shuffle op = {in, out, tiles, tokens, side, factor, width};
    assert_int_equal(f->ops->pixel_shuffle(f->be, &op, &err), WM_OK);
    float *result = need((size_t)(rows * wide) * sizeof *result);
    read_act(f, out, rows, result);
    f->ops->act_free(f->be, in);
    f->ops->act_free(f->be, out);
    free(labels);
    return result;
}

/* With labels 24 y + x, token 0 must hold 0, 1, 24, 25 and token 12 the square below it (source: Meta's
 * embedding.py). */
static void pixel_shuffle_joins_squares_row_by_row(const struct face_kind *kind)
{
    static const struct {
        int token;
        float labels[4];
    } cases[] = {
        {0, {0, 1, 24, 25}}, {1, {2, 3, 26, 27}}, {12, {48, 49, 72, 73}}, {143, {550, 551, 574, 575}}};
    struct face f = open_kind(kind, 1);
    float *got = shuffle(&f, 1, 577, 24, 2, 1);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_same(f.name, got + 4 * cases[i].token, cases[i].labels, 4);
    free(got);
    close_face(&f);
}

static void pixel_shuffle_takes_any_factor_and_tile(const struct face_kind *kind)
{
    static const struct {
        int32_t tiles, tokens, side, factor, width;
    } cases[] = {{3, 5, 2, 2, 7}, {2, 37, 6, 3, 17}, {2, 9, 3, 1, 5}, {1, 16, 4, 4, 33}};
    struct face f = open_kind(kind, 1);
    for (size_t c = 0; c < COUNT(cases); c++) {
        int32_t factor = cases[c].factor, side = cases[c].side / factor, width = cases[c].width, at = 0;
        float *got = shuffle(&f, cases[c].tiles, cases[c].tokens, cases[c].side, factor, width);
        for (int32_t t = 0; t < cases[c].tiles; t++)
            for (int32_t y = 0; y < side; y++)
                for (int32_t x = 0; x < side; x++)
                    for (int32_t i = 0; i < factor; i++)
                        for (int32_t j = 0; j < factor; j++)
                            for (int32_t w = 0; w < width; w++) {
                                int32_t token = (y * factor + i) * cases[c].side + x * factor + j;
                                float want = (float)((t * cases[c].tokens + token) * width + w);
                                check_same(f.name, &got[at++], &want, 1);
                            }
        free(got);
    }
    close_face(&f);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(tile_attention_follows_its_formula),
        CLAIM(a_tile_does_not_depend_on_its_company),
        CLAIM(sharp_tiles_stay_numbers),
        CLAIM(the_layer_norm_follows_its_formula),
        CLAIM(copied_rows_arrive_and_no_others_change),
        CLAIM(pixel_shuffle_joins_squares_row_by_row),
        CLAIM(pixel_shuffle_takes_any_factor_and_tile),
    };
    return check_claims(claims, COUNT(claims));
}

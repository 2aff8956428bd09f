/* kernels_bench.c -- how near the operations of the cpu face come to what this machine can do.
 *
 *   kernels_bench [threads]
 *
 * Random weights (speed does not depend on values) of SmolLM2-135M's shapes, and experts of a small mixture, one line for
 * each operation and number of rows, the best of several runs. The last column is the share of the peak that binds: memory for few rows,
 * multiplications for many.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/cpu/peaks.h"
#include "kernels/ops.h"

enum { RUNS = 9, MOST_ROWS = 256, CONTEXT = 512 };
enum { COPIES = 30, MOST_BYTES = 100 * 1000 * 1000 }; /* of a weight: more than the caches hold */

static const struct wm_ops *ops;
static struct wm_backend *be;
static struct wm_error err = WM_ERROR_INIT;

static void must(enum wm_status st)
{
    if (st == WM_OK)
        return;
    fprintf(stderr, "kernels_bench: %s\n", err.text);
    exit(1);
}

/* free(matrix.data) */
static struct wm_matrix matrix(enum wm_type type, int64_t rows, int64_t cols)
{
    const struct wm_type_info *info = wm_type_info(type);
    size_t bytes = (size_t)(rows * cols) / info->block * info->bytes;
    uint8_t *data = malloc(bytes);
    if (!data)
        exit(1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13) & 0x3b; /* as half floats: small and finite */
    return (struct wm_matrix){.data = data, .type = type, .rows = rows, .cols = cols};
}

static struct wm_weight *weight(enum wm_type type, int64_t rows, int64_t cols)
{
    struct wm_matrix m = matrix(type, rows, cols);
    struct wm_weight *w;
    must(ops->weight_new(be, &m, 1, WM_USE_MATMUL, &w, &err));
    free((void *)m.data); /* the packed copy is enough for products */
    return w;
}

static void bench_product(const char *name, enum wm_type type, int32_t out, int32_t cols,
                          const struct wm_cpu_peaks *peaks)
{
    static const int32_t rows[] = {1, 4, 8, 16, 32, 256};
    struct wm_weight *w[COPIES] = {weight(type, out, cols)};
    size_t wanted = MOST_BYTES / ops->weight_bytes(w[0]) + 2;
    int copies = wanted < COPIES ? (int)wanted : COPIES;
    for (int i = 1; i < copies; i++)
        w[i] = weight(type, out, cols);
    struct wm_act *x, *y;
    must(ops->act_new(be, MOST_ROWS, cols, &x, &err));
    must(ops->act_new(be, MOST_ROWS, out, &y, &err));
    float *ones = malloc((size_t)MOST_ROWS * (size_t)cols * sizeof *ones);
    if (!ones)
        exit(1);
    for (size_t i = 0; i < (size_t)MOST_ROWS * (size_t)cols; i++)
        ones[i] = (float)(i % 17) - 8;
    must(ops->act_write(be, x, 0, MOST_ROWS, ones, &err));
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int64_t best = INT64_MAX;
        for (int run = 0; run < RUNS; run++) {
            int64_t start = wm_now_us();
            for (int i = 0; i < copies; i++)
                must(ops->matmul(be, &(struct wm_matmul){.x = x, .rows = rows[r], .w = w[i], .y = y}, &err));
            int64_t took = wm_now_us() - start;
            best = took < best ? took : best;
        }
        double seconds = (double)best / 1e6 / copies;
        double operations = 2.0 * out * cols * rows[r] / seconds;
        double bytes = (double)ops->weight_bytes(w[0]) / seconds;
        printf(
            "%-8s %-5s %4d rows %9.1f us %8.1f Gop/s (%2.0f%% of int8 peak) %6.1f GB/s (%2.0f%% of memory)\n",
            name, wm_type_info(type)->name, rows[r], seconds * 1e6, operations / 1e9,
            100 * operations / peaks->int8_ops, bytes / 1e9, 100 * bytes / peaks->read_bytes);
    }
    free(ones);
    ops->act_free(be, x);
    ops->act_free(be, y);
    for (int i = 0; i < copies; i++)
        ops->weight_free(be, w[i]);
}

/* One layer of experts: each row goes to one of sixteen, a row alone to another one each time. */
static void bench_experts(enum wm_type type, const struct wm_cpu_peaks *peaks)
{
    enum { EXPERTS = 16, WIDTH = 2048, HIDDEN = 4096 };
    static const int32_t rows[] = {1, 16, 256};
    struct wm_matrix up = matrix(type, HIDDEN, WIDTH), down = matrix(type, WIDTH, HIDDEN);
    struct wm_expert_matrices each[EXPERTS];
    struct wm_experts *experts;
    struct wm_routes *routes;
    struct wm_act *x;
    int32_t to[MOST_ROWS + EXPERTS];
    float scores[MOST_ROWS], norm[WIDTH];
    static float ones[MOST_ROWS * WIDTH];
    for (int e = 0; e < EXPERTS; e++)
        each[e] = (struct wm_expert_matrices){up, up, down};
    for (int i = 0; i < MOST_ROWS + EXPERTS; i++)
        to[i] = i % EXPERTS;
    for (int i = 0; i < MOST_ROWS; i++)
        scores[i] = 0.5f;
    for (int i = 0; i < WIDTH; i++)
        norm[i] = 1;
    for (int i = 0; i < MOST_ROWS * WIDTH; i++)
        ones[i] = (float)(i % 17) - 8;
    must(ops->experts_new(be, each, EXPERTS, &experts, &err));
    must(ops->routes_new(be, MOST_ROWS, 1, &routes, &err));
    must(ops->act_new(be, MOST_ROWS, WIDTH, &x, &err));
    must(ops->act_write(be, x, 0, MOST_ROWS, ones, &err));
    must(ops->routes_write(be, routes, MOST_ROWS, to, scores, &err));
    struct wm_expert_run op = {
        .x = x, .norm = norm, .eps = 1e-5f, .experts = experts, .routes = routes, .y = x};
    op.rows = MOST_ROWS;
    must(ops->expert_run(be, &op, &err)); /* packs them all */
    free((void *)up.data);
    free((void *)down.data);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int64_t best = INT64_MAX;
        int32_t touched = rows[r] < EXPERTS ? rows[r] : EXPERTS;
        op.rows = rows[r];
        for (int run = 0; run < RUNS; run++) {
            int64_t took = 0;
            for (int e = 0; e < EXPERTS; e++) {
                must(ops->routes_write(be, routes, MOST_ROWS, to + e, scores, &err));
                must(ops->act_write(be, x, 0, rows[r], ones, &err));
                int64_t start = wm_now_us();
                must(ops->expert_run(be, &op, &err));
                took += wm_now_us() - start;
            }
            best = took < best ? took : best;
        }
        double seconds = (double)best / 1e6 / EXPERTS;
        double operations = 6.0 * WIDTH * HIDDEN * rows[r] / seconds;
        double bytes = (double)ops->experts_bytes(experts) / EXPERTS * touched / seconds;
        printf("experts  %-5s %4d rows %9.1f us %8.1f Gop/s (%2.0f%% of int8 peak) %6.1f GB/s (%2.0f%% of "
               "memory)\n",
               wm_type_info(type)->name, rows[r], seconds * 1e6, operations / 1e9,
               100 * operations / peaks->int8_ops, bytes / 1e9, 100 * bytes / peaks->read_bytes);
    }
    ops->act_free(be, x);
    ops->routes_free(be, routes);
    ops->experts_free(be, experts);
}

static void bench_attention(int32_t sequences, int32_t rows_each, const struct wm_cpu_peaks *peaks)
{
    enum { HEADS = 9, KV_HEADS = 3, DIM = 64, BLOCKS = CONTEXT / WM_KV_BLOCK };
    int32_t rows = sequences * rows_each, width = (HEADS + 2 * KV_HEADS) * DIM;
    struct wm_kv *kv;
    struct wm_act *qkv, *out;
    must(ops->kv_new(be, &(struct wm_kv_shape){COPIES, KV_HEADS, DIM, sequences * BLOCKS}, &kv, &err));
    must(ops->act_new(be, rows, width, &qkv, &err));
    must(ops->act_new(be, rows, HEADS * DIM, &out, &err));
    float *values = calloc((size_t)rows * (size_t)width, sizeof *values);
    struct wm_span *spans = calloc((size_t)sequences, sizeof *spans);
    int32_t *blocks = calloc((size_t)sequences * BLOCKS, sizeof *blocks);
    if (!values || !spans || !blocks)
        exit(1);
    for (int32_t i = 0; i < sequences * BLOCKS; i++)
        blocks[i] = i;
    must(ops->act_write(be, qkv, 0, rows, values, &err));
    for (int32_t s = 0; s < sequences; s++) {
        spans[s] =
            (struct wm_span){.first_row = s * rows_each, .rows = rows_each, .first_pos = CONTEXT - rows_each};
        spans[s].table[0].blocks = blocks + s * BLOCKS;
    }
    struct wm_batch batch = {rows, sequences, spans};
    int64_t best = INT64_MAX;
    for (int run = 0; run < RUNS; run++) {
        int64_t start = wm_now_us();
        for (int32_t layer = 0; layer < COPIES; layer++)
            must(ops->attention(be, &batch,
                                &(struct wm_attention){.qkv = qkv,
                                                       .out = out,
                                                       .heads = HEADS,
                                                       .kv_heads = KV_HEADS,
                                                       .head_dim = DIM,
                                                       .scale = 0.125f,
                                                       .kv = kv,
                                                       .layer = layer},
                                &err));
        int64_t took = wm_now_us() - start;
        best = took < best ? took : best;
    }
    double seconds = (double)best / 1e6 / COPIES, seen = 0;
    for (int32_t r = 0; r < rows_each; r++)
        seen += sequences * (CONTEXT - r);
    double operations = 4.0 * HEADS * DIM * seen / seconds;
    printf("attention %3d x %3d rows at %d %9.1f us %8.1f Gop/s (%2.0f%% of f32 peak) %6.3f us per cached "
           "token\n",
           sequences, rows_each, CONTEXT, seconds * 1e6, operations / 1e9,
           100 * operations / peaks->f32_flops, seconds * 1e6 * COPIES / seen);
    free(values);
    free(spans);
    free(blocks);
    ops->act_free(be, qkv);
    ops->act_free(be, out);
    ops->kv_free(be, kv);
}

/* One tile of a picture, as Llama 4 cuts them. */
static void bench_tile_attention(const struct wm_cpu_peaks *peaks)
{
    enum { TOKENS = 577, HEADS = 16, DIM = 88 };
    struct wm_act *qkv, *out;
    must(ops->act_new(be, TOKENS, 3 * HEADS * DIM, &qkv, &err));
    must(ops->act_new(be, TOKENS, HEADS * DIM, &out, &err));
    float *zeros = calloc((size_t)TOKENS * 3 * HEADS * DIM, sizeof *zeros);
    if (!zeros)
        exit(1);
    must(ops->act_write(be, qkv, 0, TOKENS, zeros, &err));
    struct wm_tile_attention op = {.qkv = qkv,
                                   .out = out,
                                   .tiles = 1,
                                   .tokens = TOKENS,
                                   .heads = HEADS,
                                   .head_dim = DIM,
                                   .scale = 0.1f,
                                   .cos = zeros,
                                   .sin = zeros};
    int64_t best = INT64_MAX;
    for (int run = 0; run < RUNS; run++) {
        int64_t start = wm_now_us();
        must(ops->tile_attention(be, &op, &err));
        int64_t took = wm_now_us() - start;
        best = took < best ? took : best;
    }
    double operations = 4.0 * TOKENS * TOKENS * HEADS * DIM / ((double)best / 1e6);
    printf("attention within a tile of %d tokens %9.1f us %8.1f Gop/s (%2.0f%% of f32 peak)\n", TOKENS,
           (double)best, operations / 1e9, 100 * operations / peaks->f32_flops);
    free(zeros);
    ops->act_free(be, qkv);
    ops->act_free(be, out);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
    struct wm_cpu_peaks peaks;
    must(wm_cpu_peaks(threads, &peaks, &err));
    ops = wm_face("cpu");
    must(ops->open(&(struct wm_backend_options){threads}, &be, &err));
    printf("%s; peaks: %.0f Gop/s int8, %.0f Gflop/s f32, %.1f GB/s\n", ops->describe(be),
           peaks.int8_ops / 1e9, peaks.f32_flops / 1e9, peaks.read_bytes / 1e9);
    bench_product("gate_up", WM_TYPE_Q4_1, 3072, 576, &peaks);
    bench_product("down", WM_TYPE_Q4_1, 576, 1536, &peaks);
    bench_product("logits", WM_TYPE_Q8_0, 49152, 576, &peaks);
    bench_product("gate_up", WM_TYPE_BF16, 3072, 576, &peaks);
    static const enum wm_type mixed[] = {WM_TYPE_Q4_K, WM_TYPE_Q6_K, WM_TYPE_Q5_0, WM_TYPE_F8_E4M3,
                                         WM_TYPE_I4};
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
        bench_product("dense", mixed[i], 8192, 2048, &peaks);
        bench_experts(mixed[i], &peaks);
    }
    bench_attention(1, 1, &peaks);
    bench_attention(16, 1, &peaks);
    bench_attention(1, 256, &peaks);
    bench_tile_attention(&peaks);
    ops->close(be);
    return 0;
}

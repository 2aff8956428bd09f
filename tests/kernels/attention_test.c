/* attention_test.c -- rope, the KV cache and attention, on every path, against the reference.
 *
 * A conversation is fed to a face in slices, as an engine would: each slice goes through qkv_post and attention, the
 * blocks lie in the pool in a shuffled order. The result is compared with the reference, and bit for bit with other ways
 * of slicing, other company, other numbers of threads.
 *
 * EXACT_CACHE: K and V that 8 bits hold exactly (multiples of 1/64 up to 127/64, no rope): what remains is the
 * 16-bit rounding of queries and weights. ROUNDED: any K and V.
 */
#include "tests/kernels/twin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EXACT_CACHE = 1e-3, ROUNDED = 0.02;

enum { MOST_SEQUENCES = 4, LAYERS = 2 };

struct shape {
    int32_t heads, kv_heads, head_dim;
    int64_t chunk;
    enum wm_rope_pairing rope;
};

static const struct shape SHAPES[] = {
    {9, 3, 64, 0, WM_ROPE_ADJACENT}, {4, 2, 32, 0, WM_ROPE_HALVES},   {10, 2, 12, 12, WM_ROPE_ADJACENT},
    {14, 1, 16, 0, WM_ROPE_NONE},    {2, 2, 128, 40, WM_ROPE_HALVES}, {3, 3, 256, 0, WM_ROPE_ADJACENT},
    {4, 2, 16, 48, WM_ROPE_NONE},
};

/* Heads whose keys are stored as they are: the cpu face spreads those of 32 elements and their multiples. */
static const struct shape PLAIN_SHAPES[] = {
    {9, 3, 48, 0, WM_ROPE_NONE},
    {10, 2, 12, 12, WM_ROPE_NONE},
    {14, 1, 16, 0, WM_ROPE_NONE},
    {2, 2, 240, 40, WM_ROPE_NONE},
};

/* One conversation: all its rows of q, k and v, and its block table. */
struct sequence {
    int32_t rows;
    int64_t first_pos;
    const float *qkv; /* [rows, width] */
    int32_t *blocks;
};

static int32_t width_of(const struct shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->head_dim;
}

/* Feeds `n` conversations in slices of `slice` rows, side by side in each step, and gives the outputs of all rows of
 * all of them, one conversation behind the other. The second layer is the one that is looked at. */
static float *feed(struct face *f, const struct shape *shape, const struct sequence *seq, int n,
                   int32_t slice)
{
    struct wm_error err = WM_ERROR_INIT;
    int32_t width = width_of(shape), out_width = shape->heads * shape->head_dim, blocks = 0, all = 0,
            longest = 0;
    for (int i = 0; i < n; i++) {
        blocks += (int32_t)((seq[i].first_pos % WM_KV_BLOCK + seq[i].rows) / WM_KV_BLOCK) + 1;
        all += seq[i].rows;
        longest = seq[i].rows > longest ? seq[i].rows : longest;
    }
    for (int i = 0; i < n; i++)
        for (int32_t b = 0; b <= (seq[i].first_pos % WM_KV_BLOCK + seq[i].rows) / WM_KV_BLOCK; b++)
            assert_in_range(seq[i].blocks[b], 0, blocks - 1);
    struct wm_kv *kv;
    struct wm_kv_shape kv_shape = {LAYERS, shape->kv_heads, shape->head_dim, blocks};
    assert_int_equal(f->ops->kv_new(f->be, &kv_shape, &kv, &err), WM_OK);
    double inv_freq[WM_MAX_HEAD_DIM / 2];
    for (int i = 0; i < shape->head_dim / 2; i++)
        inv_freq[i] = pow(10000, -2.0 * i / shape->head_dim);

    float *result = need((size_t)all * (size_t)out_width * sizeof *result);
    float *in = need((size_t)n * (size_t)slice * (size_t)width * sizeof *in);
    float *out = need((size_t)n * (size_t)slice * (size_t)out_width * sizeof *out);
    for (int32_t done = 0; done < longest; done += slice) {
        struct wm_span spans[MOST_SEQUENCES];
        struct wm_batch batch = {0, 0, spans};
        int owner[MOST_SEQUENCES];
        for (int i = 0; i < n; i++) {
            int32_t left = seq[i].rows - done;
            if (left <= 0)
                continue;
            struct wm_span *span = &spans[batch.n_spans];
            *span = (struct wm_span){batch.rows, left < slice ? left : slice, seq[i].first_pos + done, {{0}}};
            span->table[1].blocks = seq[i].blocks;
            span->table[1].first_block = seq[i].first_pos / WM_KV_BLOCK;
            memcpy(in + (size_t)batch.rows * (size_t)width, seq[i].qkv + (size_t)done * (size_t)width,
                   (size_t)span->rows * (size_t)width * sizeof *in);
            owner[batch.n_spans++] = i;
            batch.rows += span->rows;
        }
        struct wm_act *qkv = new_act(f, batch.rows, width, in), *y = new_act(f, batch.rows, out_width, NULL);
        for (int32_t layer = 0; layer < LAYERS; layer++) {
            assert_int_equal(f->ops->act_write(f->be, qkv, 0, batch.rows, in, &err), WM_OK);
            struct wm_qkv_post post = {.qkv = qkv,
                                       .heads = shape->heads,
                                       .kv_heads = shape->kv_heads,
                                       .head_dim = shape->head_dim,
                                       .rope = shape->rope,
                                       .inv_freq = inv_freq,
                                       .kv = kv,
                                       .layer = layer,
                                       .group = 1};
            assert_int_equal(f->ops->qkv_post(f->be, &batch, &post, &err), WM_OK);
            struct wm_attention attention = {.qkv = qkv,
                                             .out = y,
                                             .heads = shape->heads,
                                             .kv_heads = shape->kv_heads,
                                             .head_dim = shape->head_dim,
                                             .scale = 1 / sqrtf((float)shape->head_dim),
                                             .chunk = shape->chunk,
                                             .kv = kv,
                                             .layer = layer,
                                             .group = 1};
            assert_int_equal(f->ops->attention(f->be, &batch, &attention, &err), WM_OK);
        }
        read_act(f, y, batch.rows, out);
        for (int32_t s = 0; s < batch.n_spans; s++) {
            int32_t before = 0;
            for (int i = 0; i < owner[s]; i++)
                before += seq[i].rows;
            memcpy(result + (size_t)(before + done) * (size_t)out_width,
                   out + (size_t)spans[s].first_row * (size_t)out_width,
                   (size_t)spans[s].rows * (size_t)out_width * sizeof *out);
        }
        f->ops->act_free(f->be, qkv);
        f->ops->act_free(f->be, y);
    }
    free(in);
    free(out);
    f->ops->kv_free(f->be, kv);
    return result;
}

/* Fills conversations of the given lengths, blocks dealt out of one shuffled pool. first_pos: of each. */
static void make(struct dice *d, const struct shape *shape, const int32_t *rows, int n, int64_t first_pos,
                 bool exact, struct sequence *seq)
{
    int32_t pool[256], blocks = 0, width = width_of(shape);
    for (int i = 0; i < n; i++)
        blocks += (int32_t)((first_pos % WM_KV_BLOCK + rows[i]) / WM_KV_BLOCK) + 1;
    assert_in_range(blocks, 1, COUNT(pool));
    for (int32_t i = 0; i < blocks; i++)
        pool[i] = i;
    for (int32_t i = blocks - 1; i > 0; i--) {
        int32_t j = (int32_t)(dice_bits(d) % (uint64_t)(i + 1)), keep = pool[i];
        pool[i] = pool[j];
        pool[j] = keep;
    }
    for (int i = 0; i < n; i++) {
        int32_t mine = (int32_t)((first_pos % WM_KV_BLOCK + rows[i]) / WM_KV_BLOCK) + 1;
        float *qkv = need((size_t)rows[i] * (size_t)width * sizeof *qkv);
        int32_t *table = need((size_t)mine * sizeof *table);
        for (int32_t b = 0; b < mine; b++)
            table[b] = pool[--blocks];
        for (int32_t r = 0; r < rows[i]; r++)
            for (int32_t c = 0; c < width; c++) {
                bool is_q = c < shape->heads * shape->head_dim;
                float value = is_q || !exact ? dice_normal(d) : (float)((int)(dice_bits(d) % 255) - 127) / 64;
                if (!is_q && exact && c % shape->head_dim == 3)
                    value = 127.0f / 64;
                qkv[r * width + c] = value;
            }
        seq[i] = (struct sequence){rows[i], first_pos, qkv, table};
    }
}

static void forget(struct sequence *seq, int n)
{
    for (int i = 0; i < n; i++) {
        free((void *)seq[i].qkv);
        free(seq[i].blocks);
    }
}

/* Lengths around block borders, segment borders (256 positions) and chunk borders. */
static const int32_t LENGTHS[] = {1, 31, 33, 300};
enum { ALL_ROWS = 1 + 31 + 33 + 300 };

static void agree(const char *path, bool exact)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    struct dice d = {11};
    for (size_t s = 0; s < (exact ? COUNT(PLAIN_SHAPES) : COUNT(SHAPES)); s++) {
        struct shape shape = exact ? PLAIN_SHAPES[s] : SHAPES[s];
        struct sequence seq[MOST_SEQUENCES];
        make(&d, &shape, LENGTHS, COUNT(LENGTHS), 0, exact, seq);
        float *want = feed(&reference, &shape, seq, COUNT(LENGTHS), 64);
        float *got = feed(&cpu, &shape, seq, COUNT(LENGTHS), 64);
        size_t n = (size_t)ALL_ROWS * (size_t)(shape.heads * shape.head_dim);
        char what[64];
        snprintf(what, sizeof what, "%s, shape %zu", path, s);
        if (exact)
            check_close(what, got, want, n, 5 * EXACT_CACHE);
        check_near_on_average(what, got, want, n, exact ? EXACT_CACHE : ROUNDED);
        free(want);
        free(got);
        forget(seq, COUNT(LENGTHS));
    }
    close_face(&cpu);
    close_face(&reference);
}

/* However a conversation is sliced, whoever else is in the step, however many threads: the same bits. */
static void invariant(const char *path)
{
    struct face one = open_cpu(path, 1), three = open_cpu(path, 3);
    if (!one.ops)
        SKIP(path);
    static const int32_t slices[] = {1, 7, 32, 300};
    struct dice d = {12};
    for (size_t s = 0; s < COUNT(SHAPES); s += 2) {
        const struct shape *shape = &SHAPES[s];
        struct sequence seq[MOST_SEQUENCES];
        make(&d, shape, LENGTHS, COUNT(LENGTHS), 0, false, seq);
        size_t n = (size_t)ALL_ROWS * (size_t)(shape->heads * shape->head_dim);
        float *want = feed(&one, shape, seq, COUNT(LENGTHS), 64);
        for (size_t i = 0; i < COUNT(slices); i++) {
            float *got = feed(i % 2 ? &one : &three, shape, seq, COUNT(LENGTHS), slices[i]);
            check_same("other slices", got, want, n);
            free(got);
        }
        /* the long one alone: few tiles, so its segments are spread over the threads */
        struct sequence alone = seq[3];
        int32_t count = alone.rows / WM_KV_BLOCK + 1, blocks[32];
        for (int32_t b = 0; b < count; b++)
            blocks[b] = b;
        alone.blocks = blocks;
        float *got = feed(&three, shape, &alone, 1, 1);
        size_t before = (size_t)(ALL_ROWS - alone.rows) * (size_t)(shape->heads * shape->head_dim);
        check_same("alone, on three threads", got, want + before, n - before);
        free(got);
        free(want);
        forget(seq, COUNT(LENGTHS));
    }
    close_face(&one);
    close_face(&three);
}

/* Ten million positions in: the angles must still be those of double precision. The table starts at the chunk. */
static void far(const char *path)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    const struct shape shape = {3, 1, 64, 8192, WM_ROPE_ADJACENT};
    const int64_t first = 10000000 / 8192 * 8192; /* a chunk's first position */
    const int32_t rows[] = {70};
    struct dice d = {13};
    struct sequence seq[1];
    make(&d, &shape, rows, 1, first, false, seq);
    float *want = feed(&reference, &shape, seq, 1, 7), *got = feed(&cpu, &shape, seq, 1, 7);
    check_near_on_average(path, got, want, 70 * 3 * 64, ROUNDED);
    free(want);
    free(got);
    forget(seq, 1);
    close_face(&cpu);
    close_face(&reference);
}

/* Scores of some thousands in one direction, and of none in the other: weights of 0 and 1, no NaN. */
static void sharp(const char *path)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 1);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    const struct shape shape = {1, 1, 16, 0, WM_ROPE_NONE};
    enum { ROWS = 40, WIDTH = 48 };
    float *qkv = need(ROWS * WIDTH * sizeof *qkv);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 16; i++) {
            qkv[r * WIDTH + i] = r % 2 ? 100 : 0;
            qkv[r * WIDTH + 16 + i] = r == 5 ? 127 : 0;
            qkv[r * WIDTH + 32 + i] = (float)(r + 1);
        }
    int32_t blocks[] = {1, 0};
    struct sequence seq = {ROWS, 0, qkv, blocks};
    float *want = feed(&reference, &shape, &seq, 1, ROWS), *got = feed(&cpu, &shape, &seq, 1, ROWS);
    check_close(path, got, want, ROWS * 16, EXACT_CACHE);
    free(want);
    free(got);
    free(qkv);
    close_face(&cpu);
    close_face(&reference);
}

static void a_discarded_block_can_be_filled_again(void **state)
{
    (void)state;
    struct face faces[] = {open_reference(), open_cpu("portable", 1)};
    for (size_t i = 0; i < COUNT(faces); i++) {
        struct face *f = &faces[i];
        struct wm_kv_shape shape = {1, 1, 16, 2};
        struct wm_error err = WM_ERROR_INIT;
        struct wm_kv *kv;
        assert_true(f->ops->kv_block_bytes(&shape) >= 16 * 2 * WM_KV_BLOCK);
        assert_int_equal(f->ops->kv_new(f->be, &shape, &kv, &err), WM_OK);
        float first[16];
        for (int turn = 0; turn < 2; turn++) {
            float qkv[48], out[16];
            for (int j = 0; j < 48; j++)
                qkv[j] = (float)(j - 20);
            struct wm_act *x = new_act(f, 1, 48, qkv), *y = new_act(f, 1, 16, NULL);
            const int32_t blocks[] = {1};
            struct wm_span span = {0, 1, 0, {{blocks, 0}}};
            struct wm_batch batch = {1, 1, &span};
            struct wm_qkv_post post = {.qkv = x, .heads = 1, .kv_heads = 1, .head_dim = 16, .kv = kv};
            struct wm_attention attention = {x, y, 1, 1, 16, 1, 0, kv, 0, 0};
            assert_int_equal(f->ops->qkv_post(f->be, &batch, &post, &err), WM_OK);
            assert_int_equal(f->ops->attention(f->be, &batch, &attention, &err), WM_OK);
            read_act(f, y, 1, turn ? out : first);
            if (turn)
                check_same(f->name, out, first, 16);
            f->ops->kv_discard(f->be, kv, 1);
            f->ops->act_free(f->be, x);
            f->ops->act_free(f->be, y);
        }
        f->ops->kv_free(f->be, kv);
        close_face(f);
    }
}

ON_EVERY_PATH(an_exact_cache_gives_the_reference, agree(path, true))
ON_EVERY_PATH(an_8_bit_cache_loses_no_more_than_8_bits, agree(path, false))
ON_EVERY_PATH(slices_company_and_threads_change_nothing, invariant(path))
ON_EVERY_PATH(positions_of_ten_million_keep_their_angles, far(path))
ON_EVERY_PATH(sharp_weights_stay_numbers, sharp(path))

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATHS(an_exact_cache_gives_the_reference),
        PATHS(an_8_bit_cache_loses_no_more_than_8_bits),
        PATHS(slices_company_and_threads_change_nothing),
        PATHS(positions_of_ten_million_keep_their_angles),
        PATHS(sharp_weights_stay_numbers),
        cmocka_unit_test(a_discarded_block_can_be_filled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

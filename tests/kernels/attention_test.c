/* attention_test.c -- the KV cache and attention, on every face, against plain loops in double.
 *
 * A conversation is fed to a face in slices, as an engine would: each slice goes through qkv_post and attention, the
 * blocks lie in the pool in a shuffled order, and those before the chunk are given back and left out of the table. The
 * result is compared with `attended`, which knows no cache, and bit for bit with other ways of slicing, other
 * company, other numbers of threads.
 *
 * A face that keeps its cache in 8 bits is allowed more. EXACT_CACHE: K and V that 8 bits hold exactly (multiples of
 * 1/64 up to 127/64, no rope): what remains is the 16-bit rounding of queries and weights. ROUNDED: any K and V.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EXACT = 1e-6, EXACT_CACHE = 1e-3, ROUNDED = 0.02;

enum { MOST_SEQUENCES = 4, LAYERS = 2 };

struct shape {
    int32_t heads, kv_heads, head_dim;
    int64_t chunk;
    enum wm_rope_pairing rope;
    bool qk_norm;
    double floor, scale; /* of the temperature */
};

static const struct shape SHAPES[] = {
    {9, 3, 64, 0, WM_ROPE_ADJACENT},
    {4, 2, 32, 0, WM_ROPE_HALVES, .qk_norm = true},
    {10, 2, 12, 12, WM_ROPE_ADJACENT, .qk_norm = true},
    {14, 1, 16, 0, WM_ROPE_NONE, .floor = 8, .scale = 0.3},
    {2, 2, 128, 40, WM_ROPE_HALVES},
    {3, 3, 256, 0, WM_ROPE_ADJACENT},
    {4, 2, 16, 48, WM_ROPE_NONE},
    {40, 8, 8, 16, WM_ROPE_ADJACENT, .qk_norm = true, .floor = 16, .scale = 0.1},
    {2, 1, 88, 100, WM_ROPE_HALVES, .qk_norm = true},
    {5, 1, 80, 0, WM_ROPE_ADJACENT, .qk_norm = true},
    {2, 2, 96, 64, WM_ROPE_ADJACENT, .qk_norm = true},
    {1, 1, 2, 1, WM_ROPE_ADJACENT},
};

/* Heads whose keys are stored as they are: the cpu face spreads those of 32 elements and their multiples. */
static const struct shape PLAIN_SHAPES[] = {
    {9, 3, 48, 0, WM_ROPE_NONE},
    {10, 2, 12, 12, WM_ROPE_NONE, .floor = 8, .scale = 0.3},
    {14, 1, 16, 0, WM_ROPE_NONE},
    {2, 2, 240, 40, WM_ROPE_NONE},
};

/* One conversation: all its rows of q, k and v, and its block table. */
struct sequence {
    int32_t rows;
    int64_t first_pos;
    const float *qkv; /* [rows, width] */
    int32_t *blocks;  /* the first holds first_pos */
};

static int32_t width_of(const struct shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->head_dim;
}

static int32_t blocks_of(const struct sequence *seq)
{
    return (int32_t)((seq->first_pos % WM_KV_BLOCK + seq->rows - 1) / WM_KV_BLOCK) + 1;
}

static int64_t first_visible(const struct shape *s, int64_t position)
{
    return s->chunk ? position / s->chunk * s->chunk : 0;
}

static double inv_freq(const struct shape *s, int32_t i)
{
    return pow(10000, -2.0 * i / s->head_dim);
}

static float score_scale(const struct shape *s)
{
    return 1 / sqrtf((float)s->head_dim);
}

/* --- as the contract has it ----------------------------------------------------------------------------- */

/* One head of q or k after rope, norm and temperature. */
static void turned(const struct shape *s, int64_t position, bool is_q, const float *from, double *to)
{
    int32_t n = s->head_dim;
    double square = 0, factor = 1;
    for (int32_t i = 0; i < n; i++)
        to[i] = (double)from[i];
    for (int32_t i = 0; i < n / 2 && s->rope != WM_ROPE_NONE; i++) {
        int32_t a = s->rope == WM_ROPE_HALVES ? i : 2 * i, b = s->rope == WM_ROPE_HALVES ? i + n / 2 : a + 1;
        double angle = (double)position * inv_freq(s, i), x = to[a], y = to[b];
        to[a] = x * cos(angle) - y * sin(angle);
        to[b] = x * sin(angle) + y * cos(angle);
    }
    for (int32_t i = 0; i < n; i++)
        square += to[i] * to[i] / n;
    if (s->qk_norm)
        factor /= sqrt(square + (double)1e-5f);
    if (is_q && s->floor > 0)
        factor *= 1 + s->scale * log(floor((double)(position + 1) / s->floor) + 1);
    for (int32_t i = 0; i < n; i++)
        to[i] *= factor;
}

/* What rows [first, first + count) of a conversation are attended to: [count, heads * head_dim]. */
static void attended(const struct shape *s, const struct sequence *seq, int32_t first, int32_t count,
                     float *out)
{
    int32_t n = s->head_dim, width = width_of(s), out_width = s->heads * n;
    double *keys = need((size_t)seq->rows * (size_t)n * sizeof *keys);
    double *weights = need((size_t)seq->rows * sizeof *weights), q[WM_MAX_HEAD_DIM];
    for (int32_t h = 0; h < s->heads; h++) {
        int32_t k_at = (s->heads + h / (s->heads / s->kv_heads)) * n, v_at = k_at + s->kv_heads * n;
        for (int32_t j = 0; j < first + count; j++)
            turned(s, seq->first_pos + j, false, seq->qkv + (size_t)j * (size_t)width + k_at,
                   keys + (size_t)j * (size_t)n);
        for (int32_t r = first; r < first + count; r++) {
            float *to = out + (size_t)(r - first) * (size_t)out_width + h * n;
            int64_t before = first_visible(s, seq->first_pos + r) - seq->first_pos;
            int32_t from = before > 0 ? (int32_t)before : 0;
            double max = -INFINITY, sum = 0;
            turned(s, seq->first_pos + r, true, seq->qkv + (size_t)r * (size_t)width + h * n, q);
            for (int32_t j = from; j <= r; j++) {
                double dot = 0;
                for (int32_t i = 0; i < n; i++)
                    dot += q[i] * keys[(size_t)j * (size_t)n + (size_t)i];
                weights[j] = dot * (double)score_scale(s);
                max = fmax(max, weights[j]);
            }
            for (int32_t j = from; j <= r; j++)
                sum += weights[j] = exp(weights[j] - max);
            for (int32_t i = 0; i < n; i++) {
                double value = 0;
                for (int32_t j = from; j <= r; j++)
                    value += weights[j] * (double)seq->qkv[(size_t)j * (size_t)width + (size_t)(v_at + i)];
                to[i] = (float)(value / sum);
            }
        }
    }
    free(keys);
    free(weights);
}

/* --- as a face does it ---------------------------------------------------------------------------------- */

/* The table of a slice that starts at `position`: blocks that it cannot see are given back, and are not in it. */
static void lend_table(struct face *f, struct wm_kv *kv, const struct shape *shape,
                       const struct sequence *seq, int64_t position, struct wm_span *span)
{
    int64_t base = seq->first_pos / WM_KV_BLOCK, needed = first_visible(shape, position) / WM_KV_BLOCK;
    needed = needed > base ? needed : base;
    for (int64_t b = base; b < needed; b++)
        f->ops->kv_discard(f->be, kv, seq->blocks[b - base]);
    int group = shape->chunk ? 1 : 0;
    span->table[group].blocks = seq->blocks + (needed - base);
    span->table[group].first_block = needed;
}

/* Feeds `n` conversations in slices of `slice` rows, side by side in each step, and gives the outputs of all rows of
 * all of them, one conversation behind the other; rows before `attend_from` are not attended to and give zeros. The
 * second layer is the one that is looked at. */
static float *feed(struct face *f, const struct shape *shape, const struct sequence *seq, int n,
                   int32_t slice, int32_t attend_from)
{
    struct wm_error err = WM_ERROR_INIT;
    int32_t width = width_of(shape), out_width = shape->heads * shape->head_dim, blocks = 0, all = 0,
            longest = 0;
    for (int i = 0; i < n; i++) {
        blocks += blocks_of(&seq[i]);
        all += seq[i].rows;
        longest = seq[i].rows > longest ? seq[i].rows : longest;
    }
    struct wm_kv *kv;
    struct wm_kv_shape kv_shape = {LAYERS, shape->kv_heads, shape->head_dim, blocks};
    assert_int_equal(f->ops->kv_new(f->be, &kv_shape, &kv, &err), WM_OK);
    double frequencies[WM_MAX_HEAD_DIM / 2];
    for (int i = 0; i < shape->head_dim / 2; i++)
        frequencies[i] = inv_freq(shape, i);

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
            lend_table(f, kv, shape, &seq[i], span->first_pos, span);
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
                                       .inv_freq = frequencies,
                                       .qk_norm = shape->qk_norm,
                                       .eps = 1e-5f,
                                       .temperature_floor = shape->floor,
                                       .temperature_scale = shape->scale,
                                       .kv = kv,
                                       .layer = layer,
                                       .group = shape->chunk ? 1 : 0};
            assert_int_equal(f->ops->qkv_post(f->be, &batch, &post, &err), WM_OK);
            struct wm_attention attention = {.qkv = qkv,
                                             .out = y,
                                             .heads = shape->heads,
                                             .kv_heads = shape->kv_heads,
                                             .head_dim = shape->head_dim,
                                             .scale = score_scale(shape),
                                             .chunk = shape->chunk,
                                             .kv = kv,
                                             .layer = layer,
                                             .group = post.group};
            if (done >= attend_from)
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
static void make(uint64_t seed, const struct shape *shape, const int32_t *rows, int n, int64_t first_pos,
                 bool exact, struct sequence *seq)
{
    struct dice d = {seed};
    int32_t pool[512], blocks = 0, width = width_of(shape);
    for (int i = 0; i < n; i++) {
        seq[i] = (struct sequence){.rows = rows[i], .first_pos = first_pos};
        blocks += blocks_of(&seq[i]);
    }
    assert_in_range(blocks, 1, COUNT(pool));
    for (int32_t i = 0; i < blocks; i++)
        pool[i] = i;
    for (int32_t i = blocks - 1; i > 0; i--) {
        int32_t j = (int32_t)(dice_bits(&d) % (uint64_t)(i + 1)), keep = pool[i];
        pool[i] = pool[j];
        pool[j] = keep;
    }
    for (int i = 0; i < n; i++) {
        float *qkv = need((size_t)rows[i] * (size_t)width * sizeof *qkv);
        seq[i].blocks = need((size_t)blocks_of(&seq[i]) * sizeof *seq[i].blocks);
        for (int32_t b = 0; b < blocks_of(&seq[i]); b++)
            seq[i].blocks[b] = pool[--blocks];
        for (int32_t r = 0; r < rows[i]; r++)
            for (int32_t c = 0; c < width; c++) {
                bool is_q = c < shape->heads * shape->head_dim;
                float value =
                    is_q || !exact ? dice_normal(&d) : (float)((int)(dice_bits(&d) % 255) - 127) / 64;
                if (!is_q && exact && c % shape->head_dim == 3)
                    value = 127.0f / 64;
                qkv[r * width + c] = value;
            }
        seq[i].qkv = qkv;
    }
}

static void forget(struct sequence *seq, int n)
{
    for (int i = 0; i < n; i++) {
        free((void *)seq[i].qkv);
        free(seq[i].blocks);
    }
}

/* --- claims --------------------------------------------------------------------------------------------- */

/* Lengths around block borders, segment borders (256 positions) and chunk borders. */
static const int32_t LENGTHS[] = {1, 31, 33, 300};
enum { ALL_ROWS = 1 + 31 + 33 + 300, SHAPES_SEED = 11, PLAIN_SEED = 51 };

static bool is_exact(const struct face_kind *kind)
{
    return strcmp(kind->ops->name, "reference") == 0;
}

/* What is right for a shape takes longer to find than what the faces do: it is kept for the next face. */
static const float *right(const struct shape *shape, bool plain, size_t number, const struct sequence *seq)
{
    static float kept[2][COUNT(SHAPES)][ALL_ROWS * 768];
    static bool known[2][COUNT(SHAPES)];
    float *want = kept[plain][number];
    size_t width = (size_t)(shape->heads * shape->head_dim);
    assert_in_range(width, 1, 768);
    for (size_t i = 0, row = 0; !known[plain][number] && i < COUNT(LENGTHS); row += (size_t)LENGTHS[i], i++)
        attended(shape, &seq[i], 0, LENGTHS[i], want + row * width);
    known[plain][number] = true;
    return want;
}

static void agree(const struct face_kind *kind, bool plain)
{
    struct face f = open_kind(kind, 2);
    for (size_t s = 0; s < (plain ? COUNT(PLAIN_SHAPES) : COUNT(SHAPES)); s++) {
        const struct shape *shape = plain ? &PLAIN_SHAPES[s] : &SHAPES[s];
        struct sequence seq[MOST_SEQUENCES];
        make((plain ? PLAIN_SEED : SHAPES_SEED) + s, shape, LENGTHS, COUNT(LENGTHS), 0, plain, seq);
        const float *want = right(shape, plain, s, seq);
        float *got = feed(&f, shape, seq, COUNT(LENGTHS), 64, 0);
        size_t n = (size_t)ALL_ROWS * (size_t)(shape->heads * shape->head_dim);
        char what[64];
        snprintf(what, sizeof what, "%s, shape %zu", f.name, s);
        if (is_exact(kind))
            check_close(what, got, want, n, EXACT);
        else if (plain)
            check_close(what, got, want, n, 5 * EXACT_CACHE);
        check_near_on_average(what, got, want, n, plain ? EXACT_CACHE : ROUNDED);
        free(got);
        forget(seq, COUNT(LENGTHS));
    }
    close_face(&f);
}

static void attention_follows_its_formula(const struct face_kind *kind)
{
    agree(kind, false);
}

static void what_8_bits_hold_is_attended_to_exactly(const struct face_kind *kind)
{
    agree(kind, true);
}

/* However a conversation is sliced, whoever else is in the step, however many threads: the same bits. */
static void slices_company_and_threads_change_nothing(const struct face_kind *kind)
{
    struct face one = open_kind(kind, 1), three = open_kind(kind, 3);
    static const int32_t slices[] = {1, 7, 32, 300};
    for (size_t s = 0; s < COUNT(SHAPES); s += s % 2 ? 3 : 1) {
        const struct shape *shape = &SHAPES[s];
        struct sequence seq[MOST_SEQUENCES];
        make(12 + s, shape, LENGTHS, COUNT(LENGTHS), 0, false, seq);
        size_t n = (size_t)ALL_ROWS * (size_t)(shape->heads * shape->head_dim);
        float *want = feed(&one, shape, seq, COUNT(LENGTHS), 64, 0);
        for (size_t i = s % 2; i < COUNT(slices); i += 2) {
            float *got = feed(&three, shape, seq, COUNT(LENGTHS), slices[i], 0);
            check_same("other slices", got, want, n);
            free(got);
        }
        /* the long one alone: few tiles, so its segments are spread over the threads */
        struct sequence alone = seq[3];
        int32_t blocks[32];
        for (int32_t b = 0; b < blocks_of(&alone); b++)
            blocks[b] = b;
        alone.blocks = blocks;
        float *got = feed(&three, shape, &alone, 1, 1, 0);
        size_t before = (size_t)(ALL_ROWS - alone.rows) * (size_t)(shape->heads * shape->head_dim);
        check_same("alone, on three threads", got, want + before, n - before);
        free(got);
        free(want);
        forget(seq, COUNT(LENGTHS));
    }
    close_face(&one);
    close_face(&three);
}

/* More than a chunk of 8192 positions, near the start and ten million in: at a border a row sees itself alone, one with
 * the whole history sees it all, and no table reaches back further than its chunk. */
static void long_histories_are_seen_to_their_end(const struct face_kind *kind)
{
    enum { ROWS = 8200, SLICE = 82, LAST = 16 };
    static const int32_t rows[] = {ROWS};
    static const struct {
        struct shape shape;
        int64_t first;
    } cases[] = {
        {{2, 1, 16, 0, WM_ROPE_NONE, .floor = 8192, .scale = 0.1}, 0},
        {{2, 1, 16, 8192, WM_ROPE_ADJACENT, .qk_norm = true}, 0},
        {{2, 1, 32, 8192, WM_ROPE_ADJACENT, .qk_norm = true}, 10000000 / 8192 * 8192},
        {{2, 1, 16, 8196, WM_ROPE_HALVES}, (int64_t)8196 * 1000 * 1000},
    };
    struct face f = open_kind(kind, 2);
    for (size_t c = 0; c < COUNT(cases); c++) {
        const struct shape *shape = &cases[c].shape;
        struct sequence seq[1];
        make(13 + c, shape, rows, 1, cases[c].first, false, seq);
        size_t width = (size_t)(shape->heads * shape->head_dim), n = LAST * width;
        float *want = need(n * sizeof *want);
        attended(shape, seq, ROWS - LAST, LAST, want);
        float *got = feed(&f, shape, seq, 1, SLICE, ROWS - SLICE);
        check_near_on_average(f.name, got + (ROWS - LAST) * width, want, n, is_exact(kind) ? EXACT : ROUNDED);
        free(want);
        free(got);
        forget(seq, 1);
    }
    close_face(&f);
}

/* Scores of some thousands in one direction, and of none in the other: weights of 0 and 1, no NaN. */
static void sharp_weights_stay_numbers(const struct face_kind *kind)
{
    const struct shape shape = {1, 1, 16, 0, WM_ROPE_NONE};
    enum { ROWS = 40, WIDTH = 48 };
    struct face f = open_kind(kind, 1);
    float qkv[ROWS * WIDTH], want[ROWS * 16];
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 16; i++) {
            qkv[r * WIDTH + i] = r % 2 ? 100 : 0;
            qkv[r * WIDTH + 16 + i] = r == 5 ? 127 : 0;
            qkv[r * WIDTH + 32 + i] = (float)(r + 1);
        }
    int32_t blocks[] = {1, 0};
    struct sequence seq = {ROWS, 0, qkv, blocks};
    attended(&shape, &seq, 0, ROWS, want);
    float *got = feed(&f, &shape, &seq, 1, ROWS, 0);
    check_close(f.name, got, want, ROWS * 16, EXACT_CACHE);
    free(got);
    close_face(&f);
}

static void a_discarded_block_can_be_filled_again(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    struct wm_kv_shape shape = {1, 1, 16, 2};
    struct wm_error err = WM_ERROR_INIT;
    struct wm_kv *kv;
    assert_true(f.ops->kv_block_bytes(&shape) >= 16 * 2 * WM_KV_BLOCK);
    assert_int_equal(f.ops->kv_new(f.be, &shape, &kv, &err), WM_OK);
    float first[16];
    for (int turn = 0; turn < 2; turn++) {
        float qkv[48], out[16];
        for (int j = 0; j < 48; j++)
            qkv[j] = (float)(j - 20);
        struct wm_act *x = new_act(&f, 1, 48, qkv), *y = new_act(&f, 1, 16, NULL);
        const int32_t blocks[] = {1};
        struct wm_span span = {0, 1, 0, {{blocks, 0}}};
        struct wm_batch batch = {1, 1, &span};
        struct wm_qkv_post post = {.qkv = x, .heads = 1, .kv_heads = 1, .head_dim = 16, .kv = kv};
        struct wm_attention attention = {x, y, 1, 1, 16, 1, 0, kv, 0, 0};
        assert_int_equal(f.ops->qkv_post(f.be, &batch, &post, &err), WM_OK);
        assert_int_equal(f.ops->attention(f.be, &batch, &attention, &err), WM_OK);
        read_act(&f, y, 1, turn ? out : first);
        if (turn)
            check_same(f.name, out, first, 16);
        f.ops->kv_discard(f.be, kv, 1);
        f.ops->act_free(f.be, x);
        f.ops->act_free(f.be, y);
    }
    f.ops->kv_free(f.be, kv);
    close_face(&f);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(attention_follows_its_formula),
        CLAIM(what_8_bits_hold_is_attended_to_exactly),
        CLAIM(slices_company_and_threads_change_nothing),
        CLAIM(long_histories_are_seen_to_their_end),
        CLAIM(sharp_weights_stay_numbers),
        CLAIM(a_discarded_block_can_be_filled_again),
    };
    return check_claims(claims, COUNT(claims));
}

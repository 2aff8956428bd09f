/* tiny_model.c -- see tiny_model.h. */
#include "tests/engine/tiny_model.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/utf8.h"

enum { ALIGNMENT = 32, MAX_FILE = 8 << 20 };

void gguf_uint(struct wm_buffer *b, uint64_t value, size_t bytes)
{
    char out[8];
    for (size_t i = 0; i < bytes; i++)
        out[i] = (char)(value >> (8 * i));
    assert_int_equal(wm_buffer_add(b, out, bytes), WM_OK);
}

void gguf_text(struct wm_buffer *b, const char *text)
{
    gguf_uint(b, strlen(text), 8);
    assert_int_equal(wm_buffer_puts(b, text), WM_OK);
}

void gguf_head(struct wm_buffer *b, uint64_t tensors, uint64_t pairs)
{
    assert_int_equal(wm_buffer_puts(b, "GGUF"), WM_OK);
    gguf_uint(b, 3, 4);
    gguf_uint(b, tensors, 8);
    gguf_uint(b, pairs, 8);
}

void gguf_pair_u32(struct wm_buffer *b, const char *key, uint32_t value)
{
    gguf_text(b, key);
    gguf_uint(b, GGUF_U32, 4);
    gguf_uint(b, value, 4);
}

void gguf_pair_f32(struct wm_buffer *b, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    gguf_text(b, key);
    gguf_uint(b, GGUF_F32, 4);
    gguf_uint(b, bits, 4);
}

void gguf_pair_string(struct wm_buffer *b, const char *key, const char *value)
{
    gguf_text(b, key);
    gguf_uint(b, GGUF_STRING, 4);
    gguf_text(b, value);
}

void gguf_tensor(struct wm_buffer *b, const char *name, int64_t cols, int64_t rows, uint32_t type,
                 uint64_t offset)
{
    gguf_text(b, name);
    gguf_uint(b, rows == 1 ? 1 : 2, 4);
    gguf_uint(b, (uint64_t)cols, 8);
    if (rows != 1)
        gguf_uint(b, (uint64_t)rows, 8);
    gguf_uint(b, type, 4);
    gguf_uint(b, offset, 8);
}

void gguf_pad(struct wm_buffer *b)
{
    while (b->len % ALIGNMENT)
        gguf_uint(b, 0, 1);
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

struct maker {
    const struct tiny_options *options;
    struct wm_buffer pairs, infos, data;
    uint64_t n_pairs, n_tensors;
    uint64_t seed;
};

static bool left_out(const struct maker *m, const char *name)
{
    return m->options->without && strcmp(m->options->without, name) == 0;
}

static void add_u32(struct maker *m, const char *key, uint32_t value)
{
    if (left_out(m, key))
        return;
    gguf_pair_u32(&m->pairs, key, value);
    m->n_pairs++;
}

static void add_string(struct maker *m, const char *key, const char *value)
{
    if (left_out(m, key))
        return;
    gguf_pair_string(&m->pairs, key, value);
    m->n_pairs++;
}

/* The byte in GPT-2's alphabet. */
static void spell_byte(int byte, char out[5])
{
    uint32_t code = (uint32_t)byte, next = 0x100;
    for (int b = 0; b <= byte; b++) {
        bool itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        code = itself ? (uint32_t)b : next++;
    }
    out[wm_utf8_encode(code, out)] = '\0';
}

static void add_vocabulary(struct maker *m)
{
    static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    static const char *const merged[] = {"he", "ll", "hell", "hello"};
    static const char *const merges[] = {"h e", "l l", "he ll", "hell o"};
    struct wm_buffer *b = &m->pairs;
    gguf_text(b, "tokenizer.ggml.tokens");
    gguf_uint(b, GGUF_ARRAY, 4);
    gguf_uint(b, GGUF_STRING, 4);
    gguf_uint(b, TINY_VOCABULARY, 8);
    for (size_t i = 0; i < COUNT(control); i++)
        gguf_text(b, control[i]);
    for (int byte = 0; byte < 256; byte++) {
        char spelled[5];
        spell_byte(byte, spelled);
        gguf_text(b, spelled);
    }
    for (size_t i = 0; i < COUNT(merged); i++)
        gguf_text(b, merged[i]);
    gguf_text(b, "tokenizer.ggml.token_type");
    gguf_uint(b, GGUF_ARRAY, 4);
    gguf_uint(b, GGUF_I32, 4);
    gguf_uint(b, TINY_VOCABULARY, 8);
    for (int id = 0; id < TINY_VOCABULARY; id++)
        gguf_uint(b, id < TINY_BYTES ? 3 : 1, 4);
    gguf_text(b, "tokenizer.ggml.merges");
    gguf_uint(b, GGUF_ARRAY, 4);
    gguf_uint(b, GGUF_STRING, 4);
    gguf_uint(b, COUNT(merges), 8);
    for (size_t i = 0; i < COUNT(merges); i++)
        gguf_text(b, merges[i]);
    m->n_pairs += 3;
}

/* Random numbers in [-scale, scale], or ones. */
static void add_tensor(struct maker *m, const char *name, int64_t cols, int64_t rows, float scale)
{
    if (left_out(m, name))
        return;
    gguf_pad(&m->data);
    gguf_tensor(&m->infos, name, cols, rows, 0, m->data.len);
    for (int64_t i = 0; i < cols * rows; i++) {
        m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
        float value = scale > 0 ? scale * ((float)(m->seed >> 40) / (float)(1 << 23) - 1) : 1;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        gguf_uint(&m->data, bits, 4);
    }
    m->n_tensors++;
}

static void add_tensors(struct maker *m)
{
    static const struct {
        const char *name;
        int64_t cols, rows;
    } parts[] = {
        {"attn_q.weight", TINY_WIDTH, TINY_HEADS * TINY_HEAD_DIM},
        {"attn_k.weight", TINY_WIDTH, TINY_KV_HEADS * TINY_HEAD_DIM},
        {"attn_v.weight", TINY_WIDTH, TINY_KV_HEADS * TINY_HEAD_DIM},
        {"attn_output.weight", TINY_HEADS * TINY_HEAD_DIM, TINY_WIDTH},
        {"ffn_gate.weight", TINY_WIDTH, TINY_HIDDEN},
        {"ffn_up.weight", TINY_WIDTH, TINY_HIDDEN},
        {"ffn_down.weight", TINY_HIDDEN, TINY_WIDTH},
        {"attn_norm.weight", TINY_WIDTH, 1},
        {"ffn_norm.weight", TINY_WIDTH, 1},
    };
    add_tensor(m, "token_embd.weight", TINY_WIDTH, TINY_VOCABULARY, 1);
    add_tensor(m, "output_norm.weight", TINY_WIDTH, 1, 0);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (size_t i = 0; i < COUNT(parts); i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s", l, parts[i].name);
            add_tensor(m, name, parts[i].cols, parts[i].rows,
                       parts[i].rows == 1 ? 0 : 3 / sqrtf((float)parts[i].cols));
        }
}

struct wm_buffer tiny_model(const struct tiny_options *options)
{
    struct maker m = {.options = options,
                      .pairs = WM_BUFFER(MAX_FILE),
                      .infos = WM_BUFFER(MAX_FILE),
                      .data = WM_BUFFER(MAX_FILE),
                      .seed = 7};
    add_string(&m, "general.architecture", "llama");
    add_string(&m, "general.name", "tiny");
    add_u32(&m, "llama.block_count", TINY_LAYERS);
    add_u32(&m, "llama.context_length", TINY_CONTEXT);
    add_u32(&m, "llama.embedding_length", TINY_WIDTH);
    add_u32(&m, "llama.feed_forward_length", TINY_HIDDEN);
    add_u32(&m, "llama.attention.head_count", TINY_HEADS);
    add_u32(&m, "llama.attention.head_count_kv", TINY_KV_HEADS);
    gguf_pair_f32(&m.pairs, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    m.n_pairs++;
    add_string(&m, "tokenizer.ggml.model", "gpt2");
    add_string(&m, "tokenizer.ggml.pre", options->pre ? options->pre : "smollm");
    add_u32(&m, "tokenizer.ggml.eos_token_id", options->eos ? (uint32_t)options->eos : TINY_EOS);
    add_string(&m, "tokenizer.chat_template",
               options->template
                   ? options->template
                   : "{{ '<|im_start|>system\nBe hello.<|im_end|>\n' }}{{ '<|im_start|>' + role }}");
    add_vocabulary(&m);
    add_tensors(&m);

    struct wm_buffer file = WM_BUFFER(MAX_FILE);
    gguf_head(&file, m.n_tensors, m.n_pairs);
    assert_int_equal(wm_buffer_add(&file, m.pairs.data, m.pairs.len), WM_OK);
    assert_int_equal(wm_buffer_add(&file, m.infos.data, m.infos.len), WM_OK);
    gguf_pad(&file);
    assert_int_equal(wm_buffer_add(&file, m.data.data, m.data.len), WM_OK);
    wm_buffer_free(&m.pairs);
    wm_buffer_free(&m.infos);
    wm_buffer_free(&m.data);
    return file;
}

char *tiny_file(const struct tiny_options *options)
{
    char *path = strdup("/tmp/wingman-tiny-XXXXXX");
    assert_non_null(path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct wm_buffer file = tiny_model(options);
    assert_int_equal(write(fd, file.data, file.len), (ssize_t)file.len);
    close(fd);
    wm_buffer_free(&file);
    return path;
}

void tiny_remove(char *path)
{
    if (path)
        unlink(path);
    free(path);
}

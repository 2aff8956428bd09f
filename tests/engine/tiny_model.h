/* tiny_model.h -- GGUF files made on the spot: a writer, and a small random llama that tests can run in no time. */
#ifndef WM_TESTS_ENGINE_TINY_MODEL_H
#define WM_TESTS_ENGINE_TINY_MODEL_H

#include "tests/check.h"

#include "kernels/base/buffer.h"

/* --- the writer: head, pairs, tensor infos, then data. Little-endian, as GGUF is. --------------------------------- */

enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_F32 = 6, GGUF_STRING = 8, GGUF_ARRAY = 9 };

void gguf_uint(struct wm_buffer *b, uint64_t value, size_t bytes);
void gguf_text(struct wm_buffer *b, const char *text); /* length and bytes */
void gguf_head(struct wm_buffer *b, uint64_t tensors, uint64_t pairs);
void gguf_pair_u32(struct wm_buffer *b, const char *key, uint32_t value);
void gguf_pair_f32(struct wm_buffer *b, const char *key, float value);
void gguf_pair_string(struct wm_buffer *b, const char *key, const char *value);
void gguf_tensor(struct wm_buffer *b, const char *name, int64_t cols, int64_t rows, uint32_t type,
                 uint64_t offset);
void gguf_pad(struct wm_buffer *b); /* to the alignment */

/* --- the model ---------------------------------------------------------------------------------------------------- */

enum {
    TINY_EOS = 2,
    TINY_BYTES = 3, /* id of byte 0; the control tokens come before */
    TINY_MERGED = TINY_BYTES + 256,
    TINY_VOCABULARY = TINY_MERGED + 4, /* he, ll, hell, hello */
    TINY_CONTEXT = 512,
    TINY_LAYERS = 2,
    TINY_WIDTH = 64,
    TINY_HEADS = 4,
    TINY_KV_HEADS = 2,
    TINY_HEAD_DIM = 16,
    TINY_HIDDEN = 96
};

struct tiny_options {
    int32_t eos;          /* 0: TINY_EOS */
    const char *template; /* NULL: chatml with a default system message */
    const char *pre;      /* NULL: smollm */
    const char *without;  /* key or tensor to leave out; NULL: none */
};

/* A whole file in memory, the same for the same options. The caller frees the buffer. */
struct wm_buffer tiny_model(const struct tiny_options *options);

/* Written to a new temporary file whose path is returned; tiny_remove deletes and frees it. */
char *tiny_file(const struct tiny_options *options);
void tiny_remove(char *path);

#endif

/* tokenizer_ranks.c -- a tokenizer from Meta's tokenizer.model: lines of "base64 rank", as tiktoken has them.
 *
 * The file holds the ordinary tokens only. The control tokens that follow them are in Meta's code, so their names are
 * here: Llama 4's 2,048 behind 200,000 ranks, Llama 3's 256 behind 128,000 (sources: tokenizer.py of models/llama4
 * and models/llama3).
 */
#include <stdio.h>
#include <string.h>

#include "engine/tokenizer_parts.h"

/* A name, or a row of them numbered from `first`. */
struct names {
    const char *text; /* with %d where the number stands */
    int first, count; /* count 1 and no %d: a name alone */
};

static const struct names llama4[] = {
    {"<|begin_of_text|>", 0, 1},
    {"<|end_of_text|>", 0, 1},
    {"<|fim_prefix|>", 0, 1},
    {"<|fim_middle|>", 0, 1},
    {"<|fim_suffix|>", 0, 1},
    {"<|header_start|>", 0, 1},
    {"<|header_end|>", 0, 1},
    {"<|eom|>", 0, 1},
    {"<|eot|>", 0, 1},
    {"<|step|>", 0, 1},
    {"<|text_post_train_reserved_special_token_%d|>", 0, 6},
    {"<|python_start|>", 0, 1},
    {"<|python_end|>", 0, 1},
    {"<|finetune_right_pad|>", 0, 1},
    {"<|text_post_train_reserved_special_token_%d|>", 8, 61},
    {"<|image_start|>", 0, 1},
    {"<|image_end|>", 0, 1},
    {"<|vision_reserved_special_token_%d|>", 0, 2},
    {"<|tile_x_separator|>", 0, 1},
    {"<|tile_y_separator|>", 0, 1},
    {"<|vision_reserved_special_token_%d|>", 2, 4},
    {"<|image|>", 0, 1},
    {"<|vision_reserved_special_token_%d|>", 6, 1},
    {"<|patch|>", 0, 1},
    {"<|vision_reserved_special_token_%d|>", 7, 1041},
    {"<|reasoning_reserved_special_token_%d|>", 0, 8},
    {"<|reasoning_thinking_start|>", 0, 1},
    {"<|reasoning_thinking_end|>", 0, 1},
    {"<|reserved_special_token_%d|>", 0, 904},
    {NULL, 0, 0},
};

static const struct names llama3[] = {
    {"<|begin_of_text|>", 0, 1},
    {"<|end_of_text|>", 0, 1},
    {"<|reserved_special_token_%d|>", 0, 2},
    {"<|finetune_right_pad_id|>", 0, 1},
    {"<|step_id|>", 0, 1},
    {"<|start_header_id|>", 0, 1},
    {"<|end_header_id|>", 0, 1},
    {"<|eom_id|>", 0, 1},
    {"<|eot_id|>", 0, 1},
    {"<|python_tag|>", 0, 1},
    {"<|image|>", 0, 1},
    {"<|reserved_special_token_%d|>", 2, 244},
    {NULL, 0, 0},
};

enum { LLAMA3_RANKS = 128000 };

static enum wm_status add_names(struct wm_tokenizer *t, const struct names *names)
{
    enum wm_status st = WM_OK;
    for (; names->text && st == WM_OK; names++)
        for (int i = 0; i < names->count && st == WM_OK; i++) {
            struct wm_buffer name = WM_BUFFER(WM_TOKEN_BYTES_MAX);
            const char *number = strstr(names->text, "%d");
            st = number ? wm_buffer_printf(&name, "%.*s%d%s", (int)(number - names->text), names->text,
                                           names->first + i, number + 2)
                        : wm_buffer_puts(&name, names->text);
            if (st == WM_OK)
                st = wm_vocabulary_add(t, name.data, name.len, WM_TOKEN_CONTROL, false);
            wm_buffer_free(&name);
        }
    return st;
}

/* --- lines ------------------------------------------------------------------------------------------------ */

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Strict base64 of text[0..len), padded; returns the number of bytes in `out` (room for len), 0 when it is none. */
static size_t decode(const char *text, size_t len, char *out)
{
    size_t n = 0;
    uint32_t bits = 0;
    size_t pad = len > 1 && text[len - 1] == '=' ? 1 + (text[len - 2] == '=') : 0;
    if (len % 4 != 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        int digit = i < len - pad ? digit_of(text[i]) : 0;
        if (digit < 0)
            return 0;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 3)
            for (int shift = 16; shift >= 0; shift -= 8)
                out[n++] = (char)(bits >> shift);
    }
    return n - pad;
}

/* "base64 rank" as the next token; its rank must be the id that it gets. */
static enum wm_status add_line(struct wm_tokenizer *t, const char *line, size_t len)
{
    char bytes[WM_TOKEN_BYTES_MAX * 2];
    const char *space = memchr(line, ' ', len);
    size_t digits = space ? (size_t)(space - line) : 0;
    if (digits == 0 || digits > WM_TOKEN_BYTES_MAX)
        return WM_EFORMAT;
    int64_t rank = 0;
    const char *at = space + 1, *end = line + len;
    if (at == end)
        return WM_EFORMAT;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || rank > WM_TOKENIZER_MAX)
            return WM_EFORMAT;
        rank = rank * 10 + (*at - '0');
    }
    size_t n = decode(line, digits, bytes);
    return n && rank == t->size ? wm_vocabulary_add(t, bytes, n, WM_TOKEN_NORMAL, false) : WM_EFORMAT;
}

enum wm_status wm_tokenizer_read_ranks(struct wm_tokenizer *t, const char *name, const char *bytes,
                                       size_t len, struct wm_error *err)
{
    static const char rule4[] = "llama4", rule3[] = "llama-bpe";
    enum wm_status st = WM_OK;
    for (size_t at = 0; at < len;) {
        const char *line_end = memchr(bytes + at, '\n', len - at);
        size_t line = line_end ? (size_t)(line_end - bytes) - at : len - at;
        size_t shown = line && bytes[at + line - 1] == '\r' ? line - 1 : line;
        st = add_line(t, bytes + at, shown);
        if (st == WM_EFORMAT)
            return wm_fail(
                err, st,
                "%s: line %d is not a token in base64 and the rank %d: Meta's tokenizer.model is read, a "
                "SentencePiece model is not",
                name, t->size + 1, t->size);
        if (st != WM_OK)
            return wm_fail(err, st, "%s: too many tokens, or no memory for them", name);
        at += line + 1;
    }
    if (t->size == 0)
        return wm_fail(err, WM_EFORMAT, "%s: no tokens in it", name);
    bool third = t->size == LLAMA3_RANKS;
    t->pre = third ? wm_pretokenizer_find(rule3, strlen(rule3)) : wm_pretokenizer_find(rule4, strlen(rule4));
    t->whole_pieces_first = t->pre->whole_pieces_first;
    st = add_names(t, third ? llama3 : llama4);
    if (st == WM_OK)
        st = wm_vocabulary_index(t);
    if (st == WM_OK)
        st = wm_vocabulary_merge_by_rank(t);
    return st == WM_OK ? st : wm_fail(err, st, "%s: no memory for %d tokens", name, t->size);
}

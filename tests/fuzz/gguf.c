/* gguf.c -- model files from strangers: container, architecture, parts, tokenizer and chat format; no weights are packed. */
#include <stddef.h>
#include <stdint.h>

#include "engine/arch_parts.h"
#include "engine/chat.h"
#include "engine/parts.h"
#include "engine/tokenizer.h"
#include "engine/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As a text model, and as the vision tower of one. */
static void read_parts(const struct wm_model_file *f)
{
    static struct wm_arch arch;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_arch_read(f, NULL, &arch, &err) == WM_OK)
        (void)wm_parts_check(&(struct wm_parts){f, NULL, &arch}, &err);
    arch =
        (struct wm_arch){.family = WM_FAMILY_LLAMA4, .width = 64, .heads = 1, .kv_heads = 1, .head_dim = 2};
    if (wm_arch_from_mmproj(f, &arch, &err) != WM_OK || wm_arch_check("fuzz", &arch, &err) != WM_OK)
        return;
    const struct wm_parts parts = {f, f, &arch};
    for (enum wm_part part = WM_PART_PATCH; part < WM_PARTS; part++) {
        struct wm_matrix m;
        if (!wm_part_is_vector(part))
            (void)wm_part_matrix(&parts, part, 0, 0, &m, &err);
    }
}

static void talk(const struct wm_chat *chat, const struct wm_tokenizer *tokenizer)
{
    static const char text[] = "<|im_end|> Hello, 12 \xf0\x9f\x98\x80\xff it's";
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokens ids = {0};
    struct wm_buffer shown = WM_BUFFER(1 << 20);
    struct wm_decoder decoder = {0};
    (void)wm_chat_render(
        chat, &(struct wm_chat_message){.role = WM_ROLE_USER, .text = text, .len = sizeof text - 1}, 1, true,
        true, &ids, &err);
    for (size_t i = 0; i < ids.n; i++)
        (void)wm_decoder_push(&decoder, tokenizer, ids.ids[i], &shown);
    wm_tokens_free(&ids);
    wm_buffer_free(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct wm_chat_options options = {.tile_tokens = 4};
    struct wm_model_file *file;
    struct wm_tokenizer *tokenizer = NULL;
    struct wm_chat *chat = NULL;
    struct wm_verified verified;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_model_file_parse("fuzz", data, size, &file, &err) != WM_OK)
        return 0;
    wm_model_file_verify(file, NULL, &verified);
    read_parts(file);
    if (wm_tokenizer_new(file, &tokenizer, &err) == WM_OK &&
        wm_chat_new(file, &options, tokenizer, &chat, &err) == WM_OK)
        talk(chat, tokenizer);
    wm_chat_free(chat);
    wm_tokenizer_free(tokenizer);
    wm_model_file_close(file);
    return 0;
}

/* gguf.c -- model files from strangers: container, shapes, tokenizer and chat format; no weights are packed. */
#include <stddef.h>
#include <stdint.h>

#include "engine/model.h"
#include "engine/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "<|im_end|> Hello, 12 \xf0\x9f\x98\x80\xff it's";
    struct wm_model_file *file;
    struct wm_model model;
    struct wm_verified verified;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_model_file_parse("fuzz", data, size, &file, &err) != WM_OK)
        return 0;
    (void)wm_model_file_verify(file, NULL, &verified, &err);
    if (wm_model_read(file, NULL, NULL, &model, &err) == WM_OK && model.chat) {
        struct wm_tokens ids = {0};
        struct wm_buffer shown = WM_BUFFER(1 << 20);
        struct wm_decoder decoder = {0};
        (void)wm_chat_render(model.chat, &(struct wm_chat_message){WM_ROLE_USER, text, sizeof text - 1}, 1,
                             true, true, &ids, &err);
        for (size_t i = 0; i < ids.n; i++)
            (void)wm_decoder_push(&decoder, model.tokenizer, ids.ids[i], &shown);
        wm_tokens_free(&ids);
        wm_buffer_free(&shown);
    }
    wm_model_close(&model);
    return 0;
}

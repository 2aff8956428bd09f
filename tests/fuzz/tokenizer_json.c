/* tokenizer_json.c -- any bytes as tokenizer.json or tokenizer.model: a sentence, or a tokenizer that tokenizes. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/chat.h"
#include "engine/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "<|eot|> a ab 123 it's\n\n \xf0\x9f\x98\x80\xff";
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokenizer *t = NULL;
    struct wm_chat *chat = NULL;
    struct wm_tokens ids = {0};
    enum wm_status st = wm_tokenizer_parse("fuzz", (const char *)data, size, &t, &err);
    if ((st == WM_OK) != (t != NULL) || (st != WM_OK) != (err.text[0] != '\0'))
        abort();
    if (!t)
        return 0;
    if (wm_tokenizer_encode(t, text, sizeof text - 1, &ids, &err) != WM_OK)
        abort();
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] < 0 || ids.ids[i] >= wm_tokenizer_size(t))
            abort();
    (void)wm_chat_new(NULL, &(struct wm_chat_options){0}, t, &chat, &err);
    wm_chat_free(chat);
    wm_tokens_free(&ids);
    wm_tokenizer_free(t);
    return 0;
}

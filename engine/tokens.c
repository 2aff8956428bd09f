/* tokens.c -- see tokens.h. Capacity doubles. */
#include "engine/tokens.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

enum wm_status wm_tokens_add(struct wm_tokens *t, const int32_t *ids, size_t n)
{
    size_t max = t->max ? t->max : WM_TOKENS_MAX;
    if (n > max || t->n > max - n)
        return WM_ELIMIT;
    if (t->n + n > t->cap) {
        size_t cap = t->cap ? t->cap : FIRST_CAPACITY;
        while (cap < t->n + n)
            cap *= 2;
        int32_t *grown = realloc(t->ids, cap * sizeof *grown);
        if (!grown)
            return WM_ENOMEM;
        t->ids = grown;
        t->cap = cap;
    }
    if (n)
        memcpy(t->ids + t->n, ids, n * sizeof *ids);
    t->n += n;
    return WM_OK;
}

void wm_tokens_free(struct wm_tokens *t)
{
    free(t->ids);
    size_t max = t->max;
    *t = (struct wm_tokens){.max = max};
}

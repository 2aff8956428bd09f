/* tokens.h -- a list of token ids that grows, up to a ceiling. One owner at a time. */
#ifndef WM_ENGINE_TOKENS_H
#define WM_ENGINE_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

struct wm_tokens {
    int32_t *ids; /* NULL until the first */
    size_t n, cap;
    size_t max; /* ceiling of n; 0 means WM_TOKENS_MAX */
};

enum { WM_TOKENS_MAX = 16 << 20 };

/* WM_ELIMIT past the ceiling, WM_ENOMEM; unchanged on failure. */
enum wm_status wm_tokens_add(struct wm_tokens *t, const int32_t *ids, size_t n);
void wm_tokens_free(struct wm_tokens *t);

#endif

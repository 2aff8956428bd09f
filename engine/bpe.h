/* bpe.h -- byte-pair merges over one piece of text. */
#ifndef WM_ENGINE_BPE_H
#define WM_ENGINE_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/tokens.h"
#include "kernels/base/error.h"

struct wm_merges; /* the table: pair of ids -> rank and joined id */

struct wm_merges *wm_merges_new(void);    /* NULL: no memory */
void wm_merges_free(struct wm_merges *m); /* NULL is fine */

/* The first rule for a pair counts; later ones change nothing. WM_ENOMEM. */
enum wm_status wm_merges_add(struct wm_merges *m, int32_t left, int32_t right, int32_t rank, int32_t joined);

struct wm_bpe; /* scratch memory, reused from piece to piece; one thread at a time */

struct wm_bpe *wm_bpe_new(const struct wm_merges *merges); /* borrows the table */
void wm_bpe_free(struct wm_bpe *b);                        /* NULL is fine */

/* Merges ids[0..n) until no rule fits, lowest rank first, leftmost among equals, and appends the result. */
enum wm_status wm_bpe_merge(struct wm_bpe *b, const int32_t *ids, size_t n, struct wm_tokens *out);

#endif

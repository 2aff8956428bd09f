/* kv_size.h -- how the memory for KV is divided between the layer groups. Design: kv_size.c. Any thread. */
#ifndef WM_ENGINE_KV_SIZE_H
#define WM_ENGINE_KV_SIZE_H

#include "engine/kv_cache.h"

/* Fills options->blocks from `ceiling` bytes. `block_bytes` is 0 for a group without layers; options->chunk
 * and reach are given. *context shrinks to what one conversation can hold. False: not even one block of each
 * fits. */
bool wm_kv_size(size_t ceiling, const size_t block_bytes[WM_KV_GROUPS], struct wm_kv_cache_options *options,
                int32_t *context);

#endif

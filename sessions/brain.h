/* brain.h -- the few engine functions that sessions calls, as a struct, so that a test can think without a model.
 * The contracts are those of the functions of the same name in engine/engine.h.
 */
#ifndef WM_SESSIONS_BRAIN_H
#define WM_SESSIONS_BRAIN_H

#include <stdatomic.h>

#include "engine/engine.h"

struct wm_brain {
    void *self;
    const char *fingerprint;
    int context; /* tokens */
    bool sees_pictures;
    enum wm_status (*render)(void *self, const struct wm_chat_message *messages, size_t n, bool first,
                             bool open_reply, struct wm_tokens *out, struct wm_error *err);
    enum wm_status (*close_reply)(void *self, struct wm_tokens *out, struct wm_error *err);
    enum wm_status (*submit)(void *self, const struct wm_generate *g, uint64_t *request,
                             struct wm_error *err);
    void (*cancel)(void *self, uint64_t request);
    struct wm_kv_bytes (*kv_of)(void *self, uint64_t owner);
    enum wm_status (*look)(void *self, const char *path, struct wm_picture *out, struct wm_error *err);
};

/* The engine behind that face. `e` is borrowed and outlives the brain. */
struct wm_brain wm_brain_of(struct wm_engine *e);

/* The brains of all channels, each once. Appended to by one thread at a time, read by any: a brain keeps its address. */
enum { WM_BRAINS = 64 };

struct wm_brains {
    struct wm_brain all[WM_BRAINS];
    _Atomic size_t n;
};

/* The brain with that `self`, added when it is new; NULL past WM_BRAINS. */
const struct wm_brain *wm_brains_take(struct wm_brains *brains, const struct wm_brain *brain);

/* KV bytes held for that owner by all of them. */
struct wm_kv_bytes wm_brains_kv_of(struct wm_brains *brains, uint64_t owner);

#endif

/* models.h -- the models that the bots think with, each opened once however many bots name it. Main thread; the engines
 * themselves take any thread.
 */
#ifndef WM_GATEWAY_MODELS_H
#define WM_GATEWAY_MODELS_H

#include "engine/engine.h"
#include "gateway/settings.h"

struct wm_open_model {
    const struct wm_settings_model *settings; /* borrowed from those that the set was made of */
    struct wm_engine *engine;
    char label[96]; /* for /metrics: the model's name; a second one of that name gets a number */
};

struct wm_model_set {
    struct wm_open_model models[WM_SETTINGS_BOTS];
    size_t n;
};

/* Opens the models of all bots; `settings` outlives the set. Progress 0..100 of each in turn; may be NULL. A model whose chat
 * format we do not know is refused here, not at the first message. */
enum wm_status wm_model_set_open(const struct wm_settings *settings, void (*progress)(void *arg, int percent),
                                 void *arg, struct wm_model_set *out, struct wm_error *err);

/* The engine that was opened with these very settings; NULL: none. */
struct wm_engine *wm_model_set_find(const struct wm_model_set *set, const struct wm_settings_model *model);

void wm_model_set_close(struct wm_model_set *set); /* a zeroed one is fine */

#endif

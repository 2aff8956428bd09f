/* arch_parts.h -- what the readers of architectures (arch_gguf.c, arch_mmproj.c, arch_config*.c) share;
 * arch.c calls them. */
#ifndef WM_ENGINE_ARCH_PARTS_H
#define WM_ENGINE_ARCH_PARTS_H

#include "engine/arch.h"
#include "engine/config_json.h"

enum { WM_DEFAULT_MAX_TILES = 16 };
#define WM_MAX_ROPE_BASE 1e12

/* What is done to the angles of rope. */
enum wm_rope_rule { WM_ROPE_RULE_NONE, WM_ROPE_RULE_LINEAR, WM_ROPE_RULE_LLAMA3 };

struct wm_rope_scaling {
    enum wm_rope_rule rule;
    double factor; /* >= 1: slow pairs turn that much slower */
    double low, high;
    double original; /* context of the first training, positions */
};

/* Fills inv_freq from rope_base and head_dim. */
void wm_arch_rope(struct wm_arch *a, const struct wm_rope_scaling *scaling);

/* Each fills *out, which is empty, and leaves what concerns all of them to wm_arch_check. */
enum wm_status wm_arch_from_gguf(const struct wm_model_file *f, struct wm_arch *out, struct wm_error *err);
enum wm_status wm_arch_from_mmproj(const struct wm_model_file *f, struct wm_arch *out, struct wm_error *err);
enum wm_status wm_arch_from_config_text(const char *name, const char *text, size_t len, struct wm_arch *out,
                                        struct wm_error *err);
enum wm_status wm_arch_vision_from_config(const struct wm_config *c, struct wm_vision_arch *v);
/* preprocessor_config.json: how many tiles a picture may have; its tile must be the tower's. */
enum wm_status wm_arch_from_preprocessor(const char *name, const char *text, size_t len, struct wm_arch *out,
                                         struct wm_error *err);

/* The sizes fit each other, and all weights together number less than 2^59. `name` is for the sentence. */
enum wm_status wm_arch_check(const char *name, const struct wm_arch *a, struct wm_error *err);

#endif

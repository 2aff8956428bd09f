/* model.h -- a model ready to run: its files, tokenizer, chat format, and forward program on one face.
 *
 * Text work (tokenizer, chat) may be done from any thread. Everything that touches `ops`, `backend`,
 * `program` or `vision` belongs to one thread at a time.
 */
#ifndef WM_ENGINE_MODEL_H
#define WM_ENGINE_MODEL_H

#include "engine/chat.h"
#include "engine/model_file.h"
#include "engine/program.h"
#include "engine/tokenizer.h"
#include "engine/vision.h"
#include "kernels/ops.h"

enum { WM_FINGERPRINT_BYTES = 33 }; /* 32 hexadecimal digits and NUL */

struct wm_model {
    struct wm_model_file *file;
    struct wm_model_file *projector; /* NULL: the vision tower, if any, lies in `file` */
    struct wm_arch *arch;
    struct wm_parts parts;
    struct wm_tokenizer *tokenizer;
    struct wm_chat *chat;       /* NULL when the file's template is not one we know; */
    struct wm_error chat_error; /* then this says so */
    int32_t patch_id; /* the token whose place a row of a picture takes; -1: the model does not see */
    const struct wm_ops *ops;
    struct wm_backend *backend;
    struct wm_program *program;
    struct wm_vision *vision; /* NULL: the model does not see */
    char name[128];           /* for people: printable */
    char fingerprint[WM_FINGERPRINT_BYTES];
};

struct wm_model_options {
    const char *path;
    const char *projector;                    /* a GGUF with the vision tower; NULL: none beside `path` */
    const char *backend;                      /* "auto", or a face's name */
    const char *chat_format;                  /* as wm_engine_options has it */
    int threads;                              /* 0: wm_threads decides */
    int32_t max_rows;                         /* of one run */
    void (*progress)(void *arg, int percent); /* may be NULL */
    void *arg;
};

/* The threads that compute when `asked` is 0: as many as the machine has cores, at most 8. Any thread. */
int wm_threads(int asked);

/* Fills *m, which wm_model_close empties again, also after a failure. */
enum wm_status wm_model_open(const struct wm_model_options *options, struct wm_model *m,
                             struct wm_error *err);
void wm_model_close(struct wm_model *m);

/* As wm_engine_look. Any thread. */
enum wm_status wm_model_look(const struct wm_model *m, const char *path, struct wm_picture *out,
                             struct wm_error *err);

/* Packed, beyond the mapping; grows as experts are used. */
size_t wm_model_weight_bytes(const struct wm_model *m);

/* The part of opening that believes nothing: files, architecture, tokenizer, chat format, shapes of all
 * tensors; no weights are packed. Takes both files, `projector` may be NULL; wm_model_close is due, also
 * after a failure. */
enum wm_status wm_model_read(struct wm_model_file *file, struct wm_model_file *projector,
                             const char *chat_format, struct wm_model *m, struct wm_error *err);

#endif

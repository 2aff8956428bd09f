/* model_file_parts.h -- what the readers of containers fill in; only model_file*.c and the readers include it. */
#ifndef WM_ENGINE_MODEL_FILE_PARTS_H
#define WM_ENGINE_MODEL_FILE_PARTS_H

#include "engine/model_file.h"

enum {
    WM_FILE_MAX_TENSORS = 1 << 20, /* of a model */
    WM_FILE_MAX_NAME = 255,        /* bytes of a key's or tensor's name */
    WM_FILE_MAX_PIECES = 4096      /* files of a model */
};

/* One file: mapped, or the caller's memory. */
struct wm_piece {
    char *name; /* owned: its path, or its name in memory */
    const uint8_t *bytes;
    size_t len;
    bool mapped;
};

/* What a container holds. Names are owned, everything else points into a piece. */
struct wm_contents {
    struct wm_meta *metas;
    size_t n_metas;
    struct wm_tensor *tensors;
    size_t n_tensors;
};

struct wm_model_file {
    char *name;
    char form[40];
    struct wm_piece *pieces;
    size_t n_pieces;
    struct wm_piece *documents; /* named by their last part */
    size_t n_documents;
    struct wm_contents contents; /* sorted by key and name */
};

/* --- pieces (model_file_open.c) ------------------------------------------------------------------------- */

/* Where the files of a model are looked for: in a folder, or, when that is NULL, in memory. */
struct wm_source {
    const char *folder;
    const struct wm_model_member *members;
    size_t count;
};

/* WM_ENOENT: not there; WM_ELIMIT: larger than `max` bytes. */
enum wm_status wm_piece_open(const struct wm_source *source, const char *name, uint64_t max,
                             struct wm_piece *out, struct wm_error *err);
void wm_piece_close(struct wm_piece *p);

/* Makes `piece` one of the file's; takes it, also on failure. The reference is good until the next call. */
enum wm_status wm_model_file_keep(struct wm_model_file *f, struct wm_piece *piece,
                                  const struct wm_piece **kept, struct wm_error *err);

/* --- contents (model_file.c) ---------------------------------------------------------------------------- */

void wm_contents_free(struct wm_contents *c);

/* Every byte is visible ASCII: not a space either, so that a name can be quoted bare. */
bool wm_is_printable(const char *bytes, size_t len);

/* `path` is `name`, or ends in a folder's `/` and `name`. */
bool wm_is_file(const char *path, const char *name);

/* Sorts the tensors as they lie in their file, for a reader that compares neighbours. */
void wm_contents_by_place(struct wm_contents *c);

/* Sorts by key and by name, so that lookup is a binary search; refuses doubles. */
enum wm_status wm_contents_index(struct wm_contents *c, const char *name, struct wm_error *err);

/* Moves the tensors of `from` behind those of `to` and empties `from`. */
enum wm_status wm_contents_add_tensors(struct wm_contents *to, struct wm_contents *from,
                                       struct wm_error *err);

/* --- containers ----------------------------------------------------------------------------------------- */

/* Reads one GGUF file into *out, which is empty. On failure the caller frees what is there. */
enum wm_status wm_gguf_read(const struct wm_piece *piece, struct wm_contents *out, uint32_t *version,
                            struct wm_error *err);

/* Reads a split GGUF, of which `name` is any part: all its parts are found in `source` and kept. */
enum wm_status wm_gguf_read_parts(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                  struct wm_error *err);

/* Reads one safetensors file. As wm_gguf_read; there is no metadata. */
enum wm_status wm_safetensors_read(const struct wm_piece *piece, struct wm_contents *out,
                                   struct wm_error *err);

/* Reads a Hugging Face folder: its safetensors files and documents. */
enum wm_status wm_folder_read(struct wm_model_file *f, const struct wm_source *source, struct wm_error *err);

/* Size in bytes of one element of GGUF value type `type`; 0 for strings, arrays and unknown types. */
size_t wm_gguf_scalar_bytes(uint32_t type);
int64_t wm_gguf_scalar_int(uint32_t type, const uint8_t *at);
double wm_gguf_scalar_float(uint32_t type, const uint8_t *at);

/* Steps over one GGUF string at *at, which the reader has already checked. */
void wm_gguf_step_string(const uint8_t **at, const char **bytes, size_t *len);

#endif

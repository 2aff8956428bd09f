/* parts.c -- see parts.h. From a part to the tensor that holds it, and to the matrix within the tensor.
 *
 * HOW     A table for each kind of container (parts_names.c) gives a part's name and how it lies in its
 *         tensor. The tensor's shape must be exactly the one that the architecture asks for; then place,
 *         stride and order follow from it. Whether a matrix is quantised, and how, is decided tensor by
 *         tensor, by its type and by what lies beside it (parts_scales.c), never by a list in a config.
 *
 * ALWAYS  A part that is found is wholly inside its tensor.
 */
#include "engine/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/parts_names.h"
#include "engine/parts_scales.h"

enum { SHAPE_BYTES = 96 };

static const struct wm_model_file *file_of(const struct wm_parts *p, enum wm_part part)
{
    return p->projector && wm_part_is_vision(part) ? p->projector : p->text;
}

static const char *text_prefix(const struct wm_model_file *f)
{
    return wm_model_file_tensor(f, "language_model.model.embed_tokens.weight") ? "language_model." : "";
}

/* Writes `stem` with what its signs stand for, and `suffix` behind. */
static void spell(char name[WM_PART_NAME_BYTES], const char *stem, const char *prefix, int32_t layer,
                  int32_t expert, const char *suffix)
{
    size_t n = 0;
    for (; *stem && n < WM_PART_NAME_BYTES - 1; stem++) {
        size_t room = WM_PART_NAME_BYTES - n;
        int len = *stem == '^'   ? snprintf(name + n, room, "%s", prefix)
                  : *stem == '#' ? snprintf(name + n, room, "%d", layer)
                  : *stem == '@' ? snprintf(name + n, room, "%d", expert)
                                 : snprintf(name + n, room, "%c", *stem);
        n += (size_t)len;
    }
    if (n < WM_PART_NAME_BYTES)
        snprintf(name + n, WM_PART_NAME_BYTES - n, "%s", suffix);
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* Fills `out` for the row of the table; false when its tensor is not there. */
static bool look(const struct wm_model_file *f, const struct wm_part_place *place, int32_t layer,
                 int32_t expert, struct wm_found_part *out)
{
    *out = (struct wm_found_part){.file = f, .place = place};
    spell(out->stem, place->stem, text_prefix(f), layer, expert, "");
    if (place->at & WM_AT_BARE) {
        out->weight = wm_model_file_tensor(f, out->stem);
        return out->weight != NULL;
    }
    out->weight = wm_part_beside(out, ".weight");
    if (!out->weight && !wm_model_file_is_gguf(f)) {
        out->weight = wm_part_beside(out, ".weight_packed");
        out->packed = out->weight != NULL;
    }
    return out->weight != NULL;
}

static bool in_family(const struct wm_part_place *place, enum wm_family family)
{
    unsigned only = place->at & (WM_AT_LLAMA | WM_AT_LLAMA4);
    return !only || only == (family == WM_FAMILY_LLAMA4 ? WM_AT_LLAMA4 : WM_AT_LLAMA);
}

/* A part that is not there: the sentence names the tensor that should be. Where experts come one by one, that
 * is this expert's own. */
static enum wm_status missing(const struct wm_model_file *f, const struct wm_part_place *place, int32_t layer,
                              int32_t expert, const char *suffix, struct wm_error *err)
{
    char name[WM_PART_NAME_BYTES];
    spell(name, place->stem, text_prefix(f), layer, expert, suffix);
    return wm_fail(err, WM_EFORMAT,
                   "%s: tensor %s is missing: the file is not whole, or made for another architecture",
                   wm_model_file_name(f), name);
}

static enum wm_status find(const struct wm_parts *p, enum wm_part part, int32_t layer, int32_t expert,
                           struct wm_found_part *out, struct wm_error *err)
{
    if (part == WM_PART_OUTPUT && p->arch->tied)
        part = WM_PART_EMBEDDING;
    const struct wm_model_file *f = file_of(p, part);
    const struct wm_part_place *first = NULL;
    for (const struct wm_part_place *row = wm_model_file_is_gguf(f) ? wm_places_gguf : wm_places_hf;
         row->stem; row++) {
        if (row->part != part || !in_family(row, p->arch->family))
            continue;
        if (look(f, row, layer, expert, out))
            return WM_OK;
        struct wm_found_part other;
        if (!first || look(f, row, layer, 0, &other))
            first = row;
    }
    return missing(f, first, layer, expert, first->at & WM_AT_BARE ? "" : ".weight", err);
}

/* --- shape and place ------------------------------------------------------------------------------------ */

/* In the order in which the container itself writes dimensions. */
static const char *show_shape(char text[SHAPE_BYTES], bool reversed, int n, const int64_t *dims)
{
    size_t at = 0;
    for (int d = 0; d < n && at < SHAPE_BYTES; d++)
        at += (size_t)snprintf(text + at, SHAPE_BYTES - at, "%s%lld", d ? ", " : "",
                               (long long)dims[reversed ? n - 1 - d : d]);
    return text;
}

/* The tensor has exactly the dimensions `want`. */
static enum wm_status check_shape(const struct wm_found_part *x, const struct wm_tensor *t, int n,
                                  const int64_t want[WM_TENSOR_DIMS], struct wm_error *err)
{
    char is[SHAPE_BYTES], asked[SHAPE_BYTES];
    if (memcmp(t->dims, want, sizeof t->dims) == 0)
        return WM_OK;
    bool reversed = !wm_model_file_is_gguf(x->file);
    return wm_fail(
        err, WM_EFORMAT,
        "%s: tensor %s is [%s], the architecture asks for [%s]: config and weights contradict each other",
        wm_model_file_name(x->file), t->name, show_shape(is, reversed, t->n_dims, t->dims),
        show_shape(asked, reversed, n, want));
}

static enum wm_status unreadable(const struct wm_found_part *x, const struct wm_tensor *t,
                                 struct wm_error *err)
{
    const char *type = wm_tensor_type_name(t->type);
    return wm_fail(
        err, WM_EUNSUPPORTED,
        "%s: tensor %s has type %u (%s), which this build cannot compute with; `wingman model info` lists "
        "the types",
        wm_model_file_name(x->file), t->name, t->type, type ? type : "unknown");
}

/* A packed matrix: eight codes of 4 bits in each number. */
static enum wm_status fill_packed(const struct wm_found_part *x, int64_t rows, int64_t cols,
                                  struct wm_matrix *out, struct wm_error *err)
{
    const struct wm_type_info *info = wm_type_info(WM_TYPE_I4);
    const int64_t want[WM_TENSOR_DIMS] = {(cols + info->block - 1) / info->block, rows, 1, 1};
    enum wm_status st = x->weight->type == WM_PLAIN_I32 ? WM_OK : unreadable(x, x->weight, err);
    if (st == WM_OK)
        st = check_shape(x, x->weight, 2, want, err);
    if (st == WM_OK && cols % info->block)
        st = wm_fail(err, WM_EUNSUPPORTED, "%s: tensor %s holds rows of %lld codes, not a multiple of %u",
                     wm_model_file_name(x->file), x->weight->name, (long long)cols, info->block);
    *out = (struct wm_matrix){
        .data = x->weight->data, .type = WM_TYPE_I4, .rows = rows, .cols = cols, .mapped = x->weight->mapped};
    return st;
}

static enum wm_status fill_plain(const struct wm_found_part *x, int64_t rows, int64_t cols, int32_t expert,
                                 int32_t experts, struct wm_matrix *out, struct wm_error *err)
{
    unsigned at = x->place->at;
    const struct wm_type_info *info = wm_type_info(x->weight->type);
    int64_t held =
        at & (WM_AT_FIRST | WM_AT_SECOND) ? 2 * rows : rows; /* rows in the tensor, of one expert */
    bool flipped = at & WM_AT_FLIPPED;
    const int64_t want[WM_TENSOR_DIMS] = {flipped ? held : cols, flipped ? cols : held,
                                          at & WM_AT_STACKED ? experts : 1, 1};
    enum wm_status st = info ? WM_OK : unreadable(x, x->weight, err);
    if (st == WM_OK)
        st = check_shape(x, x->weight, at & WM_AT_STACKED ? 3 : rows == 1 ? 1 : 2, want, err);
    if (st != WM_OK)
        return st;
    /* Elements before ours: the experts before it, and the first half. */
    int64_t skip = (at & WM_AT_STACKED ? expert : 0) * held * cols;
    if (at & WM_AT_SECOND)
        skip += flipped ? rows : rows * cols;
    *out = (struct wm_matrix){.data = (const char *)x->weight->data + skip / info->block * info->bytes,
                              .type = info->type,
                              .rows = rows,
                              .cols = cols,
                              .transposed = flipped,
                              .stride = flipped ? held : 0,
                              .mapped = x->weight->mapped};
    return WM_OK;
}

static enum wm_status read_matrix(const struct wm_parts *p, enum wm_part part, int32_t layer, int32_t expert,
                                  struct wm_found_part *x, struct wm_matrix *out, struct wm_error *err)
{
    int64_t rows, cols;
    wm_part_size(p->arch, part, &rows, &cols);
    enum wm_status st = find(p, part, layer, expert, x, err);
    if (st == WM_OK)
        st = x->packed ? fill_packed(x, rows, cols, out, err)
                       : fill_plain(x, rows, cols, expert, p->arch->experts, out, err);
    return st == WM_OK ? wm_part_scales(x, expert, p->arch->experts, out, err) : st;
}

enum wm_status wm_part_matrix(const struct wm_parts *p, enum wm_part part, int32_t layer, int32_t expert,
                              struct wm_matrix *out, struct wm_error *err)
{
    struct wm_found_part x;
    return read_matrix(p, part, layer, expert, &x, out, err);
}

/* --- vectors -------------------------------------------------------------------------------------------- */

static enum wm_status find_vector(const struct wm_parts *p, enum wm_part part, int32_t layer, bool bias,
                                  struct wm_found_part *x, const struct wm_tensor **out, struct wm_error *err)
{
    int64_t rows, cols;
    wm_part_size(p->arch, part, &rows, &cols);
    enum wm_status st = find(p, part, layer, 0, x, err);
    if (st != WM_OK)
        return st;
    const struct wm_tensor *t = bias ? wm_part_beside(x, ".bias") : x->weight;
    const int64_t want[WM_TENSOR_DIMS] = {bias && !wm_part_is_vector(part) ? rows : cols, 1, 1, 1};
    if (!t)
        return missing(x->file, x->place, layer, 0, ".bias", err);
    const struct wm_type_info *info = wm_type_info(t->type);
    if (!info || info->block != 1)
        return unreadable(x, t, err);
    *out = t;
    return check_shape(x, t, 1, want, err);
}

enum wm_status wm_part_vector(const struct wm_parts *p, enum wm_part part, int32_t layer, bool bias,
                              float *out, struct wm_error *err)
{
    struct wm_found_part x;
    const struct wm_tensor *t = NULL;
    enum wm_status st = find_vector(p, part, layer, bias, &x, &t, err);
    if (st == WM_OK)
        wm_dequantize((enum wm_type)t->type, t->data, (size_t)t->dims[0], out);
    return st;
}

/* --- the whole model ------------------------------------------------------------------------------------ */

/* Which tensors of a file some part is made of. */
struct usage {
    const struct wm_model_file *f;
    bool *used;
};

static void mark(struct usage *u, const struct wm_tensor *t)
{
    if (t)
        u->used[t - wm_model_file_tensor_at(u->f, 0)] = true;
}

static enum wm_status check_part(const struct wm_parts *p, enum wm_part part, struct usage *u,
                                 struct wm_error *err)
{
    struct wm_found_part x;
    struct wm_matrix m;
    const struct wm_tensor *t = NULL;
    enum wm_status st = WM_OK;
    for (int32_t l = 0; l < wm_part_layers(p->arch, part); l++)
        for (int32_t e = 0; e < wm_part_copies(p->arch, part, l); e++) {
            st = wm_part_is_vector(part) ? find_vector(p, part, l, false, &x, &t, err)
                                         : read_matrix(p, part, l, e, &x, &m, err);
            if (st != WM_OK)
                return st;
            mark(u, x.weight);
            mark(u, x.scale);
            mark(u, x.shape);
            if (!wm_part_has_bias(part))
                continue;
            if ((st = find_vector(p, part, l, true, &x, &t, err)) != WM_OK)
                return st;
            mark(u, t);
        }
    return st;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), len = strlen(end);
    return n >= len && strcmp(name + n - len, end) == 0;
}

/* Tensors that no program needs: what the architecture has read already, what is computed anew, what
 * quantises activations and caches (ours stay whole), and an output matrix beside tied embeddings, which
 * transformers ignores too. */
static bool is_needless(const struct wm_arch *a, const char *name)
{
    static const char *const ends[] = {
        "rope_freqs.weight", ".rotary_emb.inv_freq", ".rotary_embedding.freqs_ci",
        "input_scale",       ".output_scale",        ".k_scale",
        ".v_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i]))
            return true;
    return a->tied && ends_with(name, "lm_head.weight");
}

static enum wm_status check_file(const struct wm_parts *p, const struct wm_model_file *f,
                                 struct wm_error *err)
{
    size_t n = wm_model_file_tensors(f);
    struct usage u = {.f = f, .used = calloc(n + 1, sizeof *u.used)};
    if (!u.used)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to check %zu tensors", wm_model_file_name(f), n);
    enum wm_status st = WM_OK;
    for (enum wm_part part = 0; part < WM_PARTS && st == WM_OK; part++)
        if (file_of(p, part) == f)
            st = check_part(p, part, &u, err);
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        const char *name = wm_model_file_tensor_at(f, i)->name;
        if (!u.used[i] && !is_needless(p->arch, name))
            st = wm_fail(
                err, WM_EUNSUPPORTED,
                "%s: tensor %s is no part of a %s model as this build knows it; leaving it out would give "
                "wrong answers",
                wm_model_file_name(f), name, wm_family_name(p->arch->family));
    }
    free(u.used);
    return st;
}

enum wm_status wm_parts_check(const struct wm_parts *p, struct wm_error *err)
{
    enum wm_status st = check_file(p, p->text, err);
    return st == WM_OK && p->projector ? check_file(p, p->projector, err) : st;
}

uint64_t wm_part_bytes(const struct wm_parts *p, enum wm_part part)
{
    uint64_t bytes = 0;
    for (int32_t l = 0; l < wm_part_layers(p->arch, part); l++)
        for (int32_t e = 0; e < wm_part_copies(p->arch, part, l); e++) {
            struct wm_found_part x;
            struct wm_error err = WM_ERROR_INIT;
            if (find(p, part, l, e, &x, &err) != WM_OK)
                return 0;
            uint64_t sharers = (x.place->at & WM_AT_STACKED ? (uint64_t)p->arch->experts : 1) *
                               (x.place->at & (WM_AT_FIRST | WM_AT_SECOND) ? 2 : 1);
            const struct wm_tensor *scale = wm_part_scale_tensor(&x);
            const struct wm_tensor *bias = wm_part_has_bias(part) ? wm_part_beside(&x, ".bias") : NULL;
            bytes += (x.weight->bytes + (scale ? scale->bytes : 0)) / sharers + (bias ? bias->bytes : 0);
        }
    return bytes;
}

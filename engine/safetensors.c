/* safetensors.c -- reads a safetensors file that may be cut, broken or hostile.
 *
 *     u64 length of the header | header: JSON, one object | data
 *
 * HOW     The length is compared with the file before anything is read; the header goes through jansson,
 *         which refuses names that come twice. Each tensor's dimensions are multiplied with overflow checks
 *         and must give exactly the bytes of its range. Then the ranges, in the order of their beginnings,
 *         must cover the data without a hole, an overlap or a rest, as the format demands (source:
 *         huggingface/safetensors): a file cut short or grown is seen without reading it.
 *
 * ALWAYS  (1) No pointer that leaves here reaches outside the file.
 *         (2) Names are printable ASCII, so that a sentence may hold them.
 *
 * LIMITS  A header of 100 MB (the format's own), WM_FILE_MAX_TENSORS tensors, 4 dimensions, none of them 0. A
 *         scalar ([]) counts as one dimension of 1. Types are those of kernels/types.h and WM_PLAIN_TYPES;
 *         others are refused by name.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_file_parts.h"

enum { HEAD = 8, MAX_HEADER = 100000000 };

static const struct {
    const char *name;
    uint32_t type, bytes;
} types[] = {{"F32", WM_TYPE_F32, 4},
             {"F16", WM_TYPE_F16, 2},
             {"BF16", WM_TYPE_BF16, 2},
             {"F8_E4M3", WM_TYPE_F8_E4M3, 1},
#define X(id, number, name, bytes) {name, number, bytes},
             WM_PLAIN_TYPES(X)
#undef X
};

struct reader {
    const struct wm_piece *piece;
    const uint8_t *data; /* behind the header */
    uint64_t len;
    struct wm_error *err;
};

#define MALFORMED(r, format, ...)                                                                            \
    wm_fail((r)->err, WM_EFORMAT, "%s: malformed safetensors: " format, (r)->piece->name, __VA_ARGS__)

static bool is_good_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= WM_FILE_MAX_NAME && wm_is_printable(name, len);
}

static enum wm_status read_type(const struct reader *r, const json_t *entry, struct wm_tensor *t,
                                uint32_t *each)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name)
        return MALFORMED(r, "tensor %s has no dtype", t->name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) {
            t->type = types[i].type;
            *each = types[i].bytes;
            return WM_OK;
        }
    return wm_fail(r->err, WM_EUNSUPPORTED,
                   "%s: tensor %s has dtype %.20s, which this build does not know: convert it to BF16",
                   r->piece->name, t->name, is_good_name(name) ? name : "?");
}

/* The last dimension of the shape is a row's length: ours are in the opposite order. */
static enum wm_status read_shape(const struct reader *r, const json_t *entry, struct wm_tensor *t,
                                 uint32_t each)
{
    const json_t *shape = json_object_get(entry, "shape");
    size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n > WM_TENSOR_DIMS)
        return MALFORMED(r, "tensor %s needs a shape of at most %d dimensions", t->name, WM_TENSOR_DIMS);
    t->n_dims = n ? (int)n : 1;
    int64_t elements = 1, bytes;
    for (size_t d = 0; d < WM_TENSOR_DIMS; d++) {
        const json_t *dim = d < n ? json_array_get(shape, n - 1 - d) : NULL;
        t->dims[d] = dim ? json_integer_value(dim) : 1;
        if (t->dims[d] < 1 || (dim && !json_is_integer(dim)))
            return MALFORMED(r, "dimension %zu of tensor %s is not a whole number above 0", n - 1 - d,
                             t->name);
        if (__builtin_mul_overflow(elements, t->dims[d], &elements))
            return MALFORMED(r, "the dimensions of tensor %s multiply past 2^63", t->name);
    }
    if (__builtin_mul_overflow(elements, (int64_t)each, &bytes))
        return MALFORMED(r, "tensor %s claims more than 2^63 bytes", t->name);
    t->bytes = (uint64_t)bytes;
    return WM_OK;
}

static enum wm_status read_range(const struct reader *r, const json_t *entry, struct wm_tensor *t)
{
    const json_t *range = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(range, 0), *last = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return MALFORMED(r, "tensor %s needs data_offsets of two whole numbers", t->name);
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin)
        return MALFORMED(r, "tensor %s claims the bytes %lld to %lld", t->name, (long long)begin,
                         (long long)end);
    if ((uint64_t)end > r->len)
        return MALFORMED(r,
                         "tensor %s ends at byte %lld of %llu bytes of data: the file is cut short, fetch it "
                         "again",
                         t->name, (long long)end, (unsigned long long)r->len);
    if ((uint64_t)(end - begin) != t->bytes)
        return MALFORMED(r, "tensor %s has %lld bytes where its shape and dtype need %llu", t->name,
                         (long long)(end - begin), (unsigned long long)t->bytes);
    t->data = r->data + begin;
    return WM_OK;
}

static enum wm_status read_tensor(const struct reader *r, const char *name, const json_t *entry,
                                  struct wm_tensor *t)
{
    uint32_t each = 0;
    if (!is_good_name(name))
        return MALFORMED(r, "a tensor's name must be 1 to %d printable ASCII characters", WM_FILE_MAX_NAME);
    t->name = strdup(name);
    t->file = r->piece->name;
    t->mapped = r->piece->mapped;
    if (!t->name)
        return wm_fail(r->err, WM_ENOMEM, "%s: no memory for its names", r->piece->name);
    enum wm_status st = json_is_object(entry)
                            ? read_type(r, entry, t, &each)
                            : MALFORMED(r, "the entry of tensor %s is not an object", t->name);
    if (st == WM_OK)
        st = read_shape(r, entry, t, each);
    return st == WM_OK ? read_range(r, entry, t) : st;
}

/* Each byte of the data belongs to one tensor. */
static enum wm_status check_cover(const struct reader *r, struct wm_contents *c)
{
    const uint8_t *at = r->data;
    wm_contents_by_place(c);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct wm_tensor *t = &c->tensors[i];
        if ((const uint8_t *)t->data < at)
            return MALFORMED(r, "tensor %s shares bytes with %s", t->name, c->tensors[i - 1].name);
        if ((const uint8_t *)t->data > at)
            return MALFORMED(r, "the bytes before tensor %s belong to no tensor", t->name);
        at += t->bytes;
    }
    if (at != r->data + r->len)
        return MALFORMED(r, "%zu bytes behind the last tensor belong to none",
                         (size_t)(r->data + r->len - at));
    return WM_OK;
}

static enum wm_status read_entries(const struct reader *r, json_t *header, struct wm_contents *c)
{
    const char *name;
    json_t *entry;
    size_t n = json_object_size(header);
    if (n > WM_FILE_MAX_TENSORS)
        return wm_fail(r->err, WM_ELIMIT, "%s: %zu tensors, at most %d are read", r->piece->name, n,
                       WM_FILE_MAX_TENSORS);
    c->tensors = calloc(n + 1, sizeof *c->tensors); /* + 1: never a zero size */
    if (!c->tensors)
        return wm_fail(r->err, WM_ENOMEM, "%s: no memory for %zu tensors", r->piece->name, n);
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) /* for people */
            continue;
        enum wm_status st = read_tensor(r, name, entry, &c->tensors[c->n_tensors]);
        c->n_tensors += c->tensors[c->n_tensors].name != NULL;
        if (st != WM_OK)
            return st;
    }
    return check_cover(r, c);
}

enum wm_status wm_safetensors_read(const struct wm_piece *piece, struct wm_contents *out,
                                   struct wm_error *err)
{
    struct reader r = {.piece = piece, .err = err};
    uint64_t header_len = 0;
    if (piece->len < HEAD + 2)
        return MALFORMED(&r, "%zu bytes are too few for a header: the file is cut short, fetch it again",
                         piece->len);
    for (int i = 0; i < HEAD; i++)
        header_len |= (uint64_t)piece->bytes[i] << (8 * i);
    if (header_len > MAX_HEADER || header_len > piece->len - HEAD)
        return MALFORMED(&r, "the header claims %llu bytes, more than the file or the limit of %d allows",
                         (unsigned long long)header_len, MAX_HEADER);
    if (header_len == 0 || piece->bytes[HEAD] != '{')
        return MALFORMED(&r, "%s", "the header does not begin with '{'");
    r.data = piece->bytes + HEAD + header_len;
    r.len = piece->len - HEAD - header_len;
    json_error_t why;
    json_t *header =
        json_loadb((const char *)piece->bytes + HEAD, (size_t)header_len, JSON_REJECT_DUPLICATES, &why);
    if (!header)
        return MALFORMED(&r, "the header, line %d, column %d: %s", why.line, why.column, why.text);
    enum wm_status st = read_entries(&r, header, out);
    json_decref(header);
    return st;
}

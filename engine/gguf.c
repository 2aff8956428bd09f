/* gguf.c -- reads a GGUF container (version 2 and 3) that may be cut, broken or hostile.
 *
 * WHY     Model files come from strangers. Every published reader has had its heap overflow from a count, a
 *         length or a product of dimensions that was believed.
 *
 * HOW     One pass with a reader that holds [at, end) and refuses to step past it. A count is compared with
 *         what the rest of the file could hold before anything is allocated, so memory is bounded by the
 *         file's size; arrays are stepped over once, checked, and kept as pointers into the mapping.
 *         Dimensions multiply with overflow checks, and a tensor's range is checked against the data section
 *         and against the others'.
 *
 *           magic, version, n tensors, n pairs | pairs | tensor infos | padding | data
 *
 * ALWAYS  (1) No pointer that leaves here reaches outside [bytes, bytes + len).
 *         (2) Keys and tensor names are printable ASCII, so that a sentence may hold them.
 *         (3) No key and no tensor name comes twice (wm_contents_index looks after sorting).
 *
 * LIMITS  2^16 pairs, 2^20 tensors, 4 dimensions, names of 255 bytes, no arrays of arrays (nothing writes
 *         them). Big-endian files are refused by name. A tensor of a type that we cannot read stays in the
 *         list with bytes = 0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_file_parts.h"

enum {
    MAX_PAIRS = 1 << 16,
    MAX_ALIGNMENT = 1 << 20,
    DEFAULT_ALIGNMENT = 32,
    MIN_PAIR_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8
};

/* GGUF's value types, by their numbers in the file. */
enum value_type {
    VALUE_U8,
    VALUE_I8,
    VALUE_U16,
    VALUE_I16,
    VALUE_U32,
    VALUE_I32,
    VALUE_F32,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_U64,
    VALUE_I64,
    VALUE_F64,
    VALUE_TYPES
};

/* Bytes of one; 0: not of fixed size. */
static const uint8_t scalar_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct reader {
    const struct wm_piece *piece;
    struct wm_contents *c;
    const uint8_t *at, *end;
    struct wm_error *err;
};

static size_t offset_of(const struct reader *r)
{
    return (size_t)(r->at - r->piece->bytes);
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

#define MALFORMED(r, format, ...)                                                                            \
    wm_fail((r)->err, WM_EFORMAT, "%s: malformed GGUF: " format " (at byte %zu of %zu)", (r)->piece->name,   \
            __VA_ARGS__, offset_of(r), (r)->piece->len)

/* Little-endian, whatever the host is. */
static uint64_t load(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

static enum wm_status read_uint(struct reader *r, size_t bytes, const char *what, uint64_t *out)
{
    if (left(r) < bytes)
        return MALFORMED(r, "the file ends within %s", what);
    *out = load(r->at, bytes);
    r->at += bytes;
    return WM_OK;
}

static enum wm_status read_string(struct reader *r, const char *what, const char **bytes, size_t *len)
{
    uint64_t n = 0;
    enum wm_status st = read_uint(r, 8, what, &n);
    if (st != WM_OK)
        return st;
    if (n > left(r))
        return MALFORMED(r, "%s claims %llu bytes, more than the file holds", what, (unsigned long long)n);
    *bytes = (const char *)r->at;
    *len = (size_t)n;
    r->at += n;
    return WM_OK;
}

/* A key or a tensor's name, copied with a NUL: the caller owns *out. */
static enum wm_status read_name(struct reader *r, const char *what, char **out)
{
    const char *bytes = NULL;
    size_t len = 0;
    enum wm_status st = read_string(r, what, &bytes, &len);
    if (st != WM_OK)
        return st;
    if (len == 0 || len > WM_FILE_MAX_NAME)
        return MALFORMED(r, "%s has %zu bytes, 1 to %d are allowed", what, len, WM_FILE_MAX_NAME);
    if (!wm_is_printable(bytes, len))
        return MALFORMED(r, "%s is not printable ASCII", what);
    *out = strndup(bytes, len);
    return *out ? WM_OK : wm_fail(r->err, WM_ENOMEM, "%s: no memory for %s", r->piece->name, what);
}

size_t wm_gguf_scalar_bytes(uint32_t type)
{
    return type < VALUE_TYPES ? scalar_bytes[type] : 0;
}

int64_t wm_gguf_scalar_int(uint32_t type, const uint8_t *at)
{
    uint64_t v = load(at, wm_gguf_scalar_bytes(type));
    switch (type) {
    case VALUE_I8:
        return (int8_t)v;
    case VALUE_I16:
        return (int16_t)v;
    case VALUE_I32:
        return (int32_t)v;
    case VALUE_BOOL:
        return v != 0;
    default:
        return (int64_t)v;
    }
}

double wm_gguf_scalar_float(uint32_t type, const uint8_t *at)
{
    uint64_t bits = load(at, wm_gguf_scalar_bytes(type));
    if (type == VALUE_F32) {
        uint32_t word = (uint32_t)bits;
        float f;
        memcpy(&f, &word, sizeof f);
        return (double)f;
    }
    if (type == VALUE_F64) {
        double d;
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    return type == VALUE_U64 ? (double)bits : (double)wm_gguf_scalar_int(type, at);
}

void wm_gguf_step_string(const uint8_t **at, const char **bytes, size_t *len)
{
    *len = (size_t)load(*at, 8);
    *bytes = (const char *)*at + 8;
    *at += 8 + *len;
}

static enum wm_meta_kind kind_of(uint32_t type)
{
    switch (type) {
    case VALUE_F32:
    case VALUE_F64:
        return WM_META_FLOAT;
    case VALUE_BOOL:
        return WM_META_BOOL;
    case VALUE_STRING:
        return WM_META_STRING;
    case VALUE_ARRAY:
        return WM_META_ARRAY;
    default:
        return WM_META_INT;
    }
}

static void read_scalar(uint32_t type, const uint8_t *at, struct wm_meta *m)
{
    if (m->kind == WM_META_INT && type == VALUE_U64 && load(at, scalar_bytes[type]) > INT64_MAX)
        m->kind = WM_META_FLOAT;
    if (m->kind == WM_META_FLOAT)
        m->real = wm_gguf_scalar_float(type, at);
    else
        m->integer = wm_gguf_scalar_int(type, at);
}

static enum wm_status read_array(struct reader *r, struct wm_meta *m)
{
    uint64_t element = 0, count = 0;
    enum wm_status st = read_uint(r, 4, "an array's type", &element);
    if (st == WM_OK)
        st = read_uint(r, 8, "an array's length", &count);
    if (st != WM_OK)
        return st;
    if (element == VALUE_ARRAY)
        return MALFORMED(r, "key %s is an array of arrays", m->key);
    if (element >= VALUE_TYPES)
        return MALFORMED(r, "key %s is an array of unknown type %llu", m->key, (unsigned long long)element);
    size_t each = element == VALUE_STRING ? 8 : scalar_bytes[element];
    if (count > left(r) / each)
        return MALFORMED(r, "array %s claims %llu elements, more than the file holds", m->key,
                         (unsigned long long)count);
    m->array.of = kind_of((uint32_t)element);
    m->array.element = (uint32_t)element;
    m->array.count = count;
    m->array.data = r->at;
    if (element == VALUE_STRING) {
        const char *bytes;
        size_t len;
        for (uint64_t i = 0; i < count && st == WM_OK; i++)
            st = read_string(r, "a string of an array", &bytes, &len);
    } else {
        r->at += count * each;
    }
    m->array.end = r->at;
    return st;
}

static enum wm_status read_pair(struct reader *r, struct wm_meta *m)
{
    char *key = NULL;
    enum wm_status st = read_name(r, "a key", &key);
    m->key = key;
    uint64_t type = 0;
    if (st == WM_OK)
        st = read_uint(r, 4, "a value's type", &type);
    if (st != WM_OK)
        return st;
    if (type >= VALUE_TYPES)
        return MALFORMED(r, "key %s has unknown value type %llu", m->key, (unsigned long long)type);
    m->kind = kind_of((uint32_t)type);
    if (type == VALUE_ARRAY)
        return read_array(r, m);
    if (type == VALUE_STRING)
        return read_string(r, "a string", &m->string.bytes, &m->string.len);
    if (left(r) < scalar_bytes[type])
        return MALFORMED(r, "the file ends within key %s", m->key);
    read_scalar((uint32_t)type, r->at, m);
    r->at += scalar_bytes[type];
    return WM_OK;
}

/* Fills `bytes` from the dimensions; 0 for a type we do not know. */
static enum wm_status measure(struct reader *r, struct wm_tensor *t)
{
    const struct wm_type_info *info = wm_type_info(t->type);
    int64_t elements = 1;
    for (int d = 0; d < t->n_dims; d++)
        if (__builtin_mul_overflow(elements, t->dims[d], &elements))
            return MALFORMED(r, "the dimensions of tensor %s multiply past 2^63", t->name);
    if (!info)
        return WM_OK;
    if (t->dims[0] % info->block)
        return MALFORMED(
            r, "rows of tensor %s are %lld long, not a multiple of the %u elements in a block of %s", t->name,
            (long long)t->dims[0], info->block, info->name);
    if (__builtin_mul_overflow((uint64_t)elements / info->block, (uint64_t)info->bytes, &t->bytes))
        return MALFORMED(r, "tensor %s claims more than 2^64 bytes", t->name);
    return WM_OK;
}

/* `data` keeps the offset within the data section until place_tensors knows where that begins. */
static enum wm_status read_tensor(struct reader *r, struct wm_tensor *t, uint64_t *offset)
{
    char *name = NULL;
    enum wm_status st = read_name(r, "a tensor's name", &name);
    t->name = name;
    uint64_t n_dims = 0, type = 0;
    if (st == WM_OK)
        st = read_uint(r, 4, "a tensor's dimensions", &n_dims);
    if (st != WM_OK)
        return st;
    if (n_dims == 0 || n_dims > WM_TENSOR_DIMS)
        return MALFORMED(r, "tensor %s has %llu dimensions, 1 to %d are allowed", t->name,
                         (unsigned long long)n_dims, WM_TENSOR_DIMS);
    t->n_dims = (int)n_dims;
    for (int d = 0; d < WM_TENSOR_DIMS; d++) {
        uint64_t n = 1;
        if (d < t->n_dims && (st = read_uint(r, 8, "a tensor's dimensions", &n)) != WM_OK)
            return st;
        if (n == 0 || n > INT64_MAX)
            return MALFORMED(r, "dimension %d of tensor %s is %llu", d, t->name, (unsigned long long)n);
        t->dims[d] = (int64_t)n;
    }
    if ((st = read_uint(r, 4, "a tensor's type", &type)) != WM_OK ||
        (st = read_uint(r, 8, "a tensor's offset", offset)) != WM_OK)
        return st;
    if (type >= WM_TYPE_OWN)
        return MALFORMED(r, "tensor %s has type %llu: GGUF has no such type", t->name,
                         (unsigned long long)type);
    t->type = (uint32_t)type;
    return measure(r, t);
}

static enum wm_status read_alignment(struct reader *r, uint64_t *alignment)
{
    *alignment = DEFAULT_ALIGNMENT;
    for (size_t i = 0; i < r->c->n_metas; i++) {
        const struct wm_meta *m = &r->c->metas[i];
        if (strcmp(m->key, "general.alignment") != 0)
            continue;
        if (m->kind != WM_META_INT || m->integer < 1 || m->integer > MAX_ALIGNMENT ||
            (m->integer & (m->integer - 1)))
            return MALFORMED(r, "general.alignment must be a power of two up to %d", MAX_ALIGNMENT);
        *alignment = (uint64_t)m->integer;
    }
    return WM_OK;
}

static enum wm_status place_tensors(struct reader *r, const uint64_t *offsets)
{
    uint64_t alignment;
    enum wm_status st = read_alignment(r, &alignment);
    if (st != WM_OK)
        return st;
    size_t begin = offset_of(r);
    size_t pad = (size_t)((alignment - begin % alignment) % alignment);
    if (r->c->n_tensors && pad > left(r))
        return MALFORMED(r, "the file ends before its %zu tensors", r->c->n_tensors);
    r->at += pad < left(r) ? pad : left(r);
    for (size_t i = 0; i < r->c->n_tensors; i++) {
        struct wm_tensor *t = &r->c->tensors[i];
        if (offsets[i] % alignment)
            return MALFORMED(r, "tensor %s begins at %llu, not a multiple of %llu", t->name,
                             (unsigned long long)offsets[i], (unsigned long long)alignment);
        if (offsets[i] > left(r) || t->bytes > left(r) - offsets[i])
            return MALFORMED(r,
                             "tensor %s (%llu bytes at %llu) lies past the end of the file: it is cut short",
                             t->name, (unsigned long long)t->bytes, (unsigned long long)offsets[i]);
        t->data = r->at + offsets[i];
    }
    return WM_OK;
}

/* No byte belongs to two tensors: such a file was written wrongly, or on purpose. */
static enum wm_status check_overlaps(struct reader *r)
{
    struct wm_contents *c = r->c;
    wm_contents_by_place(c);
    for (size_t i = 1; i < c->n_tensors; i++)
        if ((const char *)c->tensors[i - 1].data + c->tensors[i - 1].bytes > (const char *)c->tensors[i].data)
            return MALFORMED(r, "tensor %s shares bytes with %s", c->tensors[i].name, c->tensors[i - 1].name);
    return WM_OK;
}

static enum wm_status read_head(struct reader *r, uint32_t *version, uint64_t *tensors, uint64_t *pairs)
{
    uint64_t v = 0;
    enum wm_status st;
    if (left(r) < 4 || memcmp(r->at, "GGUF", 4) != 0)
        return wm_fail(
            r->err, WM_EFORMAT,
            "%s: not a model file: it is neither GGUF (it does not begin with \"GGUF\") nor safetensors",
            r->piece->name);
    r->at += 4;
    if ((st = read_uint(r, 4, "the version", &v)) != WM_OK)
        return st;
    if (v != 2 && v != 3) {
        if (v == 0x02000000 || v == 0x03000000)
            return wm_fail(r->err, WM_EUNSUPPORTED,
                           "%s: a big-endian GGUF file: convert it for little-endian machines",
                           r->piece->name);
        return wm_fail(r->err, WM_EUNSUPPORTED, "%s: GGUF version %llu: this build reads 2 and 3",
                       r->piece->name, (unsigned long long)v);
    }
    *version = (uint32_t)v;
    if ((st = read_uint(r, 8, "the number of tensors", tensors)) != WM_OK ||
        (st = read_uint(r, 8, "the number of keys", pairs)) != WM_OK)
        return st;
    if (*tensors > WM_FILE_MAX_TENSORS || *tensors > left(r) / MIN_TENSOR_BYTES)
        return MALFORMED(r, "it claims %llu tensors, more than the file or a limit of %d allows",
                         (unsigned long long)*tensors, WM_FILE_MAX_TENSORS);
    if (*pairs > MAX_PAIRS || *pairs > left(r) / MIN_PAIR_BYTES)
        return MALFORMED(r, "it claims %llu keys, more than the file or a limit of %d allows",
                         (unsigned long long)*pairs, MAX_PAIRS);
    return WM_OK;
}

enum wm_status wm_gguf_read(const struct wm_piece *piece, struct wm_contents *out, uint32_t *version,
                            struct wm_error *err)
{
    struct reader r = {
        .piece = piece, .c = out, .at = piece->bytes, .end = piece->bytes + piece->len, .err = err};
    uint64_t n_tensors = 0, n_pairs = 0;
    uint64_t *offsets = NULL;
    enum wm_status st = read_head(&r, version, &n_tensors, &n_pairs);
    if (st != WM_OK)
        return st;
    out->metas = calloc(n_pairs + 1, sizeof *out->metas); /* + 1: never a zero size */
    out->tensors = calloc(n_tensors + 1, sizeof *out->tensors);
    offsets = calloc(n_tensors + 1, sizeof *offsets);
    if (!out->metas || !out->tensors || !offsets) {
        st = wm_fail(err, WM_ENOMEM, "%s: no memory for %llu tensors", piece->name,
                     (unsigned long long)n_tensors);
        goto out;
    }
    for (uint64_t i = 0; i < n_pairs && st == WM_OK; i++) {
        st = read_pair(&r, &out->metas[i]);
        out->n_metas += out->metas[i].key != NULL;
    }
    for (uint64_t i = 0; i < n_tensors && st == WM_OK; i++) {
        st = read_tensor(&r, &out->tensors[i], &offsets[i]);
        out->tensors[i].file = piece->name;
        out->tensors[i].mapped = piece->mapped;
        out->n_tensors += out->tensors[i].name != NULL;
    }
    if (st == WM_OK)
        st = place_tensors(&r, offsets);
    if (st == WM_OK)
        st = check_overlaps(&r);
out:
    free(offsets);
    return st;
}

/* gguf_test.c -- model files that are cut, broken or hostile get a sentence, never a crash and never much memory. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model.h"
#include "engine/verify.h"
#include "tests/engine/tiny_model.h"

/* Parses a copy of exactly that size, so that ASan sees one byte too far. */
static enum wm_status parse(const char *bytes, size_t len, struct wm_model_file **f, void **copy,
                            struct wm_error *err)
{
    *copy = malloc(len ? len : 1);
    assert_non_null(*copy);
    memcpy(*copy, bytes, len);
    *f = NULL;
    enum wm_status st = wm_model_file_parse("test.gguf", *copy, len, f, err);
    assert_true(st == WM_OK || (!*f && err->code == st && err->text[0]));
    return st;
}

/* Parses and reads a model as far as its weights; what it says. */
static enum wm_status read_model(const char *bytes, size_t len, struct wm_error *err)
{
    struct wm_model_file *f;
    void *copy;
    enum wm_status st = parse(bytes, len, &f, &copy, err);
    if (st == WM_OK) {
        struct wm_model m;
        st = wm_model_read(f, NULL, NULL, &m, err);
        if (st == WM_OK) {
            struct wm_tokens ids = {0};
            assert_int_equal(wm_tokenizer_encode(m.tokenizer, "hello 12 \xff", 10, &ids, err), WM_OK);
            wm_tokens_free(&ids);
        }
        wm_model_close(&m);
    }
    free(copy);
    return st;
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    struct wm_buffer file = tiny_model(&(struct tiny_options){0});
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    int64_t value;
    assert_int_equal(wm_model_file_parse("tiny", file.data, file.len, &f, &err), WM_OK);
    assert_string_equal(wm_model_file_form(f), "GGUF 3");
    assert_int_equal(wm_model_file_tensors(f), 2 + 9 * TINY_LAYERS);
    assert_int_equal(wm_model_file_int(f, "llama.block_count", 1, 100, 0, &value, &err), WM_OK);
    assert_int_equal(value, TINY_LAYERS);
    assert_int_equal(wm_model_file_int(f, "no.such.key", 1, 100, 7, &value, &err), WM_OK);
    assert_int_equal(value, 7);
    assert_int_equal(wm_model_file_int(f, "llama.block_count", 1, 1, 0, &value, &err), WM_EFORMAT);
    const struct wm_tensor *t = wm_model_file_tensor(f, "blk.1.ffn_down.weight");
    assert_non_null(t);
    assert_int_equal(t->dims[0], TINY_HIDDEN);
    assert_int_equal(t->dims[1], TINY_WIDTH);
    assert_int_equal(t->bytes, TINY_HIDDEN * TINY_WIDTH * 4);
    assert_null(wm_model_file_tensor(f, "blk.2.ffn_down.weight"));
    struct wm_verified v;
    wm_model_file_verify(f, NULL, &v);
    assert_int_equal(v.tensors, 2 + 9 * TINY_LAYERS);
    assert_int_equal(v.bad_tensors + v.skipped, 0);
    wm_model_file_close(f);
    wm_buffer_free(&file);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct wm_buffer file = tiny_model(&(struct tiny_options){0});
    for (size_t i = 0; i < 400; i++) { /* each of the first bytes, then each percent, then the last byte */
        size_t len = i < 300 ? i : i < 399 ? file.len * (i - 299) / 100 : file.len - 1;
        struct wm_error err = WM_ERROR_INIT;
        if (read_model(file.data, len, &err) != WM_EFORMAT)
            fail_msg("cut to %zu of %zu bytes: %s", len, file.len, err.text);
        assert_non_null(strstr(err.text, "test.gguf"));
    }
    wm_buffer_free(&file);
}

/* --- heads that claim too much -------------------------------------------------------------------------- */

static const uint64_t claims[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 31, (uint64_t)1 << 21, 2};

static void refused(struct wm_buffer *b, const char *what)
{
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    void *copy;
    if (parse(b->data, b->len, &f, &copy, &err) == WM_OK)
        fail_msg("%s was taken", what);
    free(copy);
    wm_buffer_free(b);
}

static void counts_that_the_file_cannot_hold_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(claims); i++) {
        struct wm_buffer b = WM_BUFFER(1 << 16);
        gguf_head(&b, claims[i], 0);
        refused(&b, "a count of tensors");
        gguf_head(&b, 0, claims[i]);
        refused(&b, "a count of keys");
        gguf_head(&b, 0, 1);
        gguf_text(&b, "key");
        gguf_uint(&b, GGUF_STRING, 4);
        gguf_uint(&b, claims[i], 8);
        refused(&b, "a string's length");
        gguf_head(&b, 0, 1);
        gguf_uint(&b, claims[i], 8);
        gguf_uint(&b, 0, 8);
        refused(&b, "a key's length");
        for (uint32_t type = 0; type < 13; type++) {
            gguf_head(&b, 0, 1);
            gguf_text(&b, "key");
            gguf_uint(&b, GGUF_ARRAY, 4);
            gguf_uint(&b, type, 4);
            gguf_uint(&b, claims[i], 8);
            refused(&b, "an array's length");
        }
    }
    struct wm_buffer empty = WM_BUFFER(64);
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    gguf_head(&empty, 0, 0);
    assert_int_equal(wm_model_file_parse("empty", empty.data, empty.len, &f, &err),
                     WM_OK); /* no model, but well-formed */
    wm_model_file_close(f);
    assert_int_equal(read_model(empty.data, empty.len, &err), WM_EFORMAT);
    wm_buffer_free(&empty);
}

static void heads_of_other_kinds_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } heads[] = {
        {"", 0},
        {"GGU", 3},
        {"GGML\3\0\0\0", 8},
        {"GGUF\1\0\0\0aaaaaaaaaaaaaaaa", 24},
        {"GGUF\4\0\0\0aaaaaaaaaaaaaaaa", 24},
        {"GGUF\0\0\0\3aaaaaaaaaaaaaaaa", 24},
        {"GGUF\3\0\0\0", 8},
        {"PK\3\4aaaaaaaaaaaaaaaaaaaaaaaaaaa", 31},
    };
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct wm_buffer b = WM_BUFFER(64);
        assert_int_equal(wm_buffer_add(&b, heads[i].bytes, heads[i].len), WM_OK);
        refused(&b, "a head of another kind");
    }
}

static void keys_that_break_the_form_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", "with space", "line\nend", "\x1b[31m", "\xc3\xa9"};
    struct wm_buffer b = WM_BUFFER(1 << 16);
    for (size_t i = 0; i < COUNT(names); i++) {
        gguf_head(&b, 0, 1);
        gguf_pair_u32(&b, names[i], 1);
        refused(&b, "a key's name");
    }
    gguf_head(&b, 0, 2);
    gguf_pair_u32(&b, "twice", 1);
    gguf_pair_u32(&b, "twice", 2);
    refused(&b, "a key that comes twice");
    gguf_head(&b, 0, 1);
    gguf_text(&b, "key");
    gguf_uint(&b, 13, 4);
    gguf_uint(&b, 0, 8);
    refused(&b, "an unknown value type");
    gguf_head(&b, 0, 1); /* an array of arrays, a thousand deep */
    gguf_text(&b, "key");
    for (int i = 0; i < 1000; i++) {
        gguf_uint(&b, GGUF_ARRAY, 4);
        gguf_uint(&b, GGUF_ARRAY, 4);
        gguf_uint(&b, 1, 8);
    }
    refused(&b, "an array of arrays");
    static const uint32_t alignments[] = {0, 3, 24, 1u << 31};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        gguf_head(&b, 0, 1);
        gguf_pair_u32(&b, "general.alignment", alignments[i]);
        refused(&b, "an alignment");
    }
}

/* --- tensors -------------------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    uint64_t dims[5];
    uint32_t n_dims, type;
    uint64_t offset;
} bad_tensors[] = {
    {"no dimensions", {0}, 0, 0, 0},
    {"five dimensions", {1, 1, 1, 1, 1}, 5, 0, 0},
    {"a dimension of 0", {32, 0}, 2, 0, 0},
    {"a negative dimension", {32, UINT64_MAX}, 2, 0, 0},
    {"dimensions that wrap to 0", {(uint64_t)1 << 32, (uint64_t)1 << 32}, 2, 0, 0},
    {"dimensions that wrap to a little", {(uint64_t)1 << 62, 5}, 2, 0, 0},
    {"bytes that wrap", {(uint64_t)1 << 62}, 1, 0, 0},
    {"bytes past the end", {1024}, 1, 0, 0},
    {"rows that are no whole blocks", {33, 1}, 2, 8, 0},
    {"an offset that is not aligned", {4}, 1, 0, 4},
    {"an offset past the end", {4}, 1, 0, 1 << 20},
    {"an offset that wraps", {4}, 1, 0, UINT64_MAX - 31},
    {"an unknown type past the end", {4}, 1, 99, 1 << 20},
    {"a type that only other containers have", {16}, 1, WM_TYPE_F8_E4M3, 0},
};

static void tensors_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_tensors); i++) {
        struct wm_buffer b = WM_BUFFER(1 << 16);
        gguf_head(&b, 1, 0);
        gguf_text(&b, "t");
        gguf_uint(&b, bad_tensors[i].n_dims, 4);
        for (uint32_t d = 0; d < bad_tensors[i].n_dims; d++)
            gguf_uint(&b, bad_tensors[i].dims[d], 8);
        gguf_uint(&b, bad_tensors[i].type, 4);
        gguf_uint(&b, bad_tensors[i].offset, 8);
        gguf_pad(&b);
        for (int byte = 0; byte < 256; byte++)
            gguf_uint(&b, 0, 1);
        refused(&b, bad_tensors[i].what);
    }
    struct wm_buffer b = WM_BUFFER(1 << 16);
    gguf_head(&b, 2, 0);
    gguf_tensor(&b, "t", 4, 1, 0, 0);
    gguf_tensor(&b, "t", 4, 1, 0, 0);
    gguf_pad(&b);
    gguf_uint(&b, 0, 8);
    gguf_uint(&b, 0, 8);
    refused(&b, "a tensor that comes twice");
    gguf_head(&b, 2, 0);
    gguf_tensor(&b, "t", 16, 1, 0, 0);
    gguf_tensor(&b, "u", 16, 1, 0, 32);
    gguf_pad(&b);
    for (int i = 0; i < 24; i++)
        gguf_uint(&b, 0, 4);
    refused(&b, "tensors that share bytes");
}

static void a_type_we_cannot_read_is_listed_and_refused_on_use(void **state)
{
    (void)state;
    struct wm_buffer b = WM_BUFFER(1 << 12);
    struct wm_model_file *f;
    struct wm_matrix m;
    struct wm_error err = WM_ERROR_INIT;
    gguf_head(&b, 1, 0);
    gguf_tensor(&b, "t", 4, 3, 99, 0);
    gguf_pad(&b);
    assert_int_equal(wm_model_file_parse("test", b.data, b.len, &f, &err), WM_OK);
    assert_int_equal(wm_model_file_tensor(f, "t")->bytes, 0);
    assert_int_equal(wm_model_file_matrix(f, "t", 3, 4, &m, &err), WM_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "99"));
    wm_model_file_close(f);
    wm_buffer_free(&b);
}

/* --- models --------------------------------------------------------------------------------------------- */

static const struct {
    const char *without;
    enum wm_status want;
} parts[] = {
    {"general.architecture", WM_EFORMAT},
    {"llama.block_count", WM_EFORMAT},
    {"llama.context_length", WM_EFORMAT},
    {"llama.embedding_length", WM_EFORMAT},
    {"llama.feed_forward_length", WM_EFORMAT},
    {"llama.attention.head_count", WM_EFORMAT},
    {"llama.attention.head_count_kv",
     WM_EFORMAT}, /* as many as query heads: then attn_k has the wrong shape */
    {"tokenizer.ggml.model", WM_EUNSUPPORTED},
    {"tokenizer.ggml.pre", WM_EUNSUPPORTED},
    {"token_embd.weight", WM_EFORMAT},
    {"output_norm.weight", WM_EFORMAT},
    {"blk.1.ffn_up.weight", WM_EFORMAT},
    {"general.name", WM_OK},
    {"tokenizer.chat_template", WM_OK},
};

static void a_model_that_lacks_a_part_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(parts); i++) {
        struct wm_buffer file = tiny_model(&(struct tiny_options){.without = parts[i].without});
        struct wm_error err = WM_ERROR_INIT;
        enum wm_status st = read_model(file.data, file.len, &err);
        if (st != parts[i].want)
            fail_msg("without %s: %s", parts[i].without, err.text);
        if (st != WM_OK && !strstr(parts[i].without, "head_count_kv"))
            assert_non_null(strstr(err.text, parts[i].without));
        wm_buffer_free(&file);
    }
    struct wm_error err = WM_ERROR_INIT;
    struct wm_buffer file = tiny_model(&(struct tiny_options){.pre = "unheard-of"});
    assert_int_equal(read_model(file.data, file.len, &err), WM_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "smollm"));
    wm_buffer_free(&file);
}

static void an_end_token_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    static const int32_t ids[] = {-1, TINY_VOCABULARY, INT32_MAX};
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct wm_buffer file = tiny_model(&(struct tiny_options){.eos = ids[i]});
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(read_model(file.data, file.len, &err), WM_EFORMAT);
        wm_buffer_free(&file);
    }
}

static void verify_finds_numbers_that_are_none(void **state)
{
    (void)state;
    struct wm_buffer file = tiny_model(&(struct tiny_options){0});
    struct wm_model_file *f;
    struct wm_verified v;
    struct wm_error err = WM_ERROR_INIT;
    memset(file.data + file.len - 4, 0xff, 4); /* the last value of the last tensor: NaN */
    assert_int_equal(wm_model_file_parse("tiny", file.data, file.len, &f, &err), WM_OK);
    wm_model_file_verify(f, NULL, &v);
    assert_int_equal(v.bad_tensors, 1);
    wm_model_file_close(f);
    wm_buffer_free(&file);
}

/* --- a model in parts ----------------------------------------------------------------------------------- */

/* What one part says of itself; a number below 0 leaves the key out. */
struct part_says {
    int no, count, tensors;
    const char *tensor;
};

static void write_part(const char *folder, const char *name, const struct part_says *says)
{
    struct wm_buffer b = WM_BUFFER(1 << 12);
    char path[256];
    const int values[] = {says->no, says->count, says->tensors};
    static const char *const keys[] = {"split.no", "split.count", "split.tensors.count"};
    uint64_t n = says->no == 0;
    for (int i = 0; i < 3; i++)
        n += values[i] >= 0;
    gguf_head(&b, 1, n);
    for (int i = 0; i < 3; i++)
        if (values[i] >= 0)
            gguf_pair_u32(&b, keys[i], (uint32_t)values[i]);
    if (says->no == 0)
        gguf_pair_u32(&b, "of.the.first", 7);
    gguf_tensor(&b, says->tensor, 4, 1, 0, 0);
    gguf_pad(&b);
    gguf_uint(&b, 0, 8);
    gguf_uint(&b, 0, 8);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
    fclose(f);
    wm_buffer_free(&b);
}

static const struct {
    struct part_says first, second;
    const char *second_name, *open, *says; /* says NULL: it opens */
} splits[] = {
    {{0, 2, 2, "a"}, {1, 2, 2, "b"}, "m-00002-of-00002.gguf", "m-00001-of-00002.gguf", NULL},
    {{0, 2, 2, "a"}, {1, 2, 2, "b"}, "m-00002-of-00002.gguf", "m-00002-of-00002.gguf", NULL},
    {{0, 2, 2, "a"}, {1, 2, 2, "b"}, "n-00002-of-00002.gguf", "m-00001-of-00002.gguf", "part 2 of 2"},
    {{0, 2, 2, "a"}, {1, 2, 2, "b"}, "m-00002-of-00002.gguf", "renamed.gguf", "give it back its name"},
    {{0, 2, 2, "a"},
     {0, 2, 2, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.no is 0 where 1"},
    {{0, 2, 2, "a"},
     {1, 3, 2, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.count is 3 where 2"},
    {{0, 2, 2, "a"},
     {1, -1, 2, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.count is missing"},
    {{0, 2, 2, "a"},
     {1, 2, 3, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.tensors.count is 3 where 2"},
    {{0, 2, 3, "a"}, {1, 2, 3, "b"}, "m-00002-of-00002.gguf", "m-00001-of-00002.gguf", "hold 2 tensors"},
    {{0, 2, -1, "a"},
     {1, 2, 2, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.tensors.count is missing"},
    {{0, 2, 2, "a"}, {1, 2, 2, "a"}, "m-00002-of-00002.gguf", "m-00001-of-00002.gguf", "a comes twice"},
    {{0, 70000, 2, "a"},
     {1, 2, 2, "b"},
     "m-00002-of-00002.gguf",
     "m-00001-of-00002.gguf",
     "split.count must be"},
};

static void any_part_opens_all_or_says_which_is_wrong(void **state)
{
    (void)state;
    char folder[] = "/tmp/wm_parts_XXXXXX", path[256];
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < COUNT(splits); i++) {
        static const char *const names[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
                                            "n-00002-of-00002.gguf", "renamed.gguf"};
        struct wm_model_file *f = NULL;
        struct wm_error err = WM_ERROR_INIT;
        write_part(folder, names[0], &splits[i].first);
        write_part(folder, names[3], &splits[i].first);
        write_part(folder, splits[i].second_name, &splits[i].second);
        snprintf(path, sizeof path, "%s/%s", folder, splits[i].open);
        enum wm_status st = wm_model_file_open(path, &f, &err);
        if ((st == WM_OK) != !splits[i].says || (splits[i].says && !strstr(err.text, splits[i].says)))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, splits[i].says);
        if (f) {
            assert_string_equal(wm_model_file_form(f), "GGUF 3, 2 files");
            assert_int_equal(wm_model_file_tensors(f), 2);
            assert_non_null(strstr(wm_model_file_tensor(f, "b")->file, "00002-of-00002"));
            assert_non_null(wm_model_file_meta(f, "of.the.first"));
        }
        wm_model_file_close(f);
        for (size_t n = 0; n < COUNT(names); n++) {
            snprintf(path, sizeof path, "%s/%s", folder, names[n]);
            remove(path);
        }
    }
    rmdir(folder);
}

/* --- mutations ------------------------------------------------------------------------------------------ */

static uint32_t next_random(uint32_t *s)
{
    *s = *s * 1664525 + 1013904223;
    return *s >> 8;
}

/* Some bytes of the head changed, to extremes as often as at random. */
static void mutate(const char *bytes, size_t len, size_t head, int rounds)
{
    static const unsigned char extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    char *copy = malloc(len);
    uint32_t seed = 99;
    assert_non_null(copy);
    for (int i = 0; i < rounds; i++) {
        struct wm_error err = WM_ERROR_INIT;
        memcpy(copy, bytes, len);
        for (uint32_t n = 1 + next_random(&seed) % 4; n > 0; n--)
            copy[next_random(&seed) % head] =
                (char)(next_random(&seed) % 2 ? extremes[next_random(&seed) % 5] : next_random(&seed));
        (void)read_model(copy, len, &err); /* any answer will do: it came back */
    }
    free(copy);
}

static void mutated_heads_never_crash(void **state)
{
    (void)state;
    struct wm_buffer file = tiny_model(&(struct tiny_options){0});
    mutate(file.data, file.len, 9000, 1000);
    mutate(file.data, file.len, 600, 1000);
    wm_buffer_free(&file);
}

static void mutated_golden_files_never_crash(void **state)
{
    (void)state;
    static const char *const names[] = {"llama-dense-Q4_0",
                                        "llama3-dense-Q4_1",
                                        "maverick-tiny-Q4_0",
                                        "quant-mix",
                                        "scout-tiny-BF16-00001-of-00003",
                                        "mmproj-maverick-vision-tiny-BF16"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[96];
        snprintf(name, sizeof name, "gguf/%s.gguf", names[i]);
        const char *path = golden_path(name);
        if (!path)
            SKIP("no ../shared/golden/gguf");
        FILE *f = fopen(path, "rb");
        struct wm_buffer file = WM_BUFFER(64 << 20);
        assert_int_equal(wm_buffer_reserve(&file, 8 << 20), WM_OK);
        file.len = fread(file.data, 1, 8 << 20, f);
        fclose(f);
        struct wm_error err = WM_ERROR_INIT;
        (void)read_model(file.data, file.len, &err);
        mutate(file.data, file.len, file.len < 16000 ? file.len : 16000, 60);
        wm_buffer_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_read),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(counts_that_the_file_cannot_hold_are_refused),
        cmocka_unit_test(heads_of_other_kinds_are_refused),
        cmocka_unit_test(keys_that_break_the_form_are_refused),
        cmocka_unit_test(tensors_that_do_not_fit_are_refused),
        cmocka_unit_test(a_type_we_cannot_read_is_listed_and_refused_on_use),
        cmocka_unit_test(a_model_that_lacks_a_part_is_refused_by_name),
        cmocka_unit_test(an_end_token_outside_the_vocabulary_is_refused),
        cmocka_unit_test(verify_finds_numbers_that_are_none),
        cmocka_unit_test(any_part_opens_all_or_says_which_is_wrong),
        cmocka_unit_test(mutated_heads_never_crash),
        cmocka_unit_test(mutated_golden_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

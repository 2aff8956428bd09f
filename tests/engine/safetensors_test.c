/* safetensors_test.c -- safetensors files and folders that are cut, broken or hostile get a sentence, never a crash. */
#include "tests/engine/tiny_folder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/verify.h"

/* Parses a copy of exactly that size, so that ASan sees one byte too far. */
static enum wm_status parse(const char *bytes, size_t len, struct wm_error *err)
{
    struct wm_model_file *f = NULL;
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    enum wm_status st = wm_model_file_parse("test.safetensors", copy, len, &f, err);
    assert_true(st == WM_OK || (!f && err->code == st && err->text[0]));
    wm_model_file_close(f);
    free(copy);
    return st;
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    struct wm_buffer b = tiny_header("{\"__metadata__\":{\"format\":\"pt\"},"
                                     "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                                     "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]},"
                                     "\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[16,32]}}   ",
                                     32);
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_model_file_parse("test", b.data, b.len, &f, &err), WM_OK);
    assert_string_equal(wm_model_file_form(f), "safetensors");
    assert_int_equal(wm_model_file_tensors(f), 3);
    const struct wm_tensor *t = wm_model_file_tensor(f, "b");
    assert_non_null(t);
    assert_int_equal(t->type, WM_TYPE_BF16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 3); /* a row's length */
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->bytes, 12);
    assert_ptr_equal(t->data, b.data + b.len - 32);
    assert_int_equal(wm_model_file_tensor(f, "s")->n_dims, 1);
    assert_int_equal(wm_model_file_tensor(f, "s")->dims[0], 1);
    assert_string_equal(wm_tensor_type_name(wm_model_file_tensor(f, "i")->type), "I64");
    struct wm_verified v;
    wm_model_file_verify(f, NULL, &v);
    assert_int_equal(v.tensors, 3);
    assert_int_equal(v.values, 9);
    assert_int_equal(v.bad_tensors + v.skipped, 0);
    wm_model_file_close(f);
    wm_buffer_free(&b);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct tiny_tensors list;
    tiny4_tensors(&list, TINY_FUSED_FP8);
    struct wm_buffer file = tiny_safetensors(&list);
    for (size_t i = 0; i <= 400; i++) { /* each of the first bytes, then each percent, then the last byte */
        size_t len = i < 300 ? i : i < 400 ? file.len * (i - 300) / 100 : file.len - 1;
        struct wm_error err = WM_ERROR_INIT;
        if (parse(file.data, len, &err) == WM_OK)
            fail_msg("cut to %zu of %zu bytes and taken", len, file.len);
        assert_non_null(strstr(err.text, "test.safetensors"));
    }
    wm_buffer_free(&file);
}

static void lengths_of_the_header_that_the_file_cannot_hold_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {
        0, 1, 1 << 20, 100000001, (uint64_t)1 << 31, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char bytes[64] = {0};
        struct wm_error err = WM_ERROR_INIT;
        memset(bytes, ' ', sizeof bytes);
        bytes[8] = '{';
        for (int b = 0; b < 8; b++)
            bytes[b] = (char)(lengths[i] >> (8 * b));
        assert_int_equal(parse(bytes, sizeof bytes, &err), WM_EFORMAT);
        assert_non_null(strstr(err.text, "header"));
    }
}

/* One tensor "t" of that entry before 16 bytes of data; what the sentence says. */
static const struct {
    const char *header, *says;
} headers[] = {
    {"{", "header, line"},
    {"{]", "header, line"},
    {"{\"t\":1}", "not an object"},
    {"{\"t\":{\"shape\":[4],\"data_offsets\":[0,16]}}", "no dtype"},
    {"{\"t\":{\"dtype\":\"F7\",\"shape\":[4],\"data_offsets\":[0,16]}}", "F7"},
    {"{\"t\":{\"dtype\":\"\\u001b[31m\",\"shape\":[4],\"data_offsets\":[0,16]}}", "dtype ?"},
    {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", "shape"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", "shape"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,4],\"data_offsets\":[0,16]}}", "4 dimensions"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", "above 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", "above 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}", "above 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,16]}}", "header, line"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,16]}}",
     "multiply past"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387908],\"data_offsets\":[0,16]}}", "2^63 bytes"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2147483648],\"data_offsets\":[0,16]}}", "8589934592"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4]}}", "data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", "data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,\"16\"]}}", "data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", "16 to 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}", "-16 to 0"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]}}", "cut short"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,9223372036854775807]}}", "cut short"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}", "16 bytes where"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}", "belong to no tensor"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "behind the last"},
    {"{}", "behind the last"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
     "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     "shares bytes"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
     "duplicate"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "printable"},
    {"{\"a b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "printable"},
    {"{\"\\u001b[31m\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "printable"},
    {"{\"\\u00e9\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "printable"},
    {"[\"t\"]", "begin with '{'"},
};

static void headers_that_break_the_form_are_refused_with_their_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++) {
        struct wm_buffer b = tiny_header(headers[i].header, 16);
        struct wm_error err = WM_ERROR_INIT;
        if (parse(b.data, b.len, &err) == WM_OK || !strstr(err.text, headers[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", headers[i].header, err.text, headers[i].says);
        wm_buffer_free(&b);
    }
    char longest[600];
    memset(longest, 'n', sizeof longest);
    snprintf(longest, sizeof longest,
             "{\"%0256d\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 0);
    struct wm_buffer b = tiny_header(longest, 16);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(parse(b.data, b.len, &err), WM_EFORMAT);
    wm_buffer_free(&b);
    snprintf(longest, sizeof longest,
             "{\"%0255d\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 0);
    b = tiny_header(longest, 16); /* at the limit */
    assert_int_equal(parse(b.data, b.len, &(struct wm_error)WM_ERROR_INIT), WM_OK);
    wm_buffer_free(&b);
}

/* A model of 64 GiB, all of it a hole in a file: opening it must touch the header and what the kernel reads
 * ahead, no more. */
static void a_large_file_opens_without_being_read(void **state)
{
    (void)state;
    enum { BEHIND_HEADER = 16 << 20 };
    static const char header[] =
        "{\"t\":{\"dtype\":\"BF16\",\"shape\":[2097152,16384],\"data_offsets\":[0,68719476736]}}";
    static unsigned char resident[(1 << 30) / 4096];
    char path[] = "/tmp/wm_large_XXXXXX.safetensors";
    struct wm_buffer head = tiny_header(header, 0);
    int fd = mkstemps(path, (int)strlen(".safetensors"));
    assert_true(fd >= 0);
    bool sparse = write(fd, head.data, head.len) == (ssize_t)head.len &&
                  ftruncate(fd, (off_t)head.len + 68719476736) == 0;
    close(fd);
    wm_buffer_free(&head);
    if (!sparse) {
        unlink(path);
        SKIP("the folder of temporary files takes no file of 64 GiB");
    }
    struct wm_model_file *f = NULL;
    struct wm_error err = WM_ERROR_INIT;
    enum wm_status st = wm_model_file_open(path, &f, &err);
    unlink(path);
    if (st != WM_OK)
        fail_msg("%s", err.text);
    const struct wm_tensor *t = wm_model_file_tensor(f, "t");
    assert_int_equal(t->bytes, 68719476736);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)t->data + BEHIND_HEADER;
    assert_int_equal(mincore((void *)(at / page * page), 1 << 30, resident), 0);
    for (size_t i = 0; i < COUNT(resident) && i < (1 << 30) / page; i++)
        assert_int_equal(resident[i] & 1, 0);
    wm_model_file_close(f);
}

/* --- folders -------------------------------------------------------------------------------------------- */

/* Files of 16 bytes of data. */
static const char holds_a[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
static const char holds_b[] = "{\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";

static const struct {
    const char *index, *says; /* NULL: it opens */
    const char *one, *two;    /* headers of 1.safetensors and 2.safetensors; NULL: not there */
    enum wm_status want;
} folders[] = {
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", NULL, holds_a, holds_b, WM_OK},
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", "2.safetensors", holds_a, NULL,
     WM_ENOENT},
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", "a comes twice", holds_a, holds_a,
     WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"2.safetensors\"}}", "tensor a", NULL, holds_b,
     WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"}}", "tensor b", holds_a, NULL,
     WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "plain name", holds_a, NULL, WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\".hidden\"}}", "plain name", holds_a, NULL, WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\"\\u001b[31m\"}}", "plain name", holds_a, NULL, WM_EFORMAT},
    {"{\"weight_map\":{\"a\":1}}", "plain name", holds_a, NULL, WM_EFORMAT},
    {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}", "duplicate", holds_a, holds_a,
     WM_EFORMAT},
    {"{\"weight_map\":{}}", "weight_map", holds_a, NULL, WM_EFORMAT},
    {"{\"weight_map\":[]}", "weight_map", holds_a, NULL, WM_EFORMAT},
    {"{}", "weight_map", holds_a, NULL, WM_EFORMAT},
    {"[", "line 1", holds_a, NULL, WM_EFORMAT},
};

static void an_index_is_believed_in_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(folders); i++) {
        struct wm_buffer one = tiny_header(folders[i].one ? folders[i].one : "{}", 16);
        struct wm_buffer two = tiny_header(folders[i].two ? folders[i].two : "{}", 16);
        const struct wm_model_member members[] = {
            {"model.safetensors.index.json", folders[i].index, strlen(folders[i].index)},
            {folders[i].one ? "1.safetensors" : "other", one.data, one.len},
            {folders[i].two ? "2.safetensors" : "another", two.data, two.len},
        };
        struct wm_model_file *f = NULL;
        struct wm_error err = WM_ERROR_INIT;
        enum wm_status st = wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err);
        if (st != folders[i].want || (st != WM_OK && !strstr(err.text, folders[i].says)))
            fail_msg("%s: %s \"%s\"", folders[i].index, wm_status_name(st), err.text);
        if (f)
            assert_string_equal(wm_model_file_form(f), "safetensors, 2 files");
        wm_model_file_close(f);
        wm_buffer_free(&one);
        wm_buffer_free(&two);
    }
}

static void an_index_that_names_the_end_of_another_file_is_refused(void **state)
{
    (void)state;
    static const char index[] = "{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1-2.safetensors\"}}";
    struct wm_buffer both = tiny_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                        "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
                                        16);
    struct wm_buffer none = tiny_header("{}", 0);
    const struct wm_model_member members[] = {
        {"model.safetensors.index.json", index, strlen(index)},
        {"1-2.safetensors", both.data, both.len},
        {"2.safetensors", none.data, none.len},
    };
    struct wm_model_file *f = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err), WM_EFORMAT);
    assert_non_null(strstr(err.text, "2.safetensors holds tensor a, but it does not"));
    wm_buffer_free(&both);
    wm_buffer_free(&none);
}

static void a_folder_gives_its_documents_and_needs_its_weights(void **state)
{
    (void)state;
    struct wm_buffer file = tiny_header(holds_a, 16);
    struct wm_model_member members[] = {
        {"model.safetensors", file.data, file.len},
        {"config.json", "{}", 2},
        {"tokenizer.json", "[1]", 3},
    };
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    const char *bytes;
    size_t len;
    assert_int_equal(wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err), WM_OK);
    assert_true(wm_model_file_document(f, "tokenizer.json", &bytes, &len));
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "[1]", 3);
    assert_false(wm_model_file_document(f, "tokenizer.model", &bytes, &len));
    assert_false(wm_model_file_document(f, "model.safetensors", &bytes, &len));
    wm_model_file_close(f);

    members[0].name = "pytorch_model.bin";
    assert_int_equal(wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err), WM_ENOENT);
    assert_non_null(strstr(err.text, "model.safetensors.index.json"));
    members[0].name = "model.safetensors";
    members[2].len = (64 << 20) + 1; /* refused by its size, before a byte is looked at */
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_equal(wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err), WM_ELIMIT);
    assert_non_null(strstr(err.text, "tokenizer.json"));
    wm_buffer_free(&file);
}

struct heard {
    char sentence[1024];
    int sentences, percent, steps;
};

static void hear(void *arg, const char *sentence)
{
    struct heard *h = arg;
    h->sentences++;
    snprintf(h->sentence, sizeof h->sentence, "%s", sentence);
}

static void advance(void *arg, int percent)
{
    struct heard *h = arg;
    assert_true(percent > h->percent && percent <= 100);
    h->percent = percent;
    h->steps++;
}

static void verify_names_the_scale_that_is_no_number_and_shows_how_far_it_is(void **state)
{
    (void)state;
    static const char name[] = "model.layers.1.feed_forward.experts.1.up_proj.weight_scale";
    static const uint16_t nan = 0x7fc0;
    struct tiny_tensors list;
    struct wm_model_file *f;
    struct wm_verified v;
    struct heard heard = {0};
    struct wm_error err = WM_ERROR_INIT;
    const struct wm_verify_watch watch = {.found = hear, .progress = advance, .arg = &heard};
    tiny4_tensors(&list, TINY_SINGLE_FP8);
    struct wm_buffer file = tiny_safetensors(&list);
    assert_int_equal(tiny4_open(tiny4_config, &file, &f, &err), WM_OK);
    memcpy((char *)wm_model_file_tensor(f, name)->data + 6, &nan, sizeof nan); /* our own buffer */
    wm_model_file_verify(f, &watch, &v);
    assert_int_equal(v.bad_tensors, 1);
    assert_int_equal(v.tensors, list.n);
    assert_int_equal(heard.sentences, 1);
    assert_non_null(strstr(heard.sentence, name));
    assert_non_null(strstr(heard.sentence, "model.safetensors"));
    assert_non_null(strstr(heard.sentence, "element 3"));
    assert_int_equal(heard.percent, 100);
    assert_true(heard.steps > 10);
    wm_model_file_close(f);
    wm_buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_read),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(lengths_of_the_header_that_the_file_cannot_hold_are_refused),
        cmocka_unit_test(a_large_file_opens_without_being_read),
        cmocka_unit_test(headers_that_break_the_form_are_refused_with_their_reason),
        cmocka_unit_test(verify_names_the_scale_that_is_no_number_and_shows_how_far_it_is),
        cmocka_unit_test(an_index_is_believed_in_nothing),
        cmocka_unit_test(an_index_that_names_the_end_of_another_file_is_refused),
        cmocka_unit_test(a_folder_gives_its_documents_and_needs_its_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

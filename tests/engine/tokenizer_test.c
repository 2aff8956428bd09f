/* tokenizer_test.c -- text to ids and back, against vectors made with the models' own tokenizers. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>

#include "engine/pretokenize.h"
#include "engine/tokenizer.h"
#include "kernels/base/utf8.h"

static struct wm_model_file *file;
static struct wm_tokenizer *tokenizer; /* of the small model, or NULL */

static int open_small_model(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    const char *path = small_model();
    if (path &&
        (wm_model_file_open(path, &file, &err) != WM_OK || wm_tokenizer_new(file, &tokenizer, &err) != WM_OK))
        fail_msg("%s", err.text);
    return 0;
}

static int close_small_model(void **state)
{
    (void)state;
    wm_tokenizer_free(tokenizer);
    wm_model_file_close(file);
    return 0;
}

#define TOKENIZER_OR_SKIP()                                                                                  \
    if (!tokenizer)                                                                                          \
    SKIP("no small model: WM_MODEL and build/models/ are empty")

static void encode(const struct wm_tokenizer *t, const char *text, size_t len, struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    out->n = 0;
    if (wm_tokenizer_encode(t, text, len, out, &err) != WM_OK)
        fail_msg("%s", err.text);
}

/* All shown pieces of these ids, flush included. */
static void decode(const struct wm_tokenizer *t, const struct wm_tokens *ids, struct wm_buffer *out)
{
    struct wm_decoder d = {0};
    for (size_t i = 0; i < ids->n; i++)
        assert_int_equal(wm_decoder_push(&d, t, ids->ids[i], out), WM_OK);
    assert_int_equal(wm_decoder_flush(&d, out), WM_OK);
}

static void check_vectors(const struct wm_tokenizer *t, const json_t *vectors)
{
    struct wm_tokens ids = {0};
    size_t i;
    json_t *v;
    json_array_foreach(vectors, i, v)
    {
        size_t len;
        char *text = bytes_of_hex(json_string_value(json_object_get(v, "hex")), &len);
        char name[64];
        snprintf(name, sizeof name, "vector %zu", i);
        encode(t, text, len, &ids);
        check_ids(name, &ids, json_object_get(v, "ids"));

        const json_t *other = json_object_get(v, "decoded_hex");
        if (!other)
            other = json_object_get(v, "replaced_hex");
        size_t want_len = len;
        char *want = other ? bytes_of_hex(json_string_value(other), &want_len) : NULL;
        struct wm_buffer shown = WM_BUFFER(1 << 20);
        decode(t, &ids, &shown);
        if (shown.len != want_len || (want_len && memcmp(shown.data, want ? want : text, want_len) != 0))
            fail_msg("%s decodes to '%s'", name, shown.data ? shown.data : "");
        wm_buffer_free(&shown);
        free(want);
        free(text);
    }
    wm_tokens_free(&ids);
}

static void smollm2_texts_give_its_ids_and_ids_give_the_texts(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    GOLDEN_OR_SKIP(golden, "tokenizer/smollm2.json");
    assert_true(json_array_size(json_object_get(golden, "vectors")) > 300);
    check_vectors(tokenizer, json_object_get(golden, "vectors"));
    json_decref(golden);
}

static void ill_formed_bytes_become_replacement_characters_first(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    GOLDEN_OR_SKIP(golden, "tokenizer/smollm2.json");
    check_vectors(tokenizer, json_object_get(golden, "invalid_utf8"));
    json_decref(golden);
}

static void a_stream_shows_only_whole_characters(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    GOLDEN_OR_SKIP(golden, "tokenizer/smollm2.json");
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(golden, "streaming"), i, v)
    {
        const json_t *ids = json_object_get(v, "ids"), *pieces = json_object_get(v, "pieces");
        struct wm_decoder d = {0};
        for (size_t p = 0; p < json_array_size(pieces); p++) {
            struct wm_buffer shown = WM_BUFFER(4096);
            bool last = p == json_array_size(ids);
            assert_int_equal(last ? wm_decoder_flush(&d, &shown)
                                  : wm_decoder_push(&d, tokenizer,
                                                    (int32_t)json_integer_value(json_array_get(ids, p)),
                                                    &shown),
                             WM_OK);
            assert_string_equal(shown.data ? shown.data : "", json_string_value(json_array_get(pieces, p)));
            wm_buffer_free(&shown);
        }
    }
    json_decref(golden);
}

static void very_long_words_give_the_right_ids_in_time(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    GOLDEN_OR_SKIP(golden, "tokenizer/smollm2.json");
    struct wm_tokens ids = {0};
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(golden, "very_long"), i, v)
    {
        size_t unit_len, repeat = (size_t)json_integer_value(json_object_get(v, "repeat"));
        char *unit = bytes_of_hex(json_string_value(json_object_get(v, "unit_hex")), &unit_len);
        char *text = malloc(unit_len * repeat);
        assert_non_null(text);
        for (size_t r = 0; r < repeat; r++)
            memcpy(text + r * unit_len, unit, unit_len);
        encode(tokenizer, text, unit_len * repeat, &ids);
        size_t run, at = 0;
        json_t *pair;
        json_array_foreach(json_object_get(v, "ids_run_length"), run, pair)
        {
            for (json_int_t n = json_integer_value(json_array_get(pair, 1)); n > 0; n--, at++)
                if (at >= ids.n || ids.ids[at] != json_integer_value(json_array_get(pair, 0)))
                    fail_msg("long word %zu: id %zu of %zu differs", i, at, ids.n);
        }
        assert_int_equal(at, ids.n);
        free(text);
        free(unit);
    }
    wm_tokens_free(&ids);
    json_decref(golden);
}

/* xorshift64*: failures repeat. */
static uint64_t next_random(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545f4914f6cdd1du;
}

/* Characters of every length and class, with an eye on the joints: spaces, line ends, digits, quotes. */
static size_t random_text(uint64_t *seed, char *text, size_t max_characters)
{
    static const char joints[] = "  \n\r\t'sdmt019.,-_";
    size_t len = 0;
    for (size_t n = next_random(seed) % (max_characters + 1); n > 0; n--) {
        uint64_t r = next_random(seed), pick = r >> 32;
        uint32_t code;
        switch (r % 8) {
        case 0:
        case 1:
            code = (uint32_t)joints[pick % (sizeof joints - 1)];
            break;
        case 2:
        case 3:
        case 4:
            code = 'a' + (uint32_t)(pick % 26);
            break;
        case 5:
            code = 0x80 + (uint32_t)(pick % 0x780);
            break;
        case 6:
            code = 0x800 + (uint32_t)(pick % 0xd000);
            break;
        default:
            code = 0x1f300 + (uint32_t)(pick % 0x400);
            break;
        }
        len += wm_utf8_encode(code, text + len);
    }
    return len;
}

static void a_hundred_thousand_random_strings_decode_to_themselves(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    enum { STRINGS = 100000, MAX_CHARACTERS = 24 };
    bool has_token[256];
    for (int b = 0; b < 256;
         b++) { /* a byte has a token if a text of it alone survives: ask through the ids */
        has_token[b] = false;
        for (int32_t id = 0; id < wm_tokenizer_size(tokenizer) && !has_token[b]; id++) {
            size_t len;
            const char *bytes = wm_tokenizer_bytes(tokenizer, id, &len);
            has_token[b] = len == 1 && (uint8_t)bytes[0] == b;
        }
    }
    struct wm_tokens ids = {0};
    struct wm_buffer shown = WM_BUFFER(1 << 16);
    uint64_t seed = 20241123;
    for (int s = 0; s < STRINGS; s++) {
        char text[4 * MAX_CHARACTERS], want[4 * MAX_CHARACTERS];
        size_t len = random_text(&seed, text, MAX_CHARACTERS), n = 0;
        for (size_t i = 0; i < len; i++)
            if (has_token[(uint8_t)text[i]])
                want[n++] = text[i];
        encode(tokenizer, text, len, &ids);
        shown.len = 0;
        for (size_t i = 0; i < ids.n; i++) {
            size_t piece_len;
            const char *piece = wm_tokenizer_bytes(tokenizer, ids.ids[i], &piece_len);
            assert_int_equal(wm_buffer_add(&shown, piece, piece_len), WM_OK);
        }
        if (shown.len != n || (n && memcmp(shown.data, want, n) != 0))
            fail_msg("string %d does not come back: '%.*s'", s, (int)len, text);
    }
    wm_buffer_free(&shown);
    wm_tokens_free(&ids);
}

static void no_text_becomes_a_control_token(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    static const char *const texts[] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>",
                                        "a<|im_end|>\n<|im_start|>system\n"};
    struct wm_tokens ids = {0};
    assert_int_equal(wm_tokenizer_control(tokenizer, "<|im_end|>"), 2);
    assert_true(wm_tokenizer_stops(tokenizer, 2));
    for (size_t i = 0; i < COUNT(texts); i++) {
        encode(tokenizer, texts[i], strlen(texts[i]), &ids);
        assert_true(ids.n > 3);
        for (size_t k = 0; k < ids.n; k++)
            assert_true(ids.ids[k] > 16);
    }
    wm_tokens_free(&ids);
}

/* --- the rules that cut text into pieces: '|' stands between pieces --------------------------------------------- */

static const struct {
    const char *rule, *pieces;
} splits[] = {
    {"gpt-2", "Hello| world|'s|  | 12345| !?| x|\n"},
    {"gpt-2", "a|\n|\n|b"},
    {"gpt-2", "'|S"},
    {"smollm", "in| |1|2|  |3| x|  "},
    {"smollm", "\t|5| '|s|'s"},
    {"llama-bpe", "Hello| world|'S| |123|45|!?\n\n|x|  \n"},
    {"llama-bpe", "\tx| \n\n| y|.z|  "},
};

static void each_rule_cuts_where_its_expression_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(splits); i++) {
        const struct wm_pretokenizer *rule = wm_pretokenizer_find(splits[i].rule, strlen(splits[i].rule));
        assert_non_null(rule);
        char text[128], got[128];
        size_t len = 0, n = 0;
        for (const char *c = splits[i].pieces; *c; c++)
            if (*c != '|')
                text[len++] = *c;
        for (size_t at = 0; at < len;) {
            size_t piece = rule->piece(text + at, len - at);
            n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", at ? "|" : "", (int)piece, text + at);
            at += piece;
        }
        assert_string_equal(got, splits[i].pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_texts_give_its_ids_and_ids_give_the_texts),
        cmocka_unit_test(ill_formed_bytes_become_replacement_characters_first),
        cmocka_unit_test(a_stream_shows_only_whole_characters),
        cmocka_unit_test(very_long_words_give_the_right_ids_in_time),
        cmocka_unit_test(a_hundred_thousand_random_strings_decode_to_themselves),
        cmocka_unit_test(no_text_becomes_a_control_token),
        cmocka_unit_test(each_rule_cuts_where_its_expression_does),
    };
    return cmocka_run_group_tests(tests, open_small_model, close_small_model);
}

/* tokenizer_test.c -- text to ids and back, against vectors made with the models' own tokenizers. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/pretokenize.h"
#include "engine/tokenizer.h"
#include "kernels/base/utf8.h"

/* Every form in which a tokenizer comes, with the vectors that hold for it. */
static struct source {
    const char *golden, *path;
    struct wm_tokenizer *tokenizer; /* NULL: not here */
} sources[] = {
    {"tokenizer/smollm2.json", NULL, NULL}, /* the small model: a GGUF */
    {"tokenizer/llama4.json", "../shared/data/llama4/tokenizer.model", NULL},
    {"tokenizer/tiny-llama4.json", "../shared/golden/models/maverick-tiny", NULL},
    {"tokenizer/tiny-llama4.json", "../shared/golden/gguf/maverick-tiny-BF16.gguf", NULL},
    {"tokenizer/tiny-smollm.json", "../shared/golden/models/llama-dense", NULL},
    {"tokenizer/tiny-smollm.json", "../shared/golden/gguf/llama-dense-F32.gguf", NULL},
};

static struct wm_tokenizer *tokenizer; /* of the small model, or NULL */

static enum wm_status open_bare(const char *path, struct wm_tokenizer **out, struct wm_error *err)
{
    struct wm_buffer bytes = WM_BUFFER(64u << 20);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n = 1; n > 0; bytes.len += n) {
        assert_int_equal(wm_buffer_reserve(&bytes, 1 << 20), WM_OK);
        n = fread(bytes.data + bytes.len, 1, 1 << 20, f);
    }
    fclose(f);
    enum wm_status st = wm_tokenizer_parse(path, bytes.data, bytes.len, out, err);
    wm_buffer_free(&bytes);
    return st;
}

static int open_sources(void **state)
{
    (void)state;
    sources[0].path = small_model();
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct source *s = &sources[i];
        struct wm_error err = WM_ERROR_INIT;
        struct wm_model_file *file = NULL;
        if (!s->path || access(s->path, R_OK) != 0)
            continue;
        enum wm_status st = strstr(s->path, ".model") ? open_bare(s->path, &s->tokenizer, &err)
                                                      : wm_model_file_open(s->path, &file, &err);
        if (st == WM_OK && file)
            st = wm_tokenizer_new(file, &s->tokenizer, &err);
        wm_model_file_close(file);
        if (st != WM_OK)
            fail_msg("%s", err.text);
    }
    tokenizer = sources[0].tokenizer;
    return 0;
}

static int close_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sources); i++)
        wm_tokenizer_free(sources[i].tokenizer);
    return 0;
}

#define TOKENIZER_OR_SKIP()                                                                                  \
    if (!tokenizer)                                                                                          \
    SKIP("no small model: WM_MODEL and build/models/ are empty")

/* Calls `check` with the named part of the vectors of every source that is here. Returns how many there were. */
static int each_source(const char *part,
                       void (*check)(const char *path, const struct wm_tokenizer *, const json_t *))
{
    int n = 0;
    for (size_t i = 0; i < COUNT(sources); i++) {
        json_t *golden = sources[i].tokenizer ? golden_json(sources[i].golden) : NULL;
        const json_t *vectors = json_object_get(golden, part);
        if (vectors) {
            check(sources[i].path, sources[i].tokenizer, vectors);
            n++;
        }
        json_decref(golden);
    }
    return n;
}

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

/* Which bytes a token spells alone; the others are dropped. */
static void find_bytes(const struct wm_tokenizer *t, bool has_token[256])
{
    memset(has_token, 0, 256 * sizeof *has_token);
    for (int32_t id = 0; id < wm_tokenizer_size(t); id++) {
        size_t len;
        const char *bytes = wm_tokenizer_bytes(t, id, &len);
        if (len == 1)
            has_token[(uint8_t)bytes[0]] = true;
    }
}

static size_t drop_bytes(const bool has_token[256], const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (has_token[(uint8_t)text[i]])
            out[n++] = text[i];
    return n;
}

static void check_vectors(const char *path, const struct wm_tokenizer *t, const json_t *vectors)
{
    struct wm_tokens ids = {0};
    bool has_token[256];
    size_t i;
    json_t *v;
    find_bytes(t, has_token);
    json_array_foreach(vectors, i, v)
    {
        size_t len;
        char *text = bytes_of_hex(json_string_value(json_object_get(v, "hex")), &len);
        char name[256];
        snprintf(name, sizeof name, "%s: vector %zu", path, i);
        encode(t, text, len, &ids);
        check_ids(name, &ids, json_object_get(v, "ids"));

        const json_t *other = json_object_get(v, "decoded_hex");
        if (!other)
            other = json_object_get(v, "replaced_hex");
        struct wm_buffer shown = WM_BUFFER(1 << 20), want = WM_BUFFER(1 << 20);
        if (other) {
            free(text);
            text = bytes_of_hex(json_string_value(other), &len);
        } else {
            len = drop_bytes(has_token, text, len, text);
        }
        assert_int_equal(wm_utf8_sanitize(&want, text, len), WM_OK);
        decode(t, &ids, &shown);
        if (shown.len != want.len || (want.len && memcmp(shown.data, want.data, want.len) != 0))
            fail_msg("%s decodes to '%s'", name, shown.data ? shown.data : "");
        wm_buffer_free(&want);
        wm_buffer_free(&shown);
        free(text);
    }
    wm_tokens_free(&ids);
}

static void every_form_gives_the_models_own_ids_and_the_texts_back(void **state)
{
    (void)state;
    if (each_source("vectors", check_vectors) == 0)
        SKIP("no ../shared/golden/tokenizer/, or no tokenizer for it");
}

static void ill_formed_bytes_become_replacement_characters_first(void **state)
{
    (void)state;
    if (each_source("invalid_utf8", check_vectors) == 0)
        SKIP("no ../shared/golden/tokenizer/, or no tokenizer for it");
}

static void check_streams(const char *path, const struct wm_tokenizer *t, const json_t *streams)
{
    (void)path;
    size_t i;
    json_t *v;
    json_array_foreach(streams, i, v)
    {
        const json_t *ids = json_object_get(v, "ids"), *pieces = json_object_get(v, "pieces");
        struct wm_decoder d = {0};
        for (size_t p = 0; p < json_array_size(pieces); p++) {
            struct wm_buffer shown = WM_BUFFER(4096);
            bool last = p == json_array_size(ids);
            assert_int_equal(
                last ? wm_decoder_flush(&d, &shown)
                     : wm_decoder_push(&d, t, (int32_t)json_integer_value(json_array_get(ids, p)), &shown),
                WM_OK);
            assert_string_equal(shown.data ? shown.data : "", json_string_value(json_array_get(pieces, p)));
            wm_buffer_free(&shown);
        }
    }
}

static void a_stream_shows_only_whole_characters(void **state)
{
    (void)state;
    if (each_source("streaming", check_streams) == 0)
        SKIP("no ../shared/golden/tokenizer/, or no tokenizer for it");
}

static void check_long_words(const char *path, const struct wm_tokenizer *t, const json_t *words)
{
    struct wm_tokens ids = {0};
    size_t i;
    json_t *v;
    json_array_foreach(words, i, v)
    {
        size_t unit_len, repeat = (size_t)json_integer_value(json_object_get(v, "repeat"));
        char *unit = bytes_of_hex(json_string_value(json_object_get(v, "unit_hex")), &unit_len);
        char *text = malloc(unit_len * repeat);
        assert_non_null(text);
        for (size_t r = 0; r < repeat; r++)
            memcpy(text + r * unit_len, unit, unit_len);
        encode(t, text, unit_len * repeat, &ids);
        size_t run, at = 0;
        json_t *pair;
        json_array_foreach(json_object_get(v, "ids_run_length"), run, pair)
        {
            for (json_int_t n = json_integer_value(json_array_get(pair, 1)); n > 0; n--, at++)
                if (at >= ids.n || ids.ids[at] != json_integer_value(json_array_get(pair, 0)))
                    fail_msg("%s: long word %zu: id %zu of %zu differs", path, i, at, ids.n);
        }
        assert_int_equal(at, ids.n);
        free(text);
        free(unit);
    }
    wm_tokens_free(&ids);
}

static void very_long_words_give_the_right_ids_in_time(void **state)
{
    (void)state;
    if (each_source("very_long", check_long_words) == 0)
        SKIP("no ../shared/golden/tokenizer/, or no tokenizer for it");
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

static void check_random_strings(const struct wm_tokenizer *t)
{
    enum { STRINGS = 50000, MAX_CHARACTERS = 24 };
    bool has_token[256];
    find_bytes(t, has_token);
    struct wm_tokens ids = {0};
    struct wm_buffer shown = WM_BUFFER(1 << 16);
    uint64_t seed = 20241123;
    for (int s = 0; s < STRINGS; s++) {
        char text[4 * MAX_CHARACTERS], want[4 * MAX_CHARACTERS];
        size_t len = random_text(&seed, text, MAX_CHARACTERS);
        size_t n = drop_bytes(has_token, text, len, want);
        encode(t, text, len, &ids);
        shown.len = 0;
        for (size_t i = 0; i < ids.n; i++) {
            size_t piece_len;
            const char *piece = wm_tokenizer_bytes(t, ids.ids[i], &piece_len);
            assert_int_equal(wm_buffer_add(&shown, piece, piece_len), WM_OK);
        }
        if (shown.len != n || (n && memcmp(shown.data, want, n) != 0))
            fail_msg("string %d does not come back: '%.*s'", s, (int)len, text);
    }
    wm_buffer_free(&shown);
    wm_tokens_free(&ids);
}

static void fifty_thousand_random_strings_decode_to_themselves(void **state)
{
    (void)state;
    TOKENIZER_OR_SKIP();
    check_random_strings(tokenizer);
    if (sources[1].tokenizer)
        check_random_strings(sources[1].tokenizer);
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

/* --- the rules that cut text into pieces: '|' stands between pieces --------------------------------------- */

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
    {"llama4", "Hello| world'S| |123|45|!?\n\n|x|  \n"},
    {"llama4", "don't|.I'VE| | (|x's|//\n/| /|y"},
    {"llama4", "HTMLParser|ABCd| \xd0\x96\xd0\xb6"},                /* upper case before lower: one word */
    {"llama4", "\xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d"}, /* a mark belongs to its word, */
    {"llama4", "1|\xcc\x81\xe4\xb8\xad|A"},                         /* or leads one */
    {"llama4", "\xe4\xb8\xad|ABC| \xe4\xb8\xad|A"},                 /* what is in both classes ends U* L+ */
    {"llama4", "\xcc\x81|AB"},
    {"llama-bpe", "\xe0\xa4\xae\xe0\xa4\xb8|\xe0\xa5\x8d"}, /* a mark is a symbol */
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

/* --- long texts ------------------------------------------------------------------------------------------- */

static const struct {
    const char *unit, *behind; /* the text is `repeat` units and what stands behind them */
    size_t repeat;
    size_t ends[4]; /* of its stretches, in bytes; 0: no more */
} stretches[] = {
    {"a", "", 25000, {25000}},
    {"a", "b", 25000, {25000, 25001}},
    {"a", " b", 25000, {25002}}, /* another class: the count starts anew */
    {" ", "x", 25001, {25000, 25002}},
    {"\xc3\xa9", "", 25001, {50000, 50002}}, /* characters, not bytes */
    {"a ", "", 250000, {400000, 500000}},
    {"\x1c", " x", 24999, {25001}}, /* white space for this rule, as for Python */
    {"\x1c", "  x", 24999, {25000, 25002}},
};

static void long_texts_are_cut_where_metas_tokenizer_cuts_them(void **state)
{
    (void)state;
    const struct wm_pretokenizer *rule = wm_pretokenizer_find("llama4", 6);
    for (size_t i = 0; i < COUNT(stretches); i++) {
        size_t unit = strlen(stretches[i].unit), behind = strlen(stretches[i].behind),
               len = unit * stretches[i].repeat + behind, window = 0, at = 0;
        char *text = malloc(len);
        assert_non_null(text);
        for (size_t r = 0; r < stretches[i].repeat; r++)
            memcpy(text + r * unit, stretches[i].unit, unit);
        memcpy(text + len - behind, stretches[i].behind, behind);
        for (size_t n = 0; at < len; n++) {
            at += wm_pretokenizer_stretch(rule, text + at, len - at, &window);
            assert_int_equal(at, stretches[i].ends[n]);
        }
        free(text);
    }
}

/* Each character after another class, so that every piece looks ahead: a quadratic rule would not end. */
static void a_megabyte_of_any_class_is_cut_in_time(void **state)
{
    (void)state;
    static const char *const units[] = {"A",
                                        "a",
                                        "\xe4\xb8\xad",
                                        "\xcc\x81",
                                        "!",
                                        " ",
                                        "\n",
                                        "1",
                                        "'",
                                        "\xe4\xb8\xad"
                                        "A",
                                        "A\xcc\x81",
                                        " \n"};
    static const char *const names[] = {"llama4", "llama-bpe", "gpt-2", "smollm"};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    assert_non_null(text);
    for (size_t n = 0; n < COUNT(names); n++)
        for (size_t u = 0; u < COUNT(units); u++) {
            size_t unit = strlen(units[u]), len = BYTES / unit * unit, at = 0;
            const struct wm_pretokenizer *rule = wm_pretokenizer_find(names[n], strlen(names[n]));
            for (size_t i = 0; i < len; i += unit)
                memcpy(text + i, units[u], unit);
            while (at < len)
                at += rule->piece(text + at, len - at);
            assert_int_equal(at, len);
        }
    free(text);
}

/* --- tokenizer.json and tokenizer.model, in small --------------------------------------------------------- */

#define PRE_GPT2 "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define VOCAB    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"\\u0120ab\":4}"
#define TOKENIZER(pre, model)                                                                                \
    "{" pre ",\"added_tokens\":[{\"id\":6,\"content\":\"<|eot|>\",\"special\":true},{\"id\":7,\"content\":"  \
    "\"<think>\",\"special\":false}],\"model\":{" model "}}"

static struct wm_tokenizer *parse(const char *bytes)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokenizer *t = NULL;
    if (wm_tokenizer_parse("small", bytes, strlen(bytes), &t, &err) != WM_OK)
        fail_msg("%s", err.text);
    return t;
}

static void check_small(const char *bytes, const char *text, const int32_t *want, size_t n)
{
    struct wm_tokenizer *t = parse(bytes);
    struct wm_tokens ids = {0};
    encode(t, text, strlen(text), &ids);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.ids, want, n * sizeof *want);
    wm_tokens_free(&ids);
    wm_tokenizer_free(t);
}

static void merges_may_be_strings_or_pairs(void **state)
{
    (void)state;
    static const char strings[] = TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[\"a b\",\"\\u0120 ab\"]"),
                      pairs[] =
                          TOKENIZER(PRE_GPT2, VOCAB
                                    ",\"type\":\"BPE\",\"merges\":[[\"a\",\"b\"],[\"\\u0120\",\"ab\"]]");
    check_small(strings, "ab ab b", (int32_t[]){2, 4, 3, 1}, 4);
    check_small(pairs, "ab ab b", (int32_t[]){2, 4, 3, 1}, 4);
}

static void added_tokens_are_never_spelled_by_a_text(void **state)
{
    (void)state;
    struct wm_tokenizer *t = parse(TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[]"));
    struct wm_tokens ids = {0};
    size_t len;
    assert_int_equal(wm_tokenizer_size(t), 8);
    encode(t, "<|eot|><think>", 14, &ids);
    assert_int_equal(ids.n, 0); /* no byte of it has a token here */
    assert_int_equal(wm_tokenizer_control(t, "<|eot|>"), 6);
    assert_int_equal(wm_tokenizer_control(t, "<think>"), -1);
    assert_true(wm_tokenizer_stops(t, 6));
    assert_memory_equal(wm_tokenizer_bytes(t, 7, &len), "<think>", 7); /* shown as it is spelled */
    wm_tokenizer_bytes(t, 6, &len);
    assert_int_equal(len, 0);
    wm_tokenizer_bytes(t, 5, &len); /* an id that nobody gave */
    assert_int_equal(len, 0);
    wm_tokens_free(&ids);
    wm_tokenizer_free(t);
}

static const struct {
    const char *bytes, *says;
    enum wm_status code;
} refused[] = {
    {"{", "not JSON", WM_EFORMAT},
    {"{\"a\":1,\"a\":2}", "duplicate", WM_EFORMAT},
    {"{}", "\"model\" is missing", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"type\":\"Unigram\""), "model.type", WM_EUNSUPPORTED},
    {TOKENIZER(PRE_GPT2 ",\"normalizer\":{\"type\":\"NFC\"}", VOCAB ",\"merges\":[]"), "normalizer",
     WM_EUNSUPPORTED},
    {TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[],\"byte_fallback\":true"), "model.byte_fallback",
     WM_EUNSUPPORTED},
    {TOKENIZER("\"pre_tokenizer\":{\"type\":\"Whitespace\"}", VOCAB), "pre_tokenizer", WM_EUNSUPPORTED},
    {TOKENIZER(PRE_GPT2, "\"vocab\":[]"), "model.vocab", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"vocab\":{\"a\":-1}"), "the id -1", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"vocab\":{\"a\":2097152}"), "the id -1", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"vocab\":{\"a\":1.5}"), "the id -1", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"vocab\":{\"\":1}"), "0 bytes", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, "\"vocab\":{\"a\":1,\"b\":1}"), "two tokens have the id 1", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, VOCAB), "model.merges", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[\"a b\",\"b a\"]"), "number 1", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[\"ab\"]"), "number 0", WM_EFORMAT},
    {TOKENIZER(PRE_GPT2, VOCAB ",\"merges\":[[\"a\",\"b\",\"c\"]]"), "number 0", WM_EFORMAT},
    {"", "no tokens", WM_EFORMAT},
    {"YQ==\n", "line 1", WM_EFORMAT},
    {"YQ== 0\nYg== 2\n", "line 2", WM_EFORMAT},
    {"YQ== 0\nY*== 1\n", "line 2", WM_EFORMAT},
    {"YQ== 0\nYg= 1\n", "line 2", WM_EFORMAT},
    {"YQ== 99999999999999999999\n", "line 1", WM_EFORMAT},
    {"YQ== 0\n\n", "line 2", WM_EFORMAT},
    {"\n\x0f\n\x05<unk>", "SentencePiece", WM_EFORMAT},
};

static void a_tokenizer_that_we_cannot_follow_is_one_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_tokenizer *t = NULL;
        if (wm_tokenizer_parse("small", refused[i].bytes, strlen(refused[i].bytes), &t, &err) !=
                refused[i].code ||
            t || !strstr(err.text, refused[i].says) || !strstr(err.text, "small"))
            fail_msg("case %zu (%s): '%s'", i, refused[i].bytes, err.text);
    }
}

static void ranks_imply_the_merges_and_metas_control_tokens(void **state)
{
    (void)state;
    static const char ranks[] = "YQ== 0\nYg== 1\nYw== 2\nYWI= 3\nYmM= 4\nYWJj 5\n"; /* a b c ab bc abc */
    static const struct {
        const char *name;
        int32_t behind; /* places behind the last rank */
    } controls[] = {
        {"<|begin_of_text|>", 0},
        {"<|eot|>", 8},
        {"<|text_post_train_reserved_special_token_5|>", 15},
        {"<|python_start|>", 16},
        {"<|text_post_train_reserved_special_token_68|>", 79},
        {"<|image_start|>", 80},
        {"<|tile_x_separator|>", 84},
        {"<|image|>", 90},
        {"<|patch|>", 92},
        {"<|vision_reserved_special_token_1047|>", 1133},
        {"<|reasoning_thinking_end|>", 1143},
        {"<|reserved_special_token_903|>", 2047},
    };
    check_small(ranks, "bcabab", (int32_t[]){4, 3, 3}, 3); /* the lowest first, then the leftmost */
    check_small(ranks, "aabc", (int32_t[]){0, 5}, 2);
    check_small("YQ== 0\r\nYg== 1", "ba", (int32_t[]){1, 0}, 2); /* other line ends, none at the end */
    struct wm_tokenizer *t = parse(ranks);
    assert_int_equal(wm_tokenizer_size(t), 6 + 2048);
    for (size_t i = 0; i < COUNT(controls); i++)
        assert_int_equal(wm_tokenizer_control(t, controls[i].name), 6 + controls[i].behind);
    for (int32_t id = 0; id < wm_tokenizer_size(t); id++)
        assert_int_equal(wm_tokenizer_stops(t, id), id == 7 || id == 13 || id == 14);
    wm_tokenizer_free(t);
}

static void a_folder_says_which_tokens_end_a_reply(void **state)
{
    (void)state;
    if (!sources[2].tokenizer || !sources[4].tokenizer)
        SKIP("no ../shared/golden/models/");
    for (int32_t id = 0; id < 512; id++) {
        assert_int_equal(wm_tokenizer_stops(sources[2].tokenizer, id), id == 481 || id == 487 || id == 488);
        assert_int_equal(wm_tokenizer_stops(sources[4].tokenizer, id), id == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_gives_the_models_own_ids_and_the_texts_back),
        cmocka_unit_test(ill_formed_bytes_become_replacement_characters_first),
        cmocka_unit_test(a_stream_shows_only_whole_characters),
        cmocka_unit_test(very_long_words_give_the_right_ids_in_time),
        cmocka_unit_test(fifty_thousand_random_strings_decode_to_themselves),
        cmocka_unit_test(no_text_becomes_a_control_token),
        cmocka_unit_test(each_rule_cuts_where_its_expression_does),
        cmocka_unit_test(long_texts_are_cut_where_metas_tokenizer_cuts_them),
        cmocka_unit_test(a_megabyte_of_any_class_is_cut_in_time),
        cmocka_unit_test(merges_may_be_strings_or_pairs),
        cmocka_unit_test(added_tokens_are_never_spelled_by_a_text),
        cmocka_unit_test(a_tokenizer_that_we_cannot_follow_is_one_sentence),
        cmocka_unit_test(ranks_imply_the_merges_and_metas_control_tokens),
        cmocka_unit_test(a_folder_says_which_tokens_end_a_reply),
    };
    return cmocka_run_group_tests(tests, open_sources, close_sources);
}

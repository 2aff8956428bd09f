/* render_test.c -- what a model writes, as WhatsApp shows it: the dialect, and the cuts. */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"
#include "adapters/text/cluster.h"
#include "adapters/text/markdown.h"
#include "adapters/text/split.h"
#include "kernels/base/utf8.h"

enum { PARTS = 4000, LIMIT = 4096 };

struct parts {
    char *text[PARTS];
    size_t n;
};

static enum wm_status keep(void *arg, const char *text, size_t len)
{
    struct parts *parts = arg;
    assert_in_range(parts->n, 0, PARTS - 1);
    parts->text[parts->n++] = strndup(text, len);
    return WM_OK;
}

static void drop(struct parts *parts)
{
    while (parts->n)
        free(parts->text[--parts->n]);
}

static void render(const char *markdown, size_t len, struct parts *parts)
{
    struct wm_error err = WM_ERROR_INIT;
    if (wm_adapter_find("whatsapp")->render(NULL, markdown, len, keep, parts, &err) != WM_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < parts->n; i++) {
        size_t bytes = strlen(parts->text[i]);
        assert_true(bytes > 0);
        assert_true(wm_utf8_valid(parts->text[i], bytes));
        assert_in_range(wm_utf8_utf16_len(parts->text[i], bytes), 1, LIMIT);
        assert_null(strchr(" \n\t", parts->text[i][bytes - 1]));
    }
}

static void markdown_becomes_what_whatsapp_knows(void **state)
{
    (void)state;
    static const struct {
        const char *markdown, *want;
    } cases[] = {
        {"**bold** and __bold__", "*bold* and *bold*"},
        {"*italic* and _italic_", "_italic_ and _italic_"},
        {"***both***", "_*both*_"},
        {"~~gone~~ stays", "~gone~ stays"},
        {"~~a **b** c~~", "~a *b* c~"},
        {"a ~~ b ~~ c", "a ~~ b ~~ c"},
        {"~~unfinished", "~~unfinished"},
        {"~~a~~ ~~b~~", "~a~ ~b~"},
        {"`code *x*`", "`code *x*`"},
        {"``a`b``", "a`b"},
        {"```c\nint a;\n  b;\n```", "```\nint a;\n  b;\n```"},
        {"text\n\n```\n\n```\n\nmore", "text\n\nmore"},
        {"~~~~\n```\nx\n```\n~~~~", "```\nx\n```"},
        {"# Title", "*Title*"},
        {"## A **bold** title\nText", "*A bold title*\nText"},
        {"Title\n=====\n\nText", "*Title*\n\nText"},
        {"[shop](https://a.example/x)", "shop (https://a.example/x)"},
        {"[https://a.example](https://a.example)", "https://a.example"},
        {"<https://a.example>", "https://a.example"},
        {"<me@a.example>", "me@a.example"},
        {"[](https://a.example)", "https://a.example"},
        {"[**x**](https://a.example)", "*x* (https://a.example)"},
        {"![plan](https://a.example/p.png)", "Image: plan (https://a.example/p.png)"},
        {"![](https://a.example/p.png)", "Image: https://a.example/p.png"},
        {"* a\n* b", "- a\n- b"},
        {"1. a\n2. b", "1. a\n2. b"},
        {"7) a\n8) b", "7) a\n8) b"},
        {"- a\n  - b\n    - c\n- d", "- a\n  - b\n    - c\n- d"},
        {"- a\n\n- b", "- a\n\n- b"},
        {"- **a**: b", "- *a*: b"},
        {"- ```\n  x\n  ```", "-\n```\nx\n```"},
        {"Buy:\n- milk\n- eggs\n\nThanks", "Buy:\n- milk\n- eggs\n\nThanks"},
        {"> quote\n> more", "> quote\n> more"},
        {"> *a\n> b*", "> _a_\n> _b_"},
        {"> a\n\nb", "> a\n\nb"},
        {"| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"},
        {"a<br>b <b>c</b>", "a<br>b <b>c</b>"},
        {"<div>\nx\n</div>", "<div>\nx\n</div>"},
        {"a\n\n---\n\nb", "a\n\n---\n\nb"},
        {"**a\nb**", "*a*\n*b*"},
        {"foo**bar**baz", "foobarbaz"},
        {"**bar**baz", "barbaz"},
        {"the `x`s", "the xs"},
        {"(**bar**)", "(*bar*)"},
        {"**x**\xE4\xBD\xA0", "x\xE4\xBD\xA0"}, /* a word of any script */
        {"[1]: https://a.example", "[1]: https://a.example"},
        {"see [x][1]\n\n[1]: https://a.example", "see [x][1]\n\n[1]: https://a.example"},
        {"\\*no\\*", "*no*"},
        {"&lt;b&gt; &amp; `&amp;`", "<b> & `&amp;`"},
        {"a\\\nb", "a\nb"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parts parts = {0};
        render(cases[i].markdown, strlen(cases[i].markdown), &parts);
        if (parts.n != 1 || strcmp(parts.text[0], cases[i].want) != 0)
            fail_msg("\"%s\" became \"%s\", not \"%s\"", cases[i].markdown,
                     parts.n ? parts.text[0] : "nothing", cases[i].want);
        drop(&parts);
    }
}

static void plain_text_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Hello",
        "two * three * four",
        "snake_case_name and 2*3",
        "a\n\n\n\nb   c",
        "  three spaces in front",
        "tab\there\nline",
        "caf\xC3\xA9 \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 ok?",
        "5 < 6 & 7 > 2",
        "$100 ~ 90 EUR (approx.)",
        "https://a.example/x_y_z?a=1&b=2",
        "C:\\temp",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct parts parts = {0};
        render(texts[i], strlen(texts[i]), &parts);
        assert_int_equal(parts.n, 1);
        assert_string_equal(parts.text[0], texts[i]);
        drop(&parts);
    }
}

static void what_cannot_be_shown_is_dropped_or_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *want; /* NULL: no message at all */
    } cases[] = {
        {"", 0, NULL},
        {" \n\t ", 4, NULL},
        {"a\0b", 3, "ab"},
        {"a\x0E\x14\x1F\x1B[31mb", 10, "a[31mb"},
        {"a\r\nb\rc", 6, "a\nb\nc"},
        {"a\xFF\xC3", 3, "a\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a  \n\n", 5, "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parts parts = {0};
        render(cases[i].text, cases[i].len, &parts);
        assert_int_equal(parts.n, cases[i].want != NULL);
        if (cases[i].want)
            assert_string_equal(parts.text[0], cases[i].want);
        drop(&parts);
    }
}

/* --- cuts ---------------------------------------------------------------------------------------------------- */

static const struct wm_dialect stars = {
    .open = {"> ", "*", "_", "~", "`", "```\n"},
    .close = {"", "*", "_", "~", "`", "\n```"},
};

static void split(const char *markdown, size_t units, struct parts *parts)
{
    struct wm_buffer styled = WM_BUFFER(1 << 22);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_markdown_style(markdown, strlen(markdown), &styled, &err), WM_OK);
    assert_int_equal(wm_split(&stars, styled.data, styled.len, WM_MEASURE_UTF16, units, keep, parts, &err),
                     WM_OK);
    wm_buffer_free(&styled);
    for (size_t i = 0; i < parts->n; i++)
        assert_in_range(wm_utf8_utf16_len(parts->text[i], strlen(parts->text[i])), 1, units);
}

#define TEN   "abcdefghi "
#define FIFTY TEN TEN TEN TEN TEN

static void a_cut_is_where_a_writer_would_pause(void **state)
{
    (void)state;
    static const struct {
        const char *markdown, *first, *second; /* the second part begins so; 64 units */
    } cases[] = {
        {TEN TEN TEN "Yes.\n\nNo. " TEN TEN "\n" TEN TEN, TEN TEN TEN "Yes.", "No."},
        {TEN TEN TEN TEN "\nline. " TEN FIFTY, TEN TEN TEN "abcdefghi", "line."},
        {TEN TEN TEN "Yes. " FIFTY, TEN TEN TEN "Yes.", "abc"},
        {FIFTY FIFTY, TEN TEN TEN TEN TEN "abcdefghi", "abc"},
        {"go https://a.example/123456789012345678901234567890123456789012345678901", "go",
         "https://a.example/123456789012345678901234567890123456789012345678901"},
        {"**" FIFTY "abc** def ghi jkl mno", "*" TEN TEN TEN TEN TEN "abc* def ghi", "jkl"},
        {"**" FIFTY TEN "xyz** end", "*" TEN TEN TEN TEN TEN "abcdefghi*", "*xyz* end"},
        {"> " FIFTY TEN "xyz", "> " TEN TEN TEN TEN TEN "abcdefghi", "> xyz"},
        {"```\nfirst line of code here\n  second line of code here\n    third line\n```",
         "```\nfirst line of code here\n  second line of code here\n```", "```\n    third line\n```"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parts parts = {0};
        split(cases[i].markdown, strncmp(cases[i].markdown, "go", 2) == 0 ? 70 : 64, &parts);
        assert_true(parts.n >= 2);
        assert_string_equal(parts.text[0], cases[i].first);
        if (strncmp(parts.text[1], cases[i].second, strlen(cases[i].second)) != 0)
            fail_msg("case %zu: the second part is \"%s\", not \"%s...\"", i, parts.text[1], cases[i].second);
        drop(&parts);
    }
}

static void no_character_that_people_see_is_torn(void **state)
{
    (void)state;
    static const char *const clusters[] = {
        "\xC3\xA9",                         /* e acute */
        "e\xCC\x81",                        /* e, combining acute */
        "\xF0\x9F\x98\x80",                 /* surrogate pair in UTF-16 */
        "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD", /* skin tone */
        "\xF0\x9F\x87\xAA\xF0\x9F\x87\xB8", /* flag */
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", /* family, joined */
        "\xE2\x9D\xA4\xEF\xB8\x8F",                                                 /* heart with selector */
        "1\xEF\xB8\x8F\xE2\x83\xA3",                                                /* keycap */
        "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB",                                     /* Hangul, three parts */
        "\xE0\xA4\x95\xE0\xA4\xBF", /* Devanagari with vowel */
    };
    for (size_t i = 0; i < COUNT(clusters); i++) {
        size_t bytes = strlen(clusters[i]);
        struct wm_buffer text = WM_BUFFER(8192);
        for (size_t at = 0; at < 300; at++)
            wm_buffer_puts(&text, clusters[i]);
        assert_int_equal(wm_cluster_len(text.data, text.len), bytes);
        struct parts parts = {0};
        split(text.data, 65, &parts); /* odd, so that pairs do not fall on the limit by luck */
        assert_true(parts.n > 1);
        for (size_t p = 0; p < parts.n; p++)
            assert_int_equal(strlen(parts.text[p]) % bytes, 0);
        wm_buffer_free(&text);
        drop(&parts);
    }
}

static void a_letter_with_ten_thousand_accents_still_goes_out(void **state)
{
    (void)state;
    struct wm_buffer text = WM_BUFFER(1 << 16);
    wm_buffer_puts(&text, "e");
    for (int i = 0; i < 10000; i++)
        wm_buffer_puts(&text, "\xCC\x81");
    struct parts parts = {0};
    render(text.data, text.len, &parts);
    assert_int_equal(parts.n, 3);
    drop(&parts);
    wm_buffer_free(&text);
}

/* The visible characters of parts and text, without markers' characters and white space, must be the same. */
static void visible(const char *text, struct wm_buffer *out)
{
    for (; *text; text++)
        if (!strchr(" \n\t*_~`>", *text))
            wm_buffer_add(out, text, 1);
}

static void parts_joined_are_the_text_at_every_limit(void **state)
{
    (void)state;
    static const char *const pieces[] = {"word ",
                                         "**bold one** ",
                                         "_it_ ",
                                         "\n\n",
                                         "\n- item ",
                                         "\n> q ",
                                         "`co de` ",
                                         "Sentence. ",
                                         "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD",
                                         "~~x y~~ ",
                                         "https://a.example/long/path ",
                                         "\n```\ncode\n  more\n```\n",
                                         "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82",
                                         "# head\n",
                                         "a*b ",
                                         "***"};
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct wm_buffer text = WM_BUFFER(1 << 16), want = WM_BUFFER(1 << 16), got = WM_BUFFER(1 << 16);
        for (int i = 0; i < 60; i++) {
            seed = seed * 1664525 + 1013904223;
            wm_buffer_puts(&text, pieces[(seed >> 16) % COUNT(pieces)]);
        }
        struct parts whole = {0}, parts = {0};
        split(text.data, 100000, &whole);
        assert_int_equal(whole.n, 1);
        visible(whole.text[0], &want);
        split(text.data, WM_SPLIT_UNITS_MIN + (size_t)round % 40, &parts);
        for (size_t i = 0; i < parts.n; i++)
            visible(parts.text[i], &got);
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, want.len);
        drop(&parts);
        drop(&whole);
        wm_buffer_free(&text);
        wm_buffer_free(&want);
        wm_buffer_free(&got);
    }
}

static void a_long_answer_is_many_full_messages(void **state)
{
    (void)state;
    struct wm_buffer text = WM_BUFFER(1 << 20);
    while (text.len < 100000)
        wm_buffer_puts(&text, "All work and no play makes a dull reply. ");
    struct parts parts = {0};
    render(text.data, text.len, &parts);
    assert_int_equal(parts.n, 25);
    drop(&parts);

    text.len = 0; /* one word */
    while (text.len < 100000)
        wm_buffer_puts(&text, "a");
    render(text.data, text.len, &parts);
    assert_int_equal(parts.n, 25);
    drop(&parts);

    text.len = 0; /* longer than what is read as Markdown */
    while (text.len <= WM_MARKDOWN_MAX)
        wm_buffer_puts(&text, "**bold** ");
    render(text.data, text.len, &parts);
    assert_int_equal(strncmp(parts.text[0], "**bold**", 8), 0);
    drop(&parts);
    wm_buffer_free(&text);
}

static enum wm_status refuse(void *arg, const char *text, size_t len)
{
    (void)text;
    (void)len;
    ++*(int *)arg;
    return WM_EAGAIN;
}

static void a_part_that_is_refused_ends_the_splitting(void **state)
{
    (void)state;
    int calls = 0;
    char text[10000];
    memset(text, 'a', sizeof text);
    assert_int_equal(wm_adapter_find("whatsapp")->render(NULL, text, sizeof text, refuse, &calls, NULL),
                     WM_EAGAIN);
    assert_int_equal(calls, 1);
    assert_int_equal(
        wm_split(&stars, text, 10, WM_MEASURE_UTF16, WM_SPLIT_UNITS_MIN - 1, refuse, &calls, NULL),
        WM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markdown_becomes_what_whatsapp_knows),
        cmocka_unit_test(plain_text_stays_as_it_is),
        cmocka_unit_test(what_cannot_be_shown_is_dropped_or_replaced),
        cmocka_unit_test(a_cut_is_where_a_writer_would_pause),
        cmocka_unit_test(no_character_that_people_see_is_torn),
        cmocka_unit_test(a_letter_with_ten_thousand_accents_still_goes_out),
        cmocka_unit_test(parts_joined_are_the_text_at_every_limit),
        cmocka_unit_test(a_long_answer_is_many_full_messages),
        cmocka_unit_test(a_part_that_is_refused_ends_the_splitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

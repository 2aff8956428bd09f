/* arch_test.c -- one architecture from every way of writing it down; what contradicts itself is refused with
 * the key's name. */
#include "tests/engine/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/arch.h"
#include "engine/plan.h"
#include "tests/engine/tiny_folder.h"
#include "tests/engine/tiny_model.h"

static enum wm_status read_config(const char *text, struct wm_arch *a, struct wm_error *err)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1); /* of exactly that size, so that ASan sees one byte too far */
    memcpy(copy, text, len);
    *err = (struct wm_error)WM_ERROR_INIT;
    enum wm_status st = wm_arch_from_config("config.json", copy, len, a, err);
    free(copy);
    return st;
}

/* `text` with the first `from` replaced by `to`; in a buffer that the next call overwrites. */
static const char *with(const char *text, const char *from, const char *to)
{
    static char out[4096];
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("there is no %s", from);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void good(const char *text, struct wm_arch *a)
{
    struct wm_error err;
    if (read_config(text, a, &err) != WM_OK)
        fail_msg("%s", err.text);
}

/* --- config.json ---------------------------------------------------------------------------------------- */

static void scout_and_maverick_are_what_their_papers_say(void **state)
{
    (void)state;
    static struct wm_arch scout, maverick;
    good(wm_plan_models[0].config, &scout);
    good(wm_plan_models[1].config, &maverick);
    assert_int_equal(scout.family, WM_FAMILY_LLAMA4);
    assert_int_equal(scout.pairing, WM_ROPE_ADJACENT);
    assert_true(scout.qk_norm && !maverick.qk_norm && !scout.tied);
    assert_int_equal(scout.chunk, 8192);
    assert_true(scout.temperature_floor == 8192 && scout.temperature_scale == 0.1);
    for (int l = 0; l < 48; l++) {
        assert_int_equal(scout.rope[l], l % 4 != 3);
        assert_int_equal(maverick.rope[l], l % 4 != 3);
        assert_true(scout.moe[l]);
        assert_int_equal(maverick.moe[l], l % 2 == 1);
    }
    assert_int_equal(scout.dense_hidden, 0);
    assert_int_equal(maverick.dense_hidden, 16384);
    assert_int_equal(maverick.expert_hidden, 8192);
    assert_int_equal(maverick.shared_hidden, 8192);
    /* Low and high meet: the first slowed pair is 35, and nothing is blended. */
    for (int i = 0; i < 64; i++) {
        double plain = pow(500000, -2.0 * i / 128);
        CHECK_NEAR(maverick.inv_freq[i], plain, 1e-15);
        CHECK_NEAR(scout.inv_freq[i], i < 35 ? plain : plain / 16, 1e-15);
    }
    assert_int_equal(wm_tile_tokens(&scout.vision), 144);
    assert_int_equal(scout.vision.max_tiles, 16);
}

/* Pairs of ways to write the same. */
static const struct {
    const char *one, *other;
} same[] = {
#define TEXT                                                                                                 \
    "\"vocab_size\":32,\"hidden_size\":16,\"num_hidden_layers\":4,\"num_attention_heads\":8,\"intermediate_" \
    "size\":8"
#define TOP "{\"architectures\":[\"Llama4ForCausalLM\"]," TEXT
    {TOP "}", "{\"model_type\":\"llama4_text\"," TEXT "}"},
    {TOP "}", "{\"model_type\":\"llama4\",\"text_config\":{" TEXT "}}"},
    {TOP "}", "{\"model_type\":\"llama4\",\"text_config\":{" TEXT "},\"vision_config\":null}"},
    {TOP ",\"rope_theta\":7000,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}",
     TOP ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":7000.0}}"},
    {TOP ",\"rope_scaling\":null}", TOP ",\"rope_scaling\":{\"rope_type\":\"default\"}}"},
    {TOP ",\"no_rope_layers\":[]}", TOP ",\"no_rope_layers\":[1,1,1,0]}"},
    {TOP ",\"no_rope_layer_interval\":2}", TOP ",\"no_rope_layers\":[1,0,1,0]}"},
    {TOP ",\"interleave_moe_layer_step\":2}", TOP ",\"moe_layers\":[1,3]}"},
    {TOP ",\"attn_temperature_tuning\":4}", TOP ",\"attn_temperature_tuning\":true}"},
    {TOP ",\"attn_temperature_tuning\":0}", TOP ",\"attn_temperature_tuning\":false}"},
    {TOP ",\"attention_chunk_size\":null}", TOP ",\"attention_chunk_size\":0}"},
    {TOP ",\"attention_chunk_size\":null}",
     TOP ",\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\",\"full_attention\"]}"},
    {TOP "}", TOP ",\"layer_types\":[\"chunked_attention\",\"chunked_attention\",\"chunked_attention\","
                  "\"full_attention\"]}"},
    {TOP ",\"head_dim\":null,\"num_key_value_heads\":null}",
     TOP ",\"head_dim\":2,\"num_key_value_heads\":8}"},
    {TOP "}", TOP ",\"head_dim\":128,\"num_key_value_heads\":8.0}"},
    {TOP ",\"num_key_value_heads\":4,\"torch_dtype\":\"bfloat16\"}",
     TOP ",\"num_key_value_heads\":4,\"dtype\":\"bfloat16\"}"},
};

static void the_same_model_in_two_spellings_is_the_same_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(same); i++) {
        static struct wm_arch a, b;
        good(same[i].one, &a);
        good(same[i].other, &b);
        if (memcmp(&a, &b, sizeof a) != 0)
            fail_msg("%s is not %s", same[i].one, same[i].other);
    }
}

static void llama_rotates_halves_and_everything_in_every_layer(void **state)
{
    (void)state;
    static struct wm_arch a;
    good("{\"architectures\":[\"LlamaForCausalLM\"]," TEXT ",\"tie_word_embeddings\":true}", &a);
    assert_int_equal(a.family, WM_FAMILY_LLAMA);
    assert_int_equal(a.pairing, WM_ROPE_HALVES);
    assert_true(a.tied && !a.qk_norm && !a.chunk && a.temperature_floor == 0 && !a.experts);
    assert_int_equal(a.kv_heads, 8);
    assert_int_equal(a.head_dim, 2);
    assert_true(a.rope[0] && a.rope[3] && a.rope_base == 10000);
}

/* By hand, with base 10000 and a head of 4: pair 1 has frequency 0.01. In 100 positions it turns 0.16 times,
 * less than once: slowed. Pair 0 turns 15.9 times: as it was. In 1000 positions pair 1 turns 1.59 times: between. */
static void llama3_scaling_slows_what_turns_little(void **state)
{
    (void)state;
    static struct wm_arch a;
    good("{\"architectures\":[\"LlamaForCausalLM\"]," TEXT
         ",\"head_dim\":4,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
         "\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":100}}",
         &a);
    CHECK_NEAR(a.inv_freq[0], 1, 1e-15);
    CHECK_NEAR(a.inv_freq[1], 0.01 / 8, 1e-15);
    good("{\"architectures\":[\"LlamaForCausalLM\"]," TEXT
         ",\"head_dim\":4,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
         "\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":1000}}",
         &a);
    double blend = (1000 * 0.01 / (2 * M_PI) - 1) / 3;
    CHECK_NEAR(a.inv_freq[1], (1 - blend) * 0.01 / 8 + blend * 0.01, 1e-15);
}

/* What is changed in a good config, and what the sentence names. */
static const struct {
    const char *from, *to, *says;
} bad_text[] = {
    {"\"hidden_size\":16", "\"x\":1", "hidden_size is missing"},
    {"\"hidden_size\":16", "\"hidden_size\":null", "hidden_size is missing"},
    {"\"hidden_size\":16", "\"hidden_size\":\"16\"", "hidden_size must be a whole number"},
    {"\"hidden_size\":16", "\"hidden_size\":16.5", "hidden_size must be a whole number"},
    {"\"hidden_size\":16", "\"hidden_size\":0", "hidden_size is 0"},
    {"\"hidden_size\":16", "\"hidden_size\":-1", "hidden_size is -1"},
    {"\"hidden_size\":16", "\"hidden_size\":2147483648", "hidden_size is 2147483648"},
    {"\"hidden_size\":16", "\"hidden_size\":1e300", "hidden_size must be a whole number"},
    {"\"hidden_size\":16", "\"hidden_size\":9223372036854775808", "too big"},
    {"\"hidden_size\":16", "\"hidden_size\":16,\"hidden_size\":16", "duplicate"},
    {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1025", "num_hidden_layers is 1025"},
    {"\"num_attention_heads\":4", "\"num_attention_heads\":3", "3 query heads and 2 key heads"},
    {"\"head_dim\":4", "\"head_dim\":5", "of 5 elements"},
    {"\"head_dim\":4", "\"head_dim\":258", "head_dim is 258"},
    {"\"vocab_size\":32", "\"vocab_size\":4194304", "vocab_size is 4194304"},
    {"\"num_local_experts\":2", "\"num_local_experts\":0", "num_local_experts is 0"},
    {"\"num_local_experts\":2", "\"num_local_experts\":2,\"num_experts_per_tok\":3", "3 of 2 experts"},
    {"\"interleave_moe_layer_step\":2", "\"moe_layers\":[2]", "moe_layers is not one of the 2 layers"},
    {"\"interleave_moe_layer_step\":2", "\"moe_layers\":[-1]", "moe_layers is not one"},
    {"\"interleave_moe_layer_step\":2", "\"moe_layers\":{}", "moe_layers must be a list"},
    {"\"attention_chunk_size\":16", "\"attention_chunk_size\":-1", "attention_chunk_size is -1"},
    {"\"attention_chunk_size\":16", "\"no_rope_layers\":[1]", "no_rope_layers must be a list of 2"},
    {"\"attention_chunk_size\":16", "\"no_rope_layers\":[1,\"0\"]", "element 1 of config key no_rope_layers"},
    {"\"attention_chunk_size\":16", "\"layer_types\":[\"chunked_attention\",\"full_attention\"]", "disagree"},
    {"\"attention_chunk_size\":16", "\"layer_types\":[\"sliding_attention\",\"full_attention\"]",
     "element 0"},
    {"\"attention_chunk_size\":16", "\"layer_types\":[\"full_attention\"]",
     "layer_types must be a list of 2"},
    {"\"attention_chunk_size\":16", "\"attention_bias\":true", "attention_bias is true"},
    {"\"attention_chunk_size\":16", "\"hidden_act\":\"gelu\"", "hidden_act is gelu"},
    {"\"attention_chunk_size\":16", "\"hidden_act\":\"\\u001b[31m\"", "hidden_act is something else"},
    {"\"attention_chunk_size\":16", "\"partial_rotary_factor\":0.5", "partial_rotary_factor is 0.5"},
    {"\"attention_chunk_size\":16", "\"floor_scale\":0", "floor_scale is 0"},
    {"\"attention_chunk_size\":16", "\"use_qk_norm\":\"yes\"", "use_qk_norm must be true or false"},
    {"\"attention_chunk_size\":16", "\"rope_theta\":0", "rope_theta is 0"},
    {"\"attention_chunk_size\":16", "\"rope_scaling\":4", "rope_scaling is missing or not an object"},
    {"\"attention_chunk_size\":16", "\"rope_scaling\":{\"rope_type\":\"yarn\"}", "rope_scaling.rope_type"},
    {"\"attention_chunk_size\":16", "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}",
     "low_freq_factor is missing"},
    {"\"attention_chunk_size\":16",
     "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":1,"
     "\"original_max_position_embeddings\":64}",
     "high_freq_factor is 1"},
    {"Llama4ForCausalLM", "GPT2LMHeadModel", "it runs: Llama4ForConditionalGeneration"},
    {"\"architectures\":[\"Llama4ForCausalLM\"],", "", "it runs:"},
    {"Llama4ForCausalLM", "Llama4ForConditionalGeneration", "text_config is missing"},
    {"{", "[{", "config, line"},
};

static void a_config_that_contradicts_itself_is_refused_by_its_key(void **state)
{
    (void)state;
    static struct wm_arch a;
    struct wm_error err;
    good(tiny4_config, &a);
    for (size_t i = 0; i < COUNT(bad_text); i++)
        if (read_config(with(tiny4_config, bad_text[i].from, bad_text[i].to), &a, &err) == WM_OK ||
            !strstr(err.text, bad_text[i].says) || !strstr(err.text, "config.json"))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad_text[i].to, err.text, bad_text[i].says);
    char huge[1024]; /* each size within its limit, all together not */
    snprintf(huge, sizeof huge, "%s",
             with(tiny4_config, "\"hidden_size\":16,\"num_hidden_layers\":2",
                  "\"hidden_size\":1048576,\"num_hidden_layers\":1024"));
    snprintf(
        huge, sizeof huge, "%s",
        with(huge, "\"intermediate_size\":8", "\"num_experts_per_tok\":1,\"intermediate_size\":1048576"));
    assert_int_equal(
        read_config(with(huge, "\"num_local_experts\":2", "\"num_local_experts\":4096"), &a, &err),
        WM_ELIMIT);
    assert_non_null(strstr(err.text, "2^59"));
}

static const struct {
    const char *from, *to, *says;
} bad_vision[] = {
    {"\"image_size\":336", "\"image_size\":337", "a tile of 337 pixels"},
    {"\"image_size\":336", "\"image_size\":1048576", "image_size is 1048576"},
    {"\"patch_size\":14", "\"patch_size\":0", "patch_size is 0"},
    {"\"intermediate_size\":5632", "\"intermediate_size\":5633", "vision_config.intermediate_size is 5633"},
    {"\"pixel_shuffle_ratio\":0.5", "\"pixel_shuffle_ratio\":0.7", "pixel_shuffle_ratio is 0.7"},
    {"\"vision_output_dim\":4096", "\"vision_output_dim\":4095", "vision_output_dim is 4095"},
    {"\"vision_output_dim\":4096", "\"multi_modal_projector_bias\":true", "multi_modal_projector_bias"},
    {"\"vision_output_dim\":4096", "\"num_channels\":4", "num_channels is 4"},
    {"\"vision_output_dim\":4096", "\"hidden_act\":\"relu\"", "hidden_act is relu"},
    {"\"num_attention_heads\":16", "\"num_attention_heads\":13", "does not divide into 13 heads"},
    {"\"num_attention_heads\":16", "\"num_attention_heads\":64", "does not divide into 64 heads"},
    {"\"num_attention_heads\":16", "\"num_attention_heads\":4", "does not divide into 4 heads"},
    {"\"hidden_size\":1408", "\"x\":1", "vision_config.hidden_size is missing"},
};

static void a_tower_that_contradicts_itself_is_refused_by_its_key(void **state)
{
    (void)state;
    static struct wm_arch a;
    struct wm_error err;
    for (size_t i = 0; i < COUNT(bad_vision); i++)
        if (read_config(with(wm_plan_models[1].config, bad_vision[i].from, bad_vision[i].to), &a, &err) ==
                WM_OK ||
            !strstr(err.text, bad_vision[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad_vision[i].to, err.text, bad_vision[i].says);
}

static void a_config_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static struct wm_arch a;
    for (int m = 0; m < 3; m++)
        for (size_t percent = 0; percent < 100; percent++) {
            const char *config = wm_plan_models[m].config;
            struct wm_error err;
            char *cut = strndup(config, strlen(config) * percent / 100);
            assert_int_equal(read_config(cut, &a, &err), WM_EFORMAT);
            free(cut);
        }
}

static void the_preprocessor_must_cut_the_towers_tiles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int tiles; /* 0: refused */
    } cases[] = {
        {"{}", 16},
        {"{\"max_patches\":4}", 4},
        {"{\"max_patches\":4,\"size\":{\"height\":336,\"width\":336}}", 4},
        {"{\"size\":{\"height\":336,\"width\":448}}", 0},
        {"{\"max_patches\":0}", 0},
        {"{\"max_patches\":65}", 0},
        {"{\"size\":336}", 0},
        {"{", 0},
    };
    struct tiny_tensors list;
    tiny4_tensors(&list, TINY_FUSED);
    struct wm_buffer file = tiny_safetensors(&list);
    for (size_t i = 0; i < COUNT(cases); i++) {
        static struct wm_arch a;
        struct wm_error err = WM_ERROR_INIT;
        struct wm_model_file *f;
        const char *config = wm_plan_models[1].config;
        const struct wm_model_member members[] = {
            {"config.json", config, strlen(config)},
            {"preprocessor_config.json", cases[i].text, strlen(cases[i].text)},
            {"model.safetensors", file.data, file.len},
        };
        assert_int_equal(wm_model_file_parse_folder("folder", members, COUNT(members), &f, &err), WM_OK);
        enum wm_status st = wm_arch_read(f, NULL, &a, &err);
        if ((st == WM_OK) != (cases[i].tiles > 0) || (st == WM_OK && a.vision.max_tiles != cases[i].tiles))
            fail_msg("%s: %s", cases[i].text, err.text);
        wm_model_file_close(f);
    }
    wm_buffer_free(&file);
}

static void weights_without_a_config_are_refused(void **state)
{
    (void)state;
    struct tiny_tensors list;
    tiny4_tensors(&list, TINY_FUSED);
    struct wm_buffer file = tiny_safetensors(&list);
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    static struct wm_arch a;
    assert_int_equal(wm_model_file_parse("x.safetensors", file.data, file.len, &f, &err), WM_OK);
    assert_int_equal(wm_arch_read(f, NULL, &a, &err), WM_ENOENT);
    assert_non_null(strstr(err.text, "config.json"));
    wm_model_file_close(f);
    wm_buffer_free(&file);
}

/* --- GGUF ----------------------------------------------------------------------------------------------- */

/* A key behind "llama4." or, with a dot of its own, as it stands. Kind 'u' whole, 'f' number, 'b' bool. */
struct key {
    const char *name;
    char kind;
    double value;
};

static const struct key base_keys[] = {
    {"context_length", 'u', 4096},         {"block_count", 'u', 4},
    {"embedding_length", 'u', 16},         {"feed_forward_length", 'u', 24},
    {"attention.head_count", 'u', 4},      {"attention.head_count_kv", 'u', 2},
    {"attention.key_length", 'u', 4},      {"expert_count", 'u', 16},
    {"expert_used_count", 'u', 1},         {"expert_feed_forward_length", 'u', 8},
    {"interleave_moe_layer_step", 'u', 1},
};

/* The architecture of a GGUF of base_keys, changed by `more` (same name: replaced; kind 0: left out). */
static enum wm_status read_keys(const struct key *more, size_t n, struct wm_arch *a, struct wm_error *err)
{
    struct wm_buffer pairs = WM_BUFFER(1 << 16), b = WM_BUFFER(1 << 16);
    size_t count = 1;
    for (size_t i = 0; i < COUNT(base_keys) + n; i++) {
        struct key k = i < COUNT(base_keys) ? base_keys[i] : more[i - COUNT(base_keys)];
        bool replaced = false;
        for (size_t j = 0; i < COUNT(base_keys) && j < n; j++)
            replaced = replaced || strcmp(more[j].name, k.name) == 0;
        if (replaced || !k.kind)
            continue;
        char name[96];
        snprintf(name, sizeof name, "llama4.%s", k.name);
        if (k.kind == 'u') {
            gguf_pair_u32(&pairs, name, (uint32_t)k.value);
        } else if (k.kind == 'f') {
            gguf_pair_f32(&pairs, name, (float)k.value);
        } else {
            gguf_text(&pairs, name);
            gguf_uint(&pairs, 7, 4);
            gguf_uint(&pairs, k.value != 0, 1);
        }
        count++;
    }
    gguf_head(&b, 1, count);
    gguf_pair_string(&b, "general.architecture", "llama4");
    wm_buffer_add(&b, pairs.data, pairs.len);
    gguf_tensor(&b, "token_embd.weight", 16, 32, WM_TYPE_F32, 0);
    gguf_pad(&b);
    for (int i = 0; i < 16 * 32; i++)
        gguf_uint(&b, 0, 4);
    struct wm_model_file *f;
    *err = (struct wm_error)WM_ERROR_INIT;
    if (wm_model_file_parse("test.gguf", b.data, b.len, &f, err) != WM_OK)
        fail_msg("%s", err->text);
    enum wm_status st = wm_arch_read(f, NULL, a, err);
    wm_model_file_close(f);
    wm_buffer_free(&pairs);
    wm_buffer_free(&b);
    return st;
}

static void a_gguf_without_the_keys_means_what_llama_cpp_has_in_code(void **state)
{
    (void)state;
    static struct wm_arch a;
    struct wm_error err;
    assert_int_equal(read_keys(NULL, 0, &a, &err), WM_OK);
    assert_int_equal(a.chunk, 8192);
    assert_true(a.temperature_floor == 8192 && a.temperature_scale == 0.1 && a.qk_norm && a.tied);
    assert_true(a.rope[0] && a.rope[2] && !a.rope[3] && a.moe[0]);
    assert_int_equal(a.dense_hidden, 0);
    assert_int_equal(a.shared_hidden, 8);
    const struct key maverick[] = {{"expert_count", 'u', 128}};
    assert_int_equal(read_keys(maverick, 1, &a, &err), WM_OK);
    assert_false(a.qk_norm);
}

static void keys_win_over_what_llama_cpp_has_in_code(void **state)
{
    (void)state;
    static struct wm_arch a;
    struct wm_error err;
    const struct key keys[] = {
        {"use_qk_norm", 'b', 0},
        {"attention.chunk_size", 'u', 12},
        {"attention.temperature_length", 'u', 6},
        {"attention.temperature_scale", 'f', 0.5},
        {"attention.sliding_window_pattern", 'u', 2},
        {"interleave_moe_layer_step", 'u', 2},
    };
    assert_int_equal(read_keys(keys, COUNT(keys), &a, &err), WM_OK);
    assert_int_equal(a.chunk, 12);
    assert_true(a.temperature_floor == 6 && a.temperature_scale == 0.5 && !a.qk_norm);
    assert_true(a.rope[0] && !a.rope[1] && a.rope[2] && !a.moe[0] && a.moe[1]);
    assert_int_equal(a.dense_hidden, 24);
    const struct key whole[] = {{"attention.sliding_window", 'u', 0}};
    assert_int_equal(read_keys(whole, 1, &a, &err), WM_OK);
    assert_true(a.chunk == 0 && a.rope[3] && a.temperature_floor == 0);
    const struct key dense[] = {{"expert_count", 'u', 0}};
    assert_int_equal(read_keys(dense, 1, &a, &err), WM_OK);
    assert_true(!a.moe[0] && !a.experts && !a.shared_hidden && a.dense_hidden == 24);
}

static void a_gguf_that_contradicts_itself_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        struct key key;
        const char *says;
    } cases[] = {
        {{"block_count", 0, 0}, "llama4.block_count is missing"},
        {{"block_count", 'u', 0}, "llama4.block_count is 0"},
        {{"block_count", 'u', 4294967295.0}, "llama4.block_count is 4294967295"},
        {{"block_count", 'b', 1}, "llama4.block_count must be a whole number"},
        {{"vocab_size", 'u', 33}, "llama4.vocab_size is 33"},
        {{"attention.value_length", 'u', 8}, "llama4.attention.value_length is 8"},
        {{"rope.dimension_count", 'u', 2}, "llama4.rope.dimension_count is 2"},
        {{"rope.scaling.type", 'u', 2}, "llama4.rope.scaling.type must be a text"},
        {{"expert_used_count", 'u', 17}, "17 of 16 experts"},
        {{"expert_feed_forward_length", 0, 0}, "llama4.expert_feed_forward_length is missing"},
        {{"interleave_moe_layer_step", 0, 0}, "llama4.interleave_moe_layer_step is missing"},
        {{"use_qk_norm", 'u', 1}, "llama4.use_qk_norm must be true or false"},
        {{"attention.chunk_size", 'u', 0}, "llama4.attention.chunk_size is 0"},
        {{"vision.block_count", 'u', 2}, "convert the model with llama.cpp"},
    };
    static struct wm_arch a;
    struct wm_error err;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (read_keys(&cases[i].key, 1, &a, &err) == WM_OK || !strstr(err.text, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].key.name, err.text, cases[i].says);
}

/* --- a tower in a file of its own ----------------------------------------------------------------------- */

static void a_projector_belongs_to_its_own_text_model(void **state)
{
    (void)state;
    static const struct {
        const char *text, *projector, *says; /* NULL: they fit */
    } cases[] = {
        {"gguf/maverick-vision-tiny-BF16.gguf", "gguf/mmproj-maverick-vision-tiny-BF16.gguf", NULL},
        {"gguf/maverick-vision-tiny-BF16.gguf", "gguf/scout-tiny-Q8_0.gguf", "not a vision tower"},
        {"gguf/maverick-defaults.gguf", "gguf/mmproj-maverick-vision-tiny-BF16.gguf",
         "do not belong together"},
        {"models/maverick-vision-tiny", "gguf/mmproj-maverick-vision-tiny-BF16.gguf",
         "its vision tower itself"},
        {"gguf/mmproj-maverick-vision-tiny-BF16.gguf", NULL, "--projector"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        static struct wm_arch a;
        struct wm_model_file *text = NULL, *projector = NULL;
        struct wm_error err = WM_ERROR_INIT;
        const char *path = golden_path(cases[i].text);
        if (!path)
            SKIP("no ../shared/golden");
        assert_int_equal(wm_model_file_open(path, &text, &err), WM_OK);
        if (cases[i].projector)
            assert_int_equal(wm_model_file_open(golden_path(cases[i].projector), &projector, &err), WM_OK);
        enum wm_status st = wm_arch_read(text, projector, &a, &err);
        if ((st == WM_OK) != !cases[i].says || (cases[i].says && !strstr(err.text, cases[i].says)))
            fail_msg("%s and %s: %s", cases[i].text, cases[i].projector, err.text);
        if (st == WM_OK) {
            assert_int_equal(a.vision.layers, 3);
            assert_int_equal(wm_tile_tokens(&a.vision), 4);
        }
        wm_model_file_close(text);
        wm_model_file_close(projector);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scout_and_maverick_are_what_their_papers_say),
        cmocka_unit_test(the_same_model_in_two_spellings_is_the_same_model),
        cmocka_unit_test(llama_rotates_halves_and_everything_in_every_layer),
        cmocka_unit_test(llama3_scaling_slows_what_turns_little),
        cmocka_unit_test(a_config_that_contradicts_itself_is_refused_by_its_key),
        cmocka_unit_test(a_tower_that_contradicts_itself_is_refused_by_its_key),
        cmocka_unit_test(a_config_cut_anywhere_is_refused),
        cmocka_unit_test(the_preprocessor_must_cut_the_towers_tiles),
        cmocka_unit_test(weights_without_a_config_are_refused),
        cmocka_unit_test(a_gguf_without_the_keys_means_what_llama_cpp_has_in_code),
        cmocka_unit_test(keys_win_over_what_llama_cpp_has_in_code),
        cmocka_unit_test(a_gguf_that_contradicts_itself_is_refused_by_its_key),
        cmocka_unit_test(a_projector_belongs_to_its_own_text_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

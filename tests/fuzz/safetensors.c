/* safetensors.c -- model folders from strangers: one file, the same file beside a config, and an index. No weights are packed. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/parts.h"
#include "engine/verify.h"
#include "kernels/matrix.h"
#include "tests/engine/tiny_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that a program would ask of the files. */
static void use(struct wm_model_file *f)
{
    static struct wm_arch arch;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_verified verified;
    wm_model_file_verify(f, NULL, &verified);
    if (wm_arch_read(f, NULL, &arch, &err) != WM_OK)
        return;
    const struct wm_parts parts = {f, NULL, &arch};
    if (wm_parts_check(&parts, &err) != WM_OK)
        return;
    for (enum wm_part part = 0; part < WM_PARTS; part++)
        for (int32_t l = 0; l < wm_part_layers(&arch, part) && !wm_part_is_vector(part); l++)
            for (int32_t e = 0; e < wm_part_copies(&arch, part, l); e++) {
                struct wm_matrix m;
                float row[64]; /* the config's widest */
                if (wm_part_matrix(&parts, part, l, e, &m, &err) != WM_OK || m.cols > 64)
                    continue;
                wm_matrix_row(&m, 0, row);
                wm_matrix_row(&m, m.rows - 1, row);
            }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char shard[] = "\x38\0\0\0\0\0\0\0"
                                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   x";
    const struct wm_model_member whole[] = {{"config.json", tiny4_config, strlen(tiny4_config)},
                                            {"model.safetensors", data, size}};
    const struct wm_model_member indexed[] = {{"model.safetensors.index.json", data, size},
                                              {"1.safetensors", shard, sizeof shard - 1}};
    struct wm_model_file *f;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_model_file_parse("fuzz.safetensors", data, size, &f, &err) == WM_OK)
        wm_model_file_close(f);
    if (wm_model_file_parse_folder("fuzz", whole, 2, &f, &err) == WM_OK) {
        use(f);
        wm_model_file_close(f);
    }
    if (wm_model_file_parse_folder("fuzz", indexed, 2, &f, &err) == WM_OK)
        wm_model_file_close(f);
    return 0;
}

/* replay.c -- runs a fuzz target over the files of its corpus, without libFuzzer: every finding stays a test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1); /* exact size, so that ASan sees one byte too far */
    size_t got = data ? fread(data, 1, (size_t)size, f) : 0;
    fclose(f);
    if (data && got == (size_t)size)
        LLVMFuzzerTestOneInput(data, got);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            fprintf(stderr, "%s: no such corpus folder\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            if (e->d_name[0] == '.')
                continue;
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            failed += run_file(path);
            files++;
        }
        closedir(dir);
    }
    const char *name = argc > 1 && strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : "corpus";
    printf("[       OK ] fuzz_%s_survives_its_corpus_of_%d_files\n", name, files);
    if (files == 0 || failed)
        printf("[  FAILED  ] fuzz_%s_corpus_is_there\n", name);
    return files == 0 || failed;
}

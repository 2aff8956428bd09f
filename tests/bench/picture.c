/* picture.c -- how long a large photograph takes to become tiles, beside what it takes only to decode it.
 *
 *   bench_picture [FILE.jpg]
 *
 * Without a file a photograph of 12 million pixels is made: smooth colours, edges and noise, in JPEG of quality 85. Prints the
 * best of RUNS in processor time, and its ratio to the limit: libjpeg decoding the same bytes into rows that nobody reads. Where
 * python3 has Pillow, also the ratio to Pillow doing the same two resizes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jpeglib.h>

#include "engine/picture.h"

enum { RUNS = 7, WIDTH = 4032, HEIGHT = 3024 };

/* Processor time: others on the machine count little. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint8_t *photograph(unsigned long *len)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    static uint8_t row[WIDTH * 3];
    uint8_t *bytes = NULL, *rows[] = {row};
    uint32_t noise = 1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, len);
    jpeg.image_width = WIDTH;
    jpeg.image_height = HEIGHT;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 85, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            noise = noise * 1664525u + 1013904223u;
            int edge = (x / 97 + y / 61) % 5 == 0 ? 60 : 0, grain = (int)(noise >> 28);
            row[x * 3] = (uint8_t)(x * 170 / WIDTH + edge + grain);
            row[x * 3 + 1] = (uint8_t)(y * 170 / HEIGHT + edge + grain);
            row[x * 3 + 2] = (uint8_t)((x + y) % 170 + grain);
        }
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return bytes;
}

static uint8_t *read_file(const char *path, unsigned long *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(WM_PICTURE_MAX_BYTES);
    if (!f || !bytes) {
        fprintf(stderr, "bench_picture: %s cannot be read\n", path);
        exit(1);
    }
    *len = fread(bytes, 1, WM_PICTURE_MAX_BYTES, f);
    fclose(f);
    return bytes;
}

static void only_decode(const uint8_t *bytes, unsigned long len)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, bytes, len);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    uint8_t *row = malloc((size_t)jpeg.output_width * 3);
    while (jpeg.output_scanline < jpeg.output_height)
        jpeg_read_scanlines(&jpeg, &row, 1);
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    free(row);
}

static void tiles(const uint8_t *bytes, unsigned long len, bool tell)
{
    static const struct wm_vision_arch v = {.layers = 1, .image = 336, .patch = 14, .max_tiles = 16};
    struct wm_tiles t;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_tiles_read(&v, "the photograph", bytes, len, &t, &err) != WM_OK) {
        fprintf(stderr, "bench_picture: %s\n", err.text);
        exit(1);
    }
    if (tell)
        printf("%lu bytes of JPEG, %d x %d tiles, %d in all\n", len, (int)t.rows, (int)t.cols, (int)t.n);
    wm_tiles_free(&t);
}

/* Pillow on the same bytes with the same grid; prints its own line. */
static void pillow(const uint8_t *bytes, unsigned long len, double ours)
{
    static const char script[] =
        "import io, sys, time\n"
        "try:\n"
        "    from PIL import Image\n"
        "except ImportError:\n"
        "    sys.exit('no Pillow for this python3: no ratio to it')\n"
        "data, best = open(sys.argv[1], 'rb').read(), 1e9\n"
        "for _ in range(5):\n"
        "    start = time.process_time()\n"
        "    image = Image.open(io.BytesIO(data)).convert('RGB')\n"
        "    scale = min(1344 / image.width, 1344 / image.height)\n"
        "    image.resize((int(image.width * scale), int(image.height * scale)), Image.BILINEAR)\n"
        "    image.resize((336, 336), Image.BILINEAR)\n"
        "    best = min(best, time.process_time() - start)\n"
        "print('Pillow, decoding and resizing twice  %6.1f ms; ours takes %.2f of it' % (best * 1e3, "
        "float(sys.argv[2]) / best))\n";
    char path[] = "bench_picture_XXXXXX", seconds_text[32];
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    bool written = f && fwrite(bytes, 1, len, f) == len;
    if (f)
        written &= fclose(f) == 0;
    snprintf(seconds_text, sizeof seconds_text, "%f", ours);
    fflush(stdout);
    pid_t child = written ? fork() : -1;
    if (child == 0) {
        execlp("python3", "python3", "-c", script, path, seconds_text, (char *)NULL);
        _exit(127);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
    unlink(path);
}

int main(int argc, char **argv)
{
    unsigned long len = 0;
    uint8_t *bytes = argc > 1 ? read_file(argv[1], &len) : photograph(&len);
    double limit = 1e9, ours = 1e9;
    tiles(bytes, len, true);
    for (int i = 0; i < RUNS; i++) {
        double start = seconds();
        only_decode(bytes, len);
        double middle = seconds();
        tiles(bytes, len, false);
        double end = seconds();
        limit = middle - start < limit ? middle - start : limit;
        ours = end - middle < ours ? end - middle : ours;
    }
    printf("libjpeg alone, rows thrown away      %6.1f ms\n", limit * 1e3);
    printf("file to tiles                        %6.1f ms, %.2f times that\n", ours * 1e3, ours / limit);
    pillow(bytes, len, ours);
    free(bytes);
    return 0;
}

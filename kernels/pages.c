/* pages.c -- large memory straight from the system. */
#include "kernels/pages.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t wm_pages_round(size_t bytes)
{
    size_t page = page_bytes();
    return (bytes + page - 1) / page * page;
}

enum wm_status wm_pages_new(size_t bytes, void **out, struct wm_error *err)
{
    /* NORESERVE: a KV pool is sized for the worst hour; what matters is what is touched. */
    void *memory = mmap(NULL, wm_pages_round(bytes ? bytes : 1), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return wm_fail(err, WM_ENOMEM, "reserve %zu bytes: %s; lower the KV cache or the number of threads",
                       bytes, strerror(errno));
    *out = memory;
    return WM_OK;
}

void wm_pages_free(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, wm_pages_round(bytes ? bytes : 1));
}

void wm_pages_drop(const void *memory, size_t bytes)
{
    size_t page = page_bytes();
    uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
    uintptr_t last = ((uintptr_t)memory + bytes) / page * page;
    if (first < last)
        madvise((void *)first, last - first, MADV_DONTNEED); /* advice: nothing breaks when it is not taken */
}

/* faultio.c -- a library for LD_PRELOAD that makes writes fail below one folder, as a full or dying disk does.
 *
 * WHY     The store must lose nothing when the disk says EIO or ENOSPC at any moment, and must go on when the disk is
 *         well again. No disk here fails on request, so the calls do.
 *
 * HOW     write, pwrite, ftruncate, fsync and fdatasync are looked at before the C library gets them.
 *         A call on a file below WM_FAULT_FOLDER begins an *episode* with a chance of 1 in WM_FAULT_ONE_IN; for 0 to
 *         EPISODE_MAX_MS all calls then fail with one error, the first one in any case. One in four failing writes is
 *         torn: half of its bytes reach the disk, and the caller is told so, as POSIX allows. The chances come from
 *         WM_FAULT_SEED and a counter of calls.
 *
 *         WM_FAULT_CONTROL names a file of two int64: [0] the test writes: 1 faults happen, 0 they do not;
 *         [1] we write: how many were made.
 *
 * LIMITS  mmap'd writes (SQLite's -shm) do not pass here. A failing fsync has not synced, and says so once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { EPISODE_MAX_MS = 100 };

struct control {
    _Atomic int64_t on, made;
};

static struct control *control; /* NULL: no faults at all */
static char folder[PATH_MAX];
static uint64_t seed, one_in = 50;
static _Atomic uint64_t calls;
static _Atomic int episode_error;
static _Atomic int64_t episode_end_ms;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

/* dlsym gives an object pointer; this is POSIX's own way to make a function of it. */
static void find(void *slot, const char *name)
{
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(slot, &address, sizeof address);
}

__attribute__((constructor)) static void start(void)
{
    find(&real_write, "write");
    find(&real_pwrite, "pwrite");
    find(&real_ftruncate, "ftruncate");
    find(&real_fsync, "fsync");
    find(&real_fdatasync, "fdatasync");
    const char *below = getenv("WM_FAULT_FOLDER"), *file = getenv("WM_FAULT_CONTROL");
    const char *chance = getenv("WM_FAULT_ONE_IN"), *from = getenv("WM_FAULT_SEED");
    if (!below || !file || !realpath(below, folder))
        return;
    if (chance)
        one_in = strtoull(chance, NULL, 10);
    if (from)
        seed = strtoull(from, NULL, 10);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED && one_in > 0)
        control = map;
}

/* splitmix64: a well-mixed number for each counter value. */
static uint64_t chance_of(uint64_t n)
{
    uint64_t z = seed + n * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static bool is_below(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    size_t len = strlen(folder);
    return n > (ssize_t)len && memcmp(path, folder, len) == 0 && path[len] == '/';
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The error that this call must fail with, or 0. */
static int fault(int fd)
{
    if (!control || !atomic_load(&control->on) || !is_below(fd))
        return 0;
    uint64_t dice = chance_of(atomic_fetch_add(&calls, 1));
    if (now_ms() >= atomic_load(&episode_end_ms)) {
        if (dice % one_in != 0)
            return 0;
        atomic_store(&episode_error, dice >> 32 & 1 ? EIO : ENOSPC);
        atomic_store(&episode_end_ms, now_ms() + (int64_t)((dice >> 40) % EPISODE_MAX_MS));
    }
    atomic_fetch_add(&control->made, 1);
    return atomic_load(&episode_error);
}

/* How much of a failing write reaches the disk: mostly nothing. */
static size_t torn(size_t len)
{
    return chance_of(atomic_load(&calls)) % 4 == 0 ? len / 2 : 0;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len)
{
    int error = fault(fd);
    if (!error)
        return real_write(fd, bytes, len);
    if (torn(len) > 0)
        return real_write(fd, bytes, torn(len));
    errno = error;
    return -1;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    int error = fault(fd);
    if (!error)
        return real_pwrite(fd, bytes, len, at);
    if (torn(len) > 0)
        return real_pwrite(fd, bytes, torn(len), at);
    errno = error;
    return -1;
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return pwrite(fd, bytes, len, (off_t)at);
}

static int whole_call(int fd, int (*real)(int))
{
    int error = fault(fd);
    if (!error)
        return real(fd);
    errno = error;
    return -1;
}

EXPORT int fsync(int fd)
{
    return whole_call(fd, real_fsync);
}

EXPORT int fdatasync(int fd)
{
    return whole_call(fd, real_fdatasync);
}

EXPORT int ftruncate(int fd, off_t size)
{
    int error = fault(fd);
    if (!error)
        return real_ftruncate(fd, size);
    errno = error;
    return -1;
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, (off_t)size);
}

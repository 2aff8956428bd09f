/* fault_vfs.c -- see fault_vfs.h. A failed sync also means what it means on Linux: the data that was to be synced may
 * or may not be there, and the next sync says nothing about it.
 */
#include "tests/sessions/fault_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

struct file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *disk;
static sqlite3_vfs vfs;
static _Atomic int kinds, code, struck;
static _Atomic long count, first, last;

static int fails(int kind)
{
    if (!(kinds & kind))
        return SQLITE_OK;
    long n = ++count;
    if (n < first || n > last)
        return SQLITE_OK;
    struck = 1;
    return code;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

#define REAL(f) (real_of(f)->pMethods)

static int x_close(sqlite3_file *f)
{
    return REAL(f)->xClose(real_of(f));
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return REAL(f)->xRead(real_of(f), to, n, at);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    int why = fails(FAULT_WRITE);
    if (why == SQLITE_OK)
        return REAL(f)->xWrite(real_of(f), from, n, at);
    REAL(f)->xWrite(real_of(f), from, n / 2, at); /* torn */
    return why;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int why = fails(FAULT_TRUNCATE);
    return why == SQLITE_OK ? REAL(f)->xTruncate(real_of(f), size) : why;
}

static int x_sync(sqlite3_file *f, int flags)
{
    int why = fails(FAULT_SYNC);
    return why == SQLITE_OK ? REAL(f)->xSync(real_of(f), flags) : why;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->xFileSize(real_of(f), size);
}

static int x_lock(sqlite3_file *f, int level)
{
    return REAL(f)->xLock(real_of(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->xUnlock(real_of(f), level);
}

static int x_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->xCheckReservedLock(real_of(f), out);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->xFileControl(real_of(f), op, arg);
}

static int x_sector(sqlite3_file *f)
{
    return REAL(f)->xSectorSize(real_of(f));
}

static int x_device(sqlite3_file *f)
{
    return REAL(f)->xDeviceCharacteristics(real_of(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->xShmMap(real_of(f), page, size, extend, out);
}

static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f)->xShmLock(real_of(f), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
    REAL(f)->xShmBarrier(real_of(f));
}

static int x_shm_unmap(sqlite3_file *f, int del)
{
    return REAL(f)->xShmUnmap(real_of(f), del);
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = x_close,
                                           .xRead = x_read,
                                           .xWrite = x_write,
                                           .xTruncate = x_truncate,
                                           .xSync = x_sync,
                                           .xFileSize = x_size,
                                           .xLock = x_lock,
                                           .xUnlock = x_unlock,
                                           .xCheckReservedLock = x_reserved,
                                           .xFileControl = x_control,
                                           .xSectorSize = x_sector,
                                           .xDeviceCharacteristics = x_device,
                                           .xShmMap = x_shm_map,
                                           .xShmLock = x_shm_lock,
                                           .xShmBarrier = x_shm_barrier,
                                           .xShmUnmap = x_shm_unmap};

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)v;
    struct file *file = (struct file *)f;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)(file + 1);
    int result = disk->xOpen(disk, name, file->real, flags, out);
    if (result == SQLITE_OK)
        file->base.pMethods = &methods;
    return result;
}

void fault_vfs_install(void)
{
    disk = sqlite3_vfs_find(NULL);
    vfs = *disk;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct file) + disk->szOsFile;
    vfs.xOpen = x_open;
    sqlite3_vfs_register(&vfs, 1);
}

void fault_vfs_plan(int which, long n, long more, int with)
{
    kinds = 0;
    count = 0;
    struck = 0;
    first = n;
    last = n + more;
    code = with;
    kinds = which;
}

void fault_vfs_heal(void)
{
    last = 0;
}

long fault_vfs_count(void)
{
    return count;
}

int fault_vfs_struck(void)
{
    return struck;
}

/* fault_vfs.h -- a disk that fails when told to: SQLite's own file system with a finger on the n-th write. */
#ifndef WM_TESTS_SESSIONS_FAULT_VFS_H
#define WM_TESTS_SESSIONS_FAULT_VFS_H

enum { FAULT_WRITE = 1, FAULT_SYNC = 2, FAULT_TRUNCATE = 4 };

/* Becomes SQLite's default. Once per process. */
void fault_vfs_install(void);

/* From now on: the n-th operation (from 1) of these kinds and `more` after it fail with that SQLite code. */
void fault_vfs_plan(int kinds, long n, long more, int code);
void fault_vfs_heal(void);

/* Operations of the planned kinds since the plan. */
long fault_vfs_count(void);
/* Whether the plan has struck. */
int fault_vfs_struck(void);

#endif

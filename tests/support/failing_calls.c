/* Lets calls of the C library fail on files below a folder: preloaded into a program under test.

   The rules are in a file that FAILING_CALLS names. It is mapped when the program starts, so a test
   can change them while the program runs, and no call here needs a descriptor. The layout is that of
   failing_calls.py. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES 8

typedef struct {
    int32_t is_on;
    int32_t error; /* 0: a write takes half */
    int32_t first; /* the numbers of the matching calls that fail */
    int32_t last;
    int32_t seen; /* matching calls so far */
    int32_t failed;
    char call[16];
    char folder[472];
} rule;

static rule *rules;

__attribute__((constructor)) static void map_rules(void) {
    const char *path = getenv("FAILING_CALLS");
    if (path == NULL) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, RULES * sizeof(rule), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) rules = mapped;
    syscall(SYS_close, file);
}

/* 0: the call is to be made; else the error, or -1 for half a write. */
static int verdict_on_path(const char *call, const char *path) {
    for (rule *one = rules; one < rules + RULES; one++) {
        if (!one->is_on || strcmp(one->call, call) != 0) continue;
        if (strncmp(path, one->folder, strlen(one->folder)) != 0) continue;
        int number = __atomic_add_fetch(&one->seen, 1, __ATOMIC_SEQ_CST);
        if (number < one->first || number > one->last) continue;
        __atomic_add_fetch(&one->failed, 1, __ATOMIC_SEQ_CST);
        return one->error ? one->error : -1;
    }
    return 0;
}

static int is_watched(const char *call) {
    if (rules == NULL) return 0;
    for (rule *one = rules; one < rules + RULES; one++)
        if (one->is_on && strcmp(one->call, call) == 0) return 1;
    return 0;
}

static int verdict_on_file(const char *call, int file) {
    if (!is_watched(call)) return 0;
    int before = errno;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return verdict_on_path(call, path);
}

static int verdict_on_name(const char *call, int folder, const char *name) {
    if (name == NULL || !is_watched(call)) return 0;
    if (name[0] == '/') return verdict_on_path(call, name);
    int before = errno;
    char link[64], path[2 * PATH_MAX];
    ssize_t length;
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (length < 0) return 0;
    snprintf(path + length, sizeof path - (size_t)length, name[0] ? "/%s" : "%s", name);
    return verdict_on_path(call, path);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define FAIL_IF(verdict, failure) \
    do { \
        int error_ = (verdict); \
        if (error_ > 0) { \
            errno = error_; \
            return failure; \
        } \
    } while (0)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        REAL(int, name, const char *, int, ...); \
        FAIL_IF(verdict_on_name("open", AT_FDCWD, path), -1); \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        REAL(int, name, int, const char *, int, ...); \
        FAIL_IF(verdict_on_name("open", folder, path), -1); \
        return real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t read(int file, void *data, size_t size) {
    REAL(ssize_t, read, int, void *, size_t);
    FAIL_IF(verdict_on_file("read", file), -1);
    return real(file, data, size);
}

#define PREAD(name, offset_type) \
    ssize_t name(int file, void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, name, int, void *, size_t, offset_type); \
        FAIL_IF(verdict_on_file("read", file), -1); \
        return real(file, data, size, offset); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    int verdict = verdict_on_file("write", file);
    FAIL_IF(verdict, -1);
    return real(file, data, verdict < 0 && size > 1 ? size / 2 : size);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int file, const void *data, size_t size, offset_type offset) { \
        REAL(ssize_t, name, int, const void *, size_t, offset_type); \
        int verdict = verdict_on_file("write", file); \
        FAIL_IF(verdict, -1); \
        return real(file, data, verdict < 0 && size > 1 ? size / 2 : size, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    FAIL_IF(verdict_on_file("write", file), -1);
    return real(file, parts, count);
}

#define ON_FILE(call, type, name, parameters, arguments) \
    type name parameters { \
        static type (*real) parameters; \
        if (real == NULL) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        FAIL_IF(verdict_on_file(call, file), -1); \
        return real arguments; \
    }
ON_FILE("lseek", off_t, lseek, (int file, off_t at, int whence), (file, at, whence))
ON_FILE("lseek", off64_t, lseek64, (int file, off64_t at, int whence), (file, at, whence))
ON_FILE("ftruncate", int, ftruncate, (int file, off_t size), (file, size))
ON_FILE("ftruncate", int, ftruncate64, (int file, off64_t size), (file, size))
ON_FILE("flock", int, flock, (int file, int how), (file, how))
ON_FILE("fsync", int, fsync, (int file), (file))
ON_FILE("fsync", int, fdatasync, (int file), (file))
ON_FILE("stat", int, fstat, (int file, struct stat * found), (file, found))
ON_FILE("stat", int, fstat64, (int file, struct stat64 * found), (file, found))
ON_FILE("stat", int, __fxstat, (int version, int file, struct stat * found), (version, file, found))
ON_FILE("stat", int, __fxstat64, (int version, int file, struct stat64 * found), (version, file, found))

int close(int file) { /* as Linux does it: closed also when it fails */
    REAL(int, close, int);
    int verdict = verdict_on_file("close", file);
    int result = real(file);
    FAIL_IF(verdict, -1);
    return result;
}

#define ON_NAME(call, name, folder, parameters, arguments) \
    int name parameters { \
        static int(*real) parameters; \
        if (real == NULL) real = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        FAIL_IF(verdict_on_name(call, folder, path), -1); \
        return real arguments; \
    }
ON_NAME("stat", stat, AT_FDCWD, (const char *path, struct stat *found), (path, found))
ON_NAME("stat", stat64, AT_FDCWD, (const char *path, struct stat64 *found), (path, found))
ON_NAME("stat", lstat, AT_FDCWD, (const char *path, struct stat *found), (path, found))
ON_NAME("stat", lstat64, AT_FDCWD, (const char *path, struct stat64 *found), (path, found))
ON_NAME("stat", fstatat, folder, (int folder, const char *path, struct stat *found, int flags),
        (folder, path, found, flags))
ON_NAME("stat", fstatat64, folder, (int folder, const char *path, struct stat64 *found, int flags),
        (folder, path, found, flags))
ON_NAME("stat", __xstat, AT_FDCWD, (int version, const char *path, struct stat *found),
        (version, path, found))
ON_NAME("stat", __xstat64, AT_FDCWD, (int version, const char *path, struct stat64 *found),
        (version, path, found))
ON_NAME("mkdir", mkdir, AT_FDCWD, (const char *path, mode_t mode), (path, mode))
ON_NAME("mkdir", mkdirat, folder, (int folder, const char *path, mode_t mode), (folder, path, mode))
ON_NAME("unlink", unlink, AT_FDCWD, (const char *path), (path))
ON_NAME("unlink", unlinkat, folder, (int folder, const char *path, int flags), (folder, path, flags))
ON_NAME("rmdir", rmdir, AT_FDCWD, (const char *path), (path))
ON_NAME("chmod", chmod, AT_FDCWD, (const char *path, mode_t mode), (path, mode))
ON_NAME("rename", rename, AT_FDCWD, (const char *path, const char *target), (path, target))
ON_NAME("rename", renameat, folder,
        (int folder, const char *path, int other, const char *target), (folder, path, other, target))
ON_NAME("link", link, AT_FDCWD, (const char *path, const char *target), (path, target))

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, const char *);
    FAIL_IF(verdict_on_name("opendir", AT_FDCWD, path), NULL);
    return real(path);
}

/* Preloaded: the N-th call that changes something below a folder fails, or kills the process halfway through it.

   arm(folder, N, error, sticky) is called in the process that is to suffer: `error` is an errno, or -1 for SIGKILL, or 0
   to count alone. A sticky error stays, as that of a full disk does; deleting still works. changes() counts the calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t length;
static long number, count;
static int failure, stays;

void arm(const char *below, long which, int error, int sticky)
{
    snprintf(folder, sizeof folder, "%s", below);
    length = strlen(folder), number = which, failure = error, stays = sticky, count = 0;
}

long changes(void) { return count; }

static int below(const char *path)
{
    char full[PATH_MAX * 2], here[PATH_MAX];
    if (!length || !path) return 0;
    if (path[0] != '/' && getcwd(here, sizeof here)) snprintf(full, sizeof full, "%s/%s", here, path), path = full;
    return strncmp(path, folder, length) == 0;
}

static int open_below(int descriptor)
{
    char link[64], path[PATH_MAX];
    if (!length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

/* Counts a call; returns 1 with errno set if it has to fail, 2 if the process has to die. */
static int fault(void)
{
    const long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (!failure || now < number || (now > number && !stays)) return 0;
    if (failure < 0) return 2;
    errno = failure;
    return 1;
}

static void die(void) { kill(getpid(), SIGKILL); pause(); }

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define CHANGES(condition) if (condition) { const int what = fault(); if (what == 2) die(); if (what) return -1; }

ssize_t write(int descriptor, const void *data, size_t size)
{
    REAL(write);
    if (open_below(descriptor)) {
        const int what = fault();
        if (what == 2) { real(descriptor, data, size / 2); die(); }
        if (what) return -1;
    }
    return real(descriptor, data, size);
}

ssize_t writev(int descriptor, const struct iovec *pieces, int n)
{
    REAL(writev);
    CHANGES(open_below(descriptor))
    return real(descriptor, pieces, n);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at)
{
    REAL(pwrite);
    CHANGES(open_below(descriptor))
    return real(descriptor, data, size, at);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at)
{
    REAL(pwrite64);
    CHANGES(open_below(descriptor))
    return real(descriptor, data, size, at);
}

int fsync(int descriptor)
{
    REAL(fsync);
    CHANGES(open_below(descriptor))
    return real(descriptor);
}

int ftruncate(int descriptor, off_t size)
{
    REAL(ftruncate);
    CHANGES(open_below(descriptor))
    return real(descriptor, size);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    CHANGES(below(to))
    return real(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    CHANGES(below(path))
    return real(path, mode);
}

int unlink(const char *path)
{
    REAL(unlink);
    if (failure < 0 && below(path) && fault() == 2) die();
    return real(path);
}

#define OPENS(name)                                                             \
    int name(const char *path, int flags, ...)                                  \
    {                                                                           \
        REAL(name);                                                             \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                           \
        CHANGES((flags & O_CREAT) && below(path))                               \
        return real(path, flags, mode);                                         \
    }
OPENS(open)
OPENS(open64)

/* Preloaded into a run by tests: counts the operations that change what is below a folder, and at a chosen one ends the process, or
 * lets a range of them fail as on a full disk. Nothing else is touched: what is not cut off is the real call on the real file system.
 *
 *   FAULTS_BELOW   the folder; operations on it and on what is in it count
 *   FAULTS_LOG     a file elsewhere that gets a line for each: its number, its name, its path
 *   FAULTS_KILL    number of the operation that the process does not live to do, counted from 1
 *   FAULTS_FULL    A-B: operations A to B that need space fail with ENOSPC; those that need none (unlink, cuts) do not
 *
 * A write counts twice: before it, and after its first half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted = 0;

/* The absolute path of `path` as seen from `folder`, without following anything. */
static void absolute(int folder, const char *path, char *out) {
  char from[PATH_MAX] = "";
  if (path[0] != '/') {
    if (folder == AT_FDCWD) {
      if (getcwd(from, sizeof from) == NULL) from[0] = 0;
    } else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
      ssize_t length = readlink(link, from, sizeof from - 1);
      from[length < 0 ? 0 : length] = 0;
    }
  }
  /* A path that is cut off is not below the folder, or fails in the real call. */
  if (snprintf(out, PATH_MAX, "%s%s%s", from, path[0] == '/' ? "" : "/", path) >= PATH_MAX) out[0] = 0;
}

static int below(const char *path) {
  const char *folder = getenv("FAULTS_BELOW");
  if (folder == NULL) return 0;
  size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static long number_of(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text == NULL ? otherwise : atol(text);
}

/* Counts one operation. Ends the process where it is the one; -1 with ENOSPC where it is to fail. */
static int count(const char *operation, const char *path, int needs_space) {
  pthread_mutex_lock(&lock);
  long number = ++counted;
  const char *log = getenv("FAULTS_LOG");
  if (log != NULL) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, operation, path);
    int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0 || syscall(SYS_write, file, line, length) != length) abort();
    syscall(SYS_close, file);
  }
  if (number == number_of("FAULTS_KILL", 0)) {
    kill(getpid(), SIGKILL);
    pause();
  }
  const char *full = getenv("FAULTS_FULL");
  long first = 0, last = 0;
  int fails = needs_space && full != NULL && sscanf(full, "%ld-%ld", &first, &last) == 2 && number >= first && number <= last;
  pthread_mutex_unlock(&lock);
  if (!fails) return 0;
  errno = ENOSPC;
  return -1;
}

static int on_path(const char *operation, int folder, const char *path, int needs_space) {
  char whole[PATH_MAX];
  absolute(folder, path, whole);
  return below(whole) ? count(operation, whole, needs_space) : 0;
}

static int path_of(int file, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return below(path);
}

static int on_file(const char *operation, int file, int needs_space) {
  char path[PATH_MAX];
  return path_of(file, path) ? count(operation, path, needs_space) : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define MODE(flags, mode) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }

/* Opening what is there to read it changes nothing. */
static int on_open(int folder, const char *path, int flags) {
  if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC))) return 0;
  return on_path("open", folder, path, flags & O_CREAT);
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    MODE(flags, mode) \
    return on_open(AT_FDCWD, path, flags) < 0 ? -1 : REAL(name)(path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    MODE(flags, mode) \
    return on_open(folder, path, flags) < 0 ? -1 : REAL(name)(folder, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* All of a write as one piece of memory, so that half of it can be written. */
static ssize_t write_counted(int file, const struct iovec *parts, int length, off_t offset) {
  char path[PATH_MAX];
  size_t whole = 0;
  for (int i = 0; i < length; i++) whole += parts[i].iov_len;
  int counts = path_of(file, path);
  if (counts && count("write", path, 1) < 0) return -1;
  if (!counts || whole < 2)
    return offset < 0 ? syscall(SYS_writev, file, parts, length) : syscall(SYS_pwritev, file, parts, length, offset, 0);
  char *bytes = malloc(whole);
  if (bytes == NULL) abort();
  size_t at = 0;
  for (int i = 0; i < length; at += parts[i].iov_len, i++) memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
  size_t half = whole / 2;
  ssize_t first = offset < 0 ? syscall(SYS_write, file, bytes, half) : syscall(SYS_pwrite64, file, bytes, half, offset);
  /* What the system took so far is what such a call reports; the next one fails. */
  ssize_t done = first;
  if (first == (ssize_t)half && count("half", path, 1) == 0) {
    ssize_t second = offset < 0 ? syscall(SYS_write, file, bytes + half, whole - half)
                                : syscall(SYS_pwrite64, file, bytes + half, whole - half, offset + half);
    if (second > 0) done += second;
  }
  free(bytes);
  return done;
}

ssize_t write(int file, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  return write_counted(file, &part, 1, -1);
}
ssize_t writev(int file, const struct iovec *parts, int length) { return write_counted(file, parts, length, -1); }
ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
  struct iovec part = {(void *)bytes, length};
  return write_counted(file, &part, 1, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) { return pwrite(file, bytes, length, offset); }
ssize_t pwritev(int file, const struct iovec *parts, int length, off_t offset) {
  return write_counted(file, parts, length, offset);
}
ssize_t pwritev64(int file, const struct iovec *parts, int length, off64_t offset) {
  return write_counted(file, parts, length, offset);
}

#define ON_FILE(name, needs_space) \
  int name(int file) { return on_file(#name, file, needs_space) < 0 ? -1 : REAL(name)(file); }
ON_FILE(fsync, 1)
ON_FILE(fdatasync, 1)

#define CUT(name, length_type) \
  int name(int file, length_type length) { return on_file(#name, file, 0) < 0 ? -1 : REAL(name)(file, length); }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)

#define CUT_PATH(name, length_type) \
  int name(const char *path, length_type length) { \
    return on_path(#name, AT_FDCWD, path, 0) < 0 ? -1 : REAL(name)(path, length); \
  }
CUT_PATH(truncate, off_t)
CUT_PATH(truncate64, off64_t)

#define ON_PATH(name) \
  int name(const char *path) { return on_path(#name, AT_FDCWD, path, 0) < 0 ? -1 : REAL(name)(path); }
ON_PATH(unlink)
ON_PATH(rmdir)
ON_PATH(remove)

int unlinkat(int folder, const char *path, int flags) {
  return on_path("unlinkat", folder, path, 0) < 0 ? -1 : REAL(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
  return on_path("mkdir", AT_FDCWD, path, 1) < 0 ? -1 : REAL(mkdir)(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
  return on_path("mkdirat", folder, path, 1) < 0 ? -1 : REAL(mkdirat)(folder, path, mode);
}
/* The new name: one that comes from elsewhere counts, too. */
int rename(const char *from, const char *to) {
  return on_path("rename", AT_FDCWD, to, 1) < 0 ? -1 : REAL(rename)(from, to);
}
int link(const char *from, const char *to) { return on_path("link", AT_FDCWD, to, 1) < 0 ? -1 : REAL(link)(from, to); }
int symlink(const char *from, const char *to) {
  return on_path("symlink", AT_FDCWD, to, 1) < 0 ? -1 : REAL(symlink)(from, to);
}

#include "memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Of glibc; musl has none.
extern int malloc_trim(size_t pad) __attribute__((weak));

// One mapping of proc_pid_smaps(5), as far as it has been read.
typedef struct {
  uintptr_t start, end;
  int droppable;
} mapping;

static const char *hexadecimal(const char *text, uintptr_t *out) {
  uintptr_t value = 0;
  for (;; text++) {
    unsigned digit = (unsigned char)*text;
    if (digit >= '0' && digit <= '9') digit -= '0';
    else if (digit >= 'a' && digit <= 'f') digit -= 'a' - 10;
    else break;
    value = value << 4 | digit;
  }
  *out = value;
  return text;
}

// "start-end perms offset device inode path": of a file that is mapped without the right to write. An absolute path tells a file from the
// rest.
static int is_head(const char *line, mapping *out) {
  uintptr_t start, end;
  const char *at = hexadecimal(line, &start);
  if (at == line || *at != '-') return 0;
  const char *perms = hexadecimal(at + 1, &end);
  if (*perms != ' ' || strlen(perms) < 6) return 0;
  *out = (mapping){start, end, perms[1] == 'r' && perms[2] == '-' && perms[4] == 'p' && strchr(perms, '/') != NULL};
  return 1;
}

// Not where the process has pages of its own instead of the file's (relocations, a breakpoint, code moved into huge pages): they would be
// lost. "Anonymous:" counts them.
static size_t take(const char *line, mapping *last) {
  static const char OWN[] = "Anonymous:";
  if (is_head(line, last) || !last->droppable || strncmp(line, OWN, sizeof OWN - 1) != 0) return 0;
  last->droppable = 0;
  const char *at = line + sizeof OWN - 1;
  while (*at == ' ') at++;
  if (strcmp(at, "0 kB") != 0) return 0;
  size_t length = last->end - last->start;
  return madvise((void *)last->start, length, MADV_DONTNEED) == 0 ? length : 0;
}

static size_t drop_files(void) {
  char buffer[4096];
  size_t held = 0, dropped = 0;
  int too_long = 0;
  mapping last = {0};
  int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  for (;;) {
    ssize_t count = read(fd, buffer + held, sizeof buffer - held);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    held += (size_t)count;
    char *line = buffer, *end;
    while ((end = memchr(line, '\n', held - (size_t)(line - buffer))) != NULL) {
      *end = '\0';
      if (too_long) last.droppable = 0;
      else dropped += take(line, &last);
      too_long = 0;
      line = end + 1;
    }
    held -= (size_t)(line - buffer);
    memmove(buffer, line, held);
    // No line is so long but that of a path, whose mapping then stays.
    if (held == sizeof buffer) { too_long = 1; held = 0; }
  }
  close(fd);
  return dropped;
}

napi_value memory_release(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value out;
  if (malloc_trim != NULL) malloc_trim(0);
  return napi_create_double(env, (double)drop_files(), &out) == napi_ok ? out : NULL;
}

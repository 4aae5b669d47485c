//===- file.c - Reading and writing whole files ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "file.h"
#include "alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// strerror() is not thread safe; this form is, and glibc's never fails.
static const char *system_text(char *buffer, size_t size, int code) {
  return strerror_r(code, buffer, size);
}

static moe_rt_status fail_errno(moe_error *error, const char *path,
                                const char *what) {
  int code = errno;
  char buffer[128];
  moe_rt_status status = code == ENOENT || code == ENOTDIR ? MOE_RT_NOT_FOUND
                         : code == ENOMEM ? MOE_RT_OUT_OF_MEMORY
                                          : MOE_RT_IO;
  return moe_fail(error, status, "%s: cannot %s: %s", MOE_QP(path), what,
                  system_text(buffer, sizeof(buffer), code));
}

static void fill_id(moe_file_id *id, const struct stat *st) {
  id->device = (uint64_t)st->st_dev;
  id->inode = (uint64_t)st->st_ino;
  id->size_bytes = (uint64_t)st->st_size;
  id->modified_s = st->st_mtim.tv_sec;
  id->modified_ns = st->st_mtim.tv_nsec;
}

moe_rt_status moe_file_open(const char *path, int *fd, moe_file_id *id,
                            moe_error *error) {
  int file;
  do
    file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  while (file < 0 && errno == EINTR);
  if (file < 0) {
    if (errno == ENXIO) // a socket
      return moe_fail(error, MOE_RT_BAD_FILE, "%s: not a regular file",
                      MOE_QP(path));
    return fail_errno(error, path, "open");
  }
  struct stat st;
  if (fstat(file, &st)) {
    moe_rt_status status = fail_errno(error, path, "stat");
    close(file);
    return status;
  }
  if (!S_ISREG(st.st_mode)) {
    close(file);
    return moe_fail(
        error, MOE_RT_BAD_FILE, "%s: %s, expected a regular file", MOE_QP(path),
        S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
  }
  *fd = file;
  fill_id(id, &st);
  return MOE_RT_OK;
}

moe_rt_status moe_file_unchanged(const char *path, const moe_file_id *id,
                                 moe_error *error) {
  struct stat st;
  if (stat(path, &st))
    return fail_errno(error, path, "stat");
  moe_file_id now;
  fill_id(&now, &st);
  if (now.device != id->device || now.inode != id->inode ||
      now.size_bytes != id->size_bytes || now.modified_s != id->modified_s ||
      now.modified_ns != id->modified_ns)
    return moe_fail(error, MOE_RT_BAD_FILE,
                    "%s: was changed while it was being read", MOE_QP(path));
  return MOE_RT_OK;
}

moe_rt_status moe_file_pread(int fd, const char *path, void *data, size_t size,
                             uint64_t offset, moe_error *error) {
  char *at = data;
  while (size > 0) {
    ssize_t n = pread(fd, at, size, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail_errno(error, path, "read");
    if (n == 0)
      return moe_fail(error, MOE_RT_BAD_FILE,
                      "%s: ends at byte %llu, %zu bytes too early",
                      MOE_QP(path), (unsigned long long)offset, size);
    at += n;
    offset += (uint64_t)n;
    size -= (size_t)n;
  }
  return MOE_RT_OK;
}

moe_rt_status moe_file_map(int fd, const char *path, uint64_t size_bytes,
                           const uint8_t **data, moe_error *error) {
  if (size_bytes == 0) {
    *data = NULL;
    return MOE_RT_OK;
  }
  if (!moe_gate_open(MOE_GATE_MAP, size_bytes))
    return moe_fail_memory(error, path);
  void *memory = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (memory == MAP_FAILED)
    return fail_errno(error, path, "map");
  *data = memory;
  return MOE_RT_OK;
}

void moe_file_unmap(const uint8_t *data, uint64_t size_bytes) {
  if (data)
    munmap((void *)(uintptr_t)data, size_bytes);
}

moe_rt_status moe_file_read(const char *path, size_t max_size_bytes,
                            char **data, size_t *size_bytes, moe_error *error) {
  int fd;
  moe_file_id id;
  moe_rt_status status = moe_file_open(path, &fd, &id, error);
  if (status)
    return status;
  if (id.size_bytes > max_size_bytes) {
    close(fd);
    return moe_fail(
        error, MOE_RT_BAD_FILE, "%s: is %llu bytes long, expected at most %zu",
        MOE_QP(path), (unsigned long long)id.size_bytes, max_size_bytes);
  }
  char *memory = moe_alloc(id.size_bytes + 1);
  if (!memory) {
    close(fd);
    return moe_fail_memory(error, path);
  }
  status = moe_file_pread(fd, path, memory, id.size_bytes, 0, error);
  close(fd);
  if (status) {
    moe_free(memory);
    return status;
  }
  memory[id.size_bytes] = 0;
  *data = memory;
  *size_bytes = id.size_bytes;
  return MOE_RT_OK;
}

bool moe_file_exists(const char *path) {
  struct stat st;
  return !lstat(path, &st);
}

moe_rt_status moe_file_is_directory(const char *path, bool *is_directory,
                                    moe_error *error) {
  struct stat st;
  if (stat(path, &st))
    return fail_errno(error, path, "open");
  *is_directory = S_ISDIR(st.st_mode);
  return MOE_RT_OK;
}

char *moe_file_join(const char *directory, const char *name) {
  size_t a = strlen(directory), b = strlen(name);
  char *path = moe_alloc(a + b + 2);
  if (!path)
    return NULL;
  memcpy(path, directory, a);
  if (a > 0 && directory[a - 1] != '/')
    path[a++] = '/';
  memcpy(path + a, name, b + 1);
  return path;
}

static moe_rt_status write_all(int fd, const char *path,
                               const moe_file_part *parts, size_t num_parts,
                               moe_error *error) {
  for (size_t i = 0; i < num_parts; i++) {
    const char *at = parts[i].data;
    size_t left = parts[i].size_bytes;
    while (left > 0) {
      // Linux writes at most 2 GiB at once.
      ssize_t n = write(fd, at, left < (1u << 30) ? left : (1u << 30));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail_errno(error, path, "write");
      at += n;
      left -= (size_t)n;
    }
  }
  if (fsync(fd) && errno != EINVAL && errno != EROFS)
    return fail_errno(error, path, "write");
  return MOE_RT_OK;
}

// What takes bytes and keeps none: a device, a pipe, and names such as
// /dev/stdout that lead to them. rename() would replace these.
static bool is_written_in_place(const char *path) {
  struct stat st;
  return !strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/fd/", 8) ||
         (!strncmp(path, "/dev/", 5) && !strchr(path + 5, '/')) ||
         (!stat(path, &st) && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)));
}

static moe_rt_status write_in_place(const char *path,
                                    const moe_file_part *parts,
                                    size_t num_parts, moe_error *error) {
  // A pipe that nobody reads is an error, not a wait; one that somebody reads
  // slowly is a wait.
  int fd = open(path, O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0)
    return fail_errno(error, path, "open");
  moe_rt_status status = fcntl(fd, F_SETFL, 0)
                             ? fail_errno(error, path, "write")
                             : write_all(fd, path, parts, num_parts, error);
  if (close(fd) && !status)
    status = fail_errno(error, path, "write");
  return status;
}

static void sync_directory(const char *directory) {
  int fd = open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  if (fd < 0)
    return;
  // The file itself is whole by now; some file systems cannot sync folders.
  if (fsync(fd))
    errno = 0;
  close(fd);
}

moe_rt_status moe_file_write(const char *path, const moe_file_part *parts,
                             size_t num_parts, moe_error *error) {
  if (is_written_in_place(path))
    return write_in_place(path, parts, num_parts, error);
  struct stat st;
  if (!stat(path, &st) && !S_ISREG(st.st_mode))
    return moe_fail(error, MOE_RT_IO,
                    "%s: is not a regular file, will not be replaced",
                    MOE_QP(path));
  const char *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash - path) : 0;
  char *directory = moe_alloc(folder + 2);
  if (!directory)
    return moe_fail_memory(error, path);
  if (!slash) {
    memcpy(directory, ".", 2);
  } else if (folder == 0) {
    memcpy(directory, "/", 2);
  } else {
    memcpy(directory, path, folder);
    directory[folder] = 0;
  }
  static atomic_uint counter;
  char name[64];
  int fd = -1;
  char *beside = NULL;
  for (int attempt = 0; attempt < 100 && fd < 0; attempt++) {
    moe_free(beside);
    snprintf(name, sizeof(name), ".moe-%ld-%u.tmp", (long)getpid(),
             atomic_fetch_add(&counter, 1));
    beside = moe_file_join(directory, name);
    if (!beside) {
      moe_free(directory);
      return moe_fail_memory(error, path);
    }
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST && errno != EINTR)
      break;
  }
  moe_rt_status status;
  if (fd < 0) {
    status = fail_errno(error, path, "create");
  } else {
    status = write_all(fd, path, parts, num_parts, error);
    if (close(fd) && !status)
      status = fail_errno(error, path, "write");
    if (!status && rename(beside, path))
      status = fail_errno(error, path, "replace");
    if (status)
      unlink(beside);
    else
      sync_directory(directory);
  }
  moe_free(beside);
  moe_free(directory);
  return status;
}

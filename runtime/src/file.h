//===- file.h - Reading and writing whole files -------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_FILE_H
#define MOE_RT_SRC_FILE_H
#include "diag.h"
#include <stdint.h>
#include <sys/types.h>
#ifdef __cplusplus
extern "C" {
#endif

/// What identifies the content of a file between two looks at it.
typedef struct {
  uint64_t device, inode, size_bytes;
  int64_t modified_s, modified_ns;
} moe_file_id;

/// Opens a regular file for reading; a fifo or device is refused, not waited
/// for. The caller closes `fd`.
/// \returns MOE_RT_OK, MOE_RT_NOT_FOUND, MOE_RT_BAD_FILE, MOE_RT_IO.
moe_rt_status moe_file_open(const char *path, int *fd, moe_file_id *id,
                            moe_error *error);

/// MOE_RT_OK if `path` still is the file that `id` was taken from.
moe_rt_status moe_file_unchanged(const char *path, const moe_file_id *id,
                                 moe_error *error);

/// Reads `size` bytes at `offset` of an open file, or fails.
moe_rt_status moe_file_pread(int fd, const char *path, void *data, size_t size,
                             uint64_t offset, moe_error *error);

/// Maps a whole open file read-only; NULL data for an empty file. Release with
/// moe_file_unmap().
moe_rt_status moe_file_map(int fd, const char *path, uint64_t size_bytes,
                           const uint8_t **data, moe_error *error);
void moe_file_unmap(const uint8_t *data, uint64_t size_bytes);

/// Reads a whole file of at most `max_size_bytes` into memory that the caller
/// releases with moe_free(); a NUL stands behind its end.
moe_rt_status moe_file_read(const char *path, size_t max_size_bytes,
                            char **data, size_t *size_bytes, moe_error *error);

/// True for anything at `path`, a dangling link included.
bool moe_file_exists(const char *path);
/// Whether `path` is a directory; fails where nothing is there.
moe_rt_status moe_file_is_directory(const char *path, bool *is_directory,
                                    moe_error *error);

/// `directory`/`name` in memory that the caller releases with moe_free(); NULL
/// when out of memory.
char *moe_file_join(const char *directory, const char *name);

/// Bytes to write.
typedef struct {
  const void *data;
  size_t size_bytes;
} moe_file_part;

/// Writes the parts one after another into a new file beside `path`, then
/// renames it; on failure an earlier `path` is as before and nothing is left.
/// Devices and pipes are opened and written instead; nothing else that is not a
/// regular file is replaced.
moe_rt_status moe_file_write(const char *path, const moe_file_part *parts,
                             size_t num_parts, moe_error *error);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_FILE_H

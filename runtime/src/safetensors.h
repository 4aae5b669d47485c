//===- safetensors.h - Tensors in files ---------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
/// One safetensors file (moe_st_), and a checkpoint made of one or more of them
/// (moe_checkpoint_). Every number of a header is checked before it is used;
/// a file that opens is whole, without holes or overlaps.
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_SAFETENSORS_H
#define MOE_RT_SRC_SAFETENSORS_H
#include "diag.h"
#include "json.h"
#include "moe_rt.h"
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Most bytes of a header: the limit of the format.
#define MOE_ST_MAX_HEADER ((uint64_t)100000000)
#define MOE_ST_MAX_RANK 8

/// Element type that the runtime does not compute with.
#define MOE_ST_OTHER (-1)

typedef struct {
  const char *name;  // NUL-terminated, holds no other NUL
  const char *dtype; // as written, "BF16"
  int32_t type;      // moe_rt_dtype or MOE_ST_OTHER
  uint32_t bits;     // of an element; 0 if the type is unknown
  int32_t rank;
  uint64_t shape[MOE_ST_MAX_RANK];
  uint64_t begin, size_bytes; // within the file's data
  /// NULL where only headers were asked for, or nothing is there. Aligned to
  /// nothing in particular.
  const void *data;
} moe_st_tensor;

typedef struct moe_st_file moe_st_file;

enum {
  /// Read the header alone: data pointers are NULL.
  MOE_ST_HEADERS_ONLY = 1
};

/// Opens `path` and reads its header. Release with moe_st_close().
/// \returns MOE_RT_OK, MOE_RT_NOT_FOUND, MOE_RT_BAD_FILE, MOE_RT_OUT_OF_MEMORY,
///     MOE_RT_IO.
moe_rt_status moe_st_open(const char *path, unsigned flags, moe_st_file **file,
                          moe_error *error);
/// The same for a file that is in memory and outlives `file`.
moe_rt_status moe_st_parse(const void *bytes, size_t size, const char *name,
                           moe_st_file **file, moe_error *error);
void moe_st_close(moe_st_file *file);

const char *moe_st_path(const moe_st_file *file);
/// Tensors in the order of the header.
size_t moe_st_count(const moe_st_file *file);
const moe_st_tensor *moe_st_at(const moe_st_file *file, size_t index);
/// NULL if there is none.
const moe_st_tensor *moe_st_find(const moe_st_file *file, const char *name);
/// The object `__metadata__` (strings only), or NULL.
const moe_json *moe_st_metadata(const moe_st_file *file);
/// Fails if the file on disk is no longer the one that was opened. Mapped data
/// of a file that was cut short must not be touched.
moe_rt_status moe_st_unchanged(const moe_st_file *file, moe_error *error);

/// "F32"; NULL for a value that is no moe_rt_dtype.
const char *moe_st_dtype_name(int32_t type);
/// Bytes of an element of a moe_rt_dtype.
uint32_t moe_st_dtype_size(int32_t type);

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

typedef struct {
  const char *name;
  const char *dtype; // "F32", "I64", ...
  int32_t rank;
  const int64_t *shape;
  const void *data; // dense, little endian
} moe_st_entry;

/// Writes the entries in the given order, so equal entries are equal bytes.
/// `metadata` is `num_metadata` pairs of key and value, or NULL. On failure an
/// earlier file at `path` is untouched and nothing is left behind.
moe_rt_status moe_st_write(const char *path, const moe_st_entry *entries,
                           size_t num_entries, const char *const *metadata,
                           size_t num_metadata, moe_error *error);

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

typedef struct moe_checkpoint moe_checkpoint;

/// `path` is a directory with model.safetensors or
/// model.safetensors.index.json, such an index, or one safetensors file. Each
/// shard is opened once, and only after all names of shards were checked.
moe_rt_status moe_checkpoint_open(const char *path, unsigned flags,
                                  moe_checkpoint **checkpoint,
                                  moe_error *error);
void moe_checkpoint_close(moe_checkpoint *checkpoint);

const char *moe_checkpoint_path(const moe_checkpoint *checkpoint);
/// Tensors that the index names (all of a single file), in its order.
size_t moe_checkpoint_count(const moe_checkpoint *checkpoint);
const moe_st_tensor *moe_checkpoint_at(const moe_checkpoint *checkpoint,
                                       size_t index);
/// NULL if there is none; `file` (may be NULL) gets the shard it is in.
const moe_st_tensor *moe_checkpoint_find(const moe_checkpoint *checkpoint,
                                         const char *name,
                                         const moe_st_file **file);
/// moe_st_unchanged() for every shard.
moe_rt_status moe_checkpoint_unchanged(const moe_checkpoint *checkpoint,
                                       moe_error *error);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_SAFETENSORS_H

//===- manifest.h - What is in a compiled module ------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_SRC_MANIFEST_H
#define MOE_RT_SRC_MANIFEST_H
#include "diag.h"
#include "moe_abi.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Limits that a manifest is held to before anything is allocated from it.
#define MOE_MANIFEST_MAX_SYMBOLS 256u
#define MOE_MANIFEST_MAX_ARGUMENTS 4096u
#define MOE_MANIFEST_MAX_BYTES ((uint64_t)1 << 46)
#define MOE_MANIFEST_MAX_DEVICES 16u
#define MOE_MANIFEST_MAX_KERNEL_ARGUMENTS 256u
#define MOE_MANIFEST_MAX_RESIDENT_BLOCKS 32u

/// A checked copy of a manifest: every index, range and size below is valid.
/// Strings are NUL-terminated; tables are aligned.
typedef struct {
  moe_abi_manifest header;
  /// The file is started, not loaded: it names a dynamic linker.
  bool is_program;
  const char *target, *compiler, *model;
  const char **symbols;
  moe_abi_function *functions;
  const char **function_names;
  moe_abi_argument *arguments;
  const char **argument_names;
  moe_abi_param *params;
  const char **param_names;
  const char **param_layouts; // two per parameter
  moe_abi_source *sources;
  const char **source_names;
  moe_abi_device *devices;
  const char **device_names;
  moe_abi_kernel *kernels;
  const char **kernel_names;
  /// Their bytes are not copied: they start `note_offset` further on in the
  /// file.
  moe_abi_image *images;
  uint64_t note_offset;
  /// Of a STATE argument: which of the session's buffers; functions share
  /// those of one name.
  uint32_t *state_of_argument;
  uint32_t num_states;
  /// Per buffer: an argument that describes it.
  uint32_t *state_arguments;
  char *strings;
} moe_manifest;

/// Finds, checks and copies the manifest of the file `bytes`. Nothing of it is
/// run. `name` starts every message. Release with moe_manifest_free().
/// \returns MOE_RT_OK, MOE_RT_BAD_FILE, MOE_RT_INCOMPATIBLE (another ABI),
///     MOE_RT_OUT_OF_MEMORY.
moe_rt_status moe_manifest_read(const uint8_t *bytes, size_t size,
                                const char *name, moe_manifest **manifest,
                                moe_error *error);
void moe_manifest_free(moe_manifest *manifest);

/// Fills in length and hash of a finished file.
moe_rt_status moe_manifest_seal(uint8_t *bytes, size_t size, const char *name,
                                moe_error *error);

/// Index of a function, -1 if there is none.
int64_t moe_manifest_function(const moe_manifest *manifest, const char *name);

/// Bytes of one source tensor; false on overflow.
bool moe_source_bytes(const moe_abi_source *source, uint64_t *size_bytes);

/// "f32" and so on.
const char *moe_abi_dtype_name(uint32_t dtype);
/// Bytes of an element.
uint32_t moe_abi_dtype_size(uint32_t dtype);

/// Whether a symbol is the product of two others ("B*S"), and of which; numbers
/// are MOE_ABI_NONE for factors that the module does not list.
bool moe_manifest_product(const moe_manifest *m, uint32_t symbol,
                          uint32_t *left, uint32_t *right);

/// The manifest as JSON.
void moe_manifest_describe(const moe_manifest *manifest, moe_text *text);

#ifdef __cplusplus
}
#endif
#endif // MOE_RT_SRC_MANIFEST_H

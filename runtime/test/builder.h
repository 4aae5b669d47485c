//===- builder.h - Manifests made by hand -------------------------*- C -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_RT_TEST_BUILDER_H
#define MOE_RT_TEST_BUILDER_H
#include "moe_abi.h"

/// The tables of a manifest before they are put together; fields may be changed
/// between adding and building.
typedef struct {
  moe_abi_manifest header;
  moe_abi_symbol symbols[300];
  moe_abi_function functions[32];
  moe_abi_argument arguments[96];
  moe_abi_param params[16];
  moe_abi_source sources[32];
  moe_abi_device devices[20];
  moe_abi_kernel kernels[32];
  moe_abi_image images[32];
  uint32_t num_symbols, num_functions, num_arguments, num_params, num_sources;
  uint32_t num_devices, num_kernels, num_images;
  char strings[8192];
  uint32_t num_strings;
} builder;

void builder_start(builder *b);
moe_abi_string builder_string(builder *b, const char *text);
uint32_t builder_symbol(builder *b, const char *name);
moe_abi_function *builder_function(builder *b, const char *name, uint32_t code);
/// Of the last function. `shape` is like "T 4 2*B"; "" for a scalar.
moe_abi_argument *builder_argument(builder *b, const char *name, uint32_t role,
                                   uint32_t dtype, const char *shape);
moe_abi_param *builder_param(builder *b, const char *name, uint64_t size,
                             uint32_t pack);
/// Of the last parameter. `shape` is like "3 4".
moe_abi_source *builder_source(builder *b, const char *tensor, uint32_t dtype,
                               const char *shape);

/// Parameters, kernels and images that follow belong to it, and no longer to
/// the CPU's code.
moe_abi_device *builder_device(builder *b, const char *name, uint32_t level);
moe_abi_kernel *builder_kernel(builder *b, const char *name,
                               uint32_t num_arguments);
moe_abi_image *builder_image(builder *b, uint32_t kind, const char *bytes);

/// The note's descriptor, in memory to be freed.
uint8_t *builder_note(const builder *b, size_t *size);

/// A small ELF file with these bytes as its note's descriptor, sealed if it is
/// long enough for that.
uint8_t *builder_wrap(const uint8_t *note, size_t note_size, size_t *size);
/// builder_wrap() of builder_note().
uint8_t *builder_file(const builder *b, size_t *size);

/// The module of fake.c, without and with its code for GPUs.
void build_fake(builder *b);
void build_fake_devices(builder *b);

#endif // MOE_RT_TEST_BUILDER_H

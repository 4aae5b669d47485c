//===- fuzz_manifest.c - Any bytes as a compiled module -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Bytes are taken as a whole file, and as the descriptor of the note of a file
// that is whole and sealed: a hash keeps no forger out. What is accepted must
// describe itself as valid JSON.
//===----------------------------------------------------------------------===//
#include "alloc.h"
#include "builder.h"
#include "json.h"
#include "manifest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                        \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
      abort();                                                                 \
    }                                                                          \
  } while (0)

static void check(const uint8_t *file, size_t size) {
  moe_error error = {MOE_RT_OK, ""};
  moe_manifest *m = NULL;
  moe_rt_status status = moe_manifest_read(file, size, "fuzz", &m, &error);
  if (status) {
    MUST((status == MOE_RT_BAD_FILE || status == MOE_RT_INCOMPATIBLE) && !m);
    for (const char *p = error.text; *p; p++)
      MUST((unsigned char)*p >= 0x20);
    return;
  }
  // The reader's promises, in words of our own.
  const moe_abi_manifest *h = &m->header;
  for (uint32_t i = 0; i < h->functions.count; i++) {
    const moe_abi_function *f = &m->functions[i];
    MUST((uint64_t)f->first_argument + f->num_arguments <= h->arguments.count);
    MUST(moe_manifest_function(m, m->function_names[i]) == i);
    for (uint32_t k = 0; k < f->num_arguments; k++) {
      const moe_abi_argument *a = &m->arguments[f->first_argument + k];
      MUST(a->role <= MOE_ABI_COUNT && a->rank <= MOE_ABI_MAX_RANK);
      MUST(moe_abi_dtype_size(a->dtype) > 0);
      MUST(a->count_argument == MOE_ABI_NONE ||
           a->count_argument < f->num_arguments);
      MUST(m->state_of_argument[f->first_argument + k] < m->num_states ||
           a->role != MOE_ABI_STATE);
      for (uint32_t d = 0; d < a->rank; d++)
        MUST(a->extents[d].symbol == MOE_ABI_NONE ||
             a->extents[d].symbol < h->symbols.count);
    }
  }
  for (uint32_t i = 0; i < h->params.count; i++) {
    const moe_abi_param *p = &m->params[i];
    MUST((uint64_t)p->first_source + p->num_sources <= h->sources.count);
    for (uint32_t k = 0; k < p->num_sources; k++) {
      uint64_t bytes;
      MUST(moe_source_bytes(&m->sources[p->first_source + k], &bytes));
    }
  }
  MUST(h->num_cpu_params <= h->params.count);
  for (uint32_t i = 0; i < h->devices.count; i++) {
    const moe_abi_device *device = &m->devices[i];
    MUST((uint64_t)device->first_param + device->num_params <= h->params.count);
    MUST((uint64_t)device->first_kernel + device->num_kernels <=
         h->kernels.count);
    MUST((uint64_t)device->first_image + device->num_images <= h->images.count);
    for (uint32_t k = 0; k < device->num_images; k++) {
      const moe_abi_image *image = &m->images[device->first_image + k];
      MUST(m->note_offset + image->bytes.offset + image->bytes.size <= size);
      MUST(image->kind == MOE_ABI_IMAGE_CUBIN ||
           !file[m->note_offset + image->bytes.offset + image->bytes.size]);
    }
  }
  moe_text text = {0};
  moe_manifest_describe(m, &text);
  MUST(!text.failed);
  moe_json_document *d = NULL;
  MUST(moe_json_parse(text.data, text.size, "text", (size_t)1 << 30, 0, &d,
                      &error) == MOE_RT_OK);
  moe_json_free(d);
  moe_free(text.data);
  moe_manifest_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  check(data, size);
  if (size < sizeof(moe_abi_manifest) || size > 1 << 16)
    return 0;
  uint8_t *note = malloc(size);
  memcpy(note, data, size);
  // What no mutation is likely to keep right.
  moe_abi_manifest h;
  memcpy(&h, note, sizeof(h));
  h.magic = MOE_ABI_MAGIC;
  h.abi_major = MOE_ABI_MAJOR;
  h.abi_minor = MOE_ABI_MINOR;
  h.manifest_size = size;
  memcpy(note, &h, sizeof(h));
  size_t file_size;
  uint8_t *file = builder_wrap(note, size, &file_size);
  check(file, file_size);
  free(file);
  free(note);
  return 0;
}

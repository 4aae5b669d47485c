//===- make_note.c - The note of the module written by hand ---------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// make_note OUT.c: C source that puts the manifest into section .note.moe.
// make_note --seal FILE: fills in length and hash of the linked library.
//===----------------------------------------------------------------------===//
#include "builder.h"
#include "check.h"
#include "manifest.h"

static int seal(const char *path) {
  size_t size;
  unsigned char *bytes = check_read(path, &size);
  moe_error error;
  if (moe_manifest_seal(bytes, size, path, &error)) {
    fprintf(stderr, "error: %s\n", error.text);
    return 1;
  }
  check_write(path, bytes, size);
  free(bytes);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "--seal"))
    return seal(argv[2]);
  if (argc != 2)
    return 2;
  static builder b;
  build_fake_devices(&b);
  size_t size;
  uint8_t *note = builder_note(&b, &size);
  FILE *file = fopen(argv[1], "w");
  REQUIRE(file != NULL);
  fprintf(file,
          "__asm__(\".pushsection .note.moe,\\\"a\\\",@note\\n\"\n"
          "  \".p2align 2\\n.long 4, %zu, %u\\n.asciz \\\"%s\\\"\\n\"\n",
          size, MOE_ABI_NOTE_TYPE, MOE_ABI_NOTE_OWNER);
  for (size_t i = 0; i < size; i += 16) {
    fprintf(file, "  \".byte ");
    for (size_t k = i; k < size && k < i + 16; k++)
      fprintf(file, "%s%u", k > i ? "," : "", note[k]);
    fprintf(file, "\\n\"\n");
  }
  fprintf(file, "  \".p2align 2\\n.popsection\\n\");\n");
  REQUIRE(fclose(file) == 0);
  free(note);
  return 0;
}

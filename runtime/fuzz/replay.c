//===- replay.c - A fuzzer's corpus without the fuzzer --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// replay NAME FOLDER...: every file of the folders through the target, whole,
// then cut short and with single bytes changed. A broken promise aborts.
//===----------------------------------------------------------------------===//
#include "check.h"
#include <dirent.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path) {
  size_t size;
  unsigned char *bytes = check_read(path, &size);
  CHECK_EQ(LLVMFuzzerTestOneInput(bytes, size), 0);
  // At most 200 cuts and 400 changes per file, evenly spread.
  size_t step = size / 200 + 1;
  for (size_t n = 0; n < size; n += step) {
    // Alone in its memory, so that a sanitizer sees any read behind it.
    unsigned char *cut = malloc(n ? n : 1);
    memcpy(cut, bytes, n);
    CHECK_EQ(LLVMFuzzerTestOneInput(cut, n), 0);
    free(cut);
    unsigned char saved = bytes[n];
    static const unsigned char changes[] = {0x01, 0x80};
    for (size_t i = 0; i < sizeof(changes); i++) {
      bytes[n] = saved ^ changes[i];
      CHECK_EQ(LLVMFuzzerTestOneInput(bytes, size), 0);
    }
    bytes[n] = saved;
  }
  free(bytes);
}

int main(int argc, char **argv) {
  REQUIRE(argc >= 3);
  for (int i = 2; i < argc; i++) {
    DIR *folder = opendir(argv[i]);
    REQUIRE(folder != NULL);
    int files = 0;
    struct dirent *entry;
    while ((entry = readdir(folder))) {
      char path[4096];
      if (entry->d_name[0] == '.')
        continue;
      snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
      replay(path);
      files++;
    }
    closedir(folder);
    CHECK(files > 0);
  }
  return check_finish(argv[1]);
}

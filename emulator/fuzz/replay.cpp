//===- replay.cpp - A fuzzer's seeds without the fuzzer -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// replay FOLDER...: every file of the folders through the target, whole, then
// cut short, with single bytes changed and with lines left out or repeated. A
// broken promise aborts.
//===----------------------------------------------------------------------===//
#include "check.h"
#include <dirent.h>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const std::string &text) {
  // Alone in its memory, so that a sanitizer sees any read behind it.
  std::vector<uint8_t> bytes(text.begin(), text.end());
  CHECK_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
}

static void replay(const std::string &path) {
  FILE *file = fopen(path.c_str(), "rb");
  if (!CHECK(file))
    return;
  std::string text;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
    text.append(buffer, n);
  fclose(file);
  feed(text);
  // At most 60 of each kind per file, evenly spread.
  size_t step = text.size() / 60 + 1;
  for (size_t n = 0; n < text.size(); n += step) {
    feed(text.substr(0, n));
    for (char change : {char(0x01), char(0x10)}) {
      std::string other = text;
      other[n] = char(other[n] ^ change);
      feed(other);
    }
    size_t start = text.rfind('\n', n), end = text.find('\n', n);
    if (start == std::string::npos || end == std::string::npos || start >= end)
      continue;
    feed(text.substr(0, start) + text.substr(end));
    feed(text.substr(0, end) + text.substr(start));
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    DIR *folder = opendir(argv[i]);
    if (!CHECK(folder))
      continue;
    unsigned files = 0;
    while (dirent *entry = readdir(folder)) {
      if (entry->d_name[0] == '.')
        continue;
      replay(std::string(argv[i]) + "/" + entry->d_name);
      ++files;
    }
    closedir(folder);
    CHECK(files > 0);
  }
  return finishChecks("replay_ptx");
}

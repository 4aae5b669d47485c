//===- fuzz.h - What the fuzz targets share ---------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_TEST_FUZZ_FUZZ_H
#define MOE_TEST_FUZZ_FUZZ_H
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// LLVM is not built with the sanitizer and takes memory that our code, with
/// LLVM's inlined, has marked as not in use; a fuzzer has the readers twice.
extern "C" const char *__asan_default_options();
extern "C" const char *__asan_default_options() {
  return "allow_user_poisoning=0:detect_odr_violation=0";
}

#define MUST(condition)                                                        \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
      abort();                                                                 \
    }                                                                          \
  } while (0)

/// A message names what is wrong and cannot steer a terminal.
inline void checkMessage(const std::string &text) {
  MUST(!text.empty() && text.size() < 10000);
  for (unsigned char c : text)
    MUST(c >= 0x20 && c != 0x7f);
}

/// A folder of this process, gone when it ends.
class Folder {
public:
  Folder() {
    const char *parent = getenv("TMPDIR");
    path = std::string(parent ? parent : "/tmp") + "/moe-fuzz-XXXXXX";
    MUST(mkdtemp(path.data()));
  }
  ~Folder() {
    if (system(("rm -rf '" + path + "'").c_str()))
      perror(path.c_str());
  }
  void write(const char *name, const void *data, size_t size) const {
    int fd =
        open((path + "/" + name).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    MUST(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size));
    close(fd);
  }
  const std::string &getPath() const { return path; }

private:
  std::string path;
};
#endif // MOE_TEST_FUZZ_FUZZ_H

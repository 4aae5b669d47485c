//===- fuzz_index.cpp - Any bytes as a shard index ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// The folder has two shards, with tensors `a`, `b`, `c` and `c`, `d`. What is
// accepted must find every tensor that it names, in one of them.
//===----------------------------------------------------------------------===//
#include "fuzz.h"
#include "safetensors.h"
#include <climits>

static void writeShard(const Folder &folder, const char *name,
                       const char *tensors) {
  std::string header = "{";
  for (const char *tensor = tensors; *tensor; ++tensor) {
    std::string begin = std::to_string(4 * (tensor - tensors));
    std::string end = std::to_string(4 * (tensor - tensors) + 4);
    header += tensor == tensors ? "\"" : ",\"";
    header += *tensor;
    header += "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + begin +
              "," + end + "]}";
  }
  header += "}";
  uint64_t length = header.size();
  std::string bytes(reinterpret_cast<char *>(&length), 8);
  bytes += header + std::string(4 * strlen(tensors), '\0');
  folder.write(name, bytes.data(), bytes.size());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Folder *folder = [] {
    static const Folder folder;
    writeShard(folder, "x.safetensors", "abc");
    writeShard(folder, "y.safetensors", "cd");
    return &folder;
  }();
  folder->write("model.safetensors.index.json", data, size);
  moe_checkpoint *checkpoint = nullptr;
  moe_error error = {MOE_RT_OK, ""};
  if (moe_checkpoint_open(folder->getPath().c_str(), MOE_ST_HEADERS_ONLY,
                          &checkpoint, &error)) {
    MUST(!checkpoint);
    checkMessage(error.text);
    return 0;
  }
  char whole[PATH_MAX];
  MUST(realpath(folder->getPath().c_str(), whole));
  std::string real = whole;
  size_t count = moe_checkpoint_count(checkpoint);
  MUST(count <= 4);
  for (size_t i = 0; i < count; ++i) {
    const moe_st_tensor *tensor = moe_checkpoint_at(checkpoint, i);
    const moe_st_file *file = nullptr;
    MUST(strlen(tensor->name) == 1);
    MUST(moe_checkpoint_find(checkpoint, tensor->name, &file) == tensor);
    // "./x.safetensors" and "x/../x.safetensors" would do no harm either.
    char path[PATH_MAX];
    MUST(realpath(moe_st_path(file), path));
    MUST(path == real + "/x.safetensors" || path == real + "/y.safetensors");
  }
  moe_checkpoint_close(checkpoint);
  return 0;
}

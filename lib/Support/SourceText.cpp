//===- SourceText.cpp - IR from a file or a stream ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Support/SourceText.h"
#include "moe/Support/DepthGuard.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace llvm;

/// A pipe that the parent process opened has somebody at its other end.
static bool isInherited(StringRef path) {
  return path == "/dev/stdin" || sys::path::parent_path(path) == "/dev/fd";
}

Expected<std::unique_ptr<MemoryBuffer>>
mlir::moe::readSourceText(StringRef path) {
  sys::fs::file_status status;
  if (path != "-" && !sys::fs::status(path, status) &&
      status.type() != sys::fs::file_type::regular_file &&
      !(status.type() == sys::fs::file_type::fifo_file && isInherited(path)))
    return createStringError(path + ": is not a regular file");
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer)
    return createStringError(
        buffer.getError(),
        path + ": cannot open: " + buffer.getError().message());
  if (std::optional<std::string> fault = findUnsafeText(**buffer))
    return createStringError(*fault);
  return std::move(*buffer);
}

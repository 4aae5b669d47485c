//===- AtomicFile.cpp - Whole files or none -------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Target/AtomicFile.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;

static Error fail(StringRef path, const Twine &what, std::error_code code) {
  return createStringError(code,
                           path + ": cannot " + what + ": " + code.message());
}

/// Writes all of `bytes`; errno says why not.
static bool writeAll(int fd, ArrayRef<char> bytes) {
  while (!bytes.empty()) {
    // Linux writes at most 2 GiB at once.
    ssize_t n =
        ::write(fd, bytes.data(), std::min<size_t>(bytes.size(), 1u << 30));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    bytes = bytes.drop_front(n);
  }
  return true;
}

static StringRef getDirectory(StringRef path) {
  StringRef directory = sys::path::parent_path(path);
  return directory.empty() ? "." : directory;
}

bool mlir::moe::isWrittenInPlace(StringRef path) {
  if (path == "-")
    return true;
  StringRef directory = getDirectory(path);
  if (directory == "/dev" || directory == "/dev/fd" ||
      directory.starts_with("/proc/"))
    return true;
  sys::fs::file_status status;
  return !sys::fs::status(path, status) &&
         (status.type() == sys::fs::file_type::character_file ||
          status.type() == sys::fs::file_type::fifo_file);
}

Error mlir::moe::checkOutputPath(StringRef path) {
  if (path == "-")
    return Error::success();
  sys::fs::file_status status;
  if (isWrittenInPlace(path)) {
    if (sys::fs::is_directory(path))
      return fail(path, "open", make_error_code(std::errc::is_a_directory));
    if (::access(path.str().c_str(), W_OK))
      return fail(path, "open", errnoAsErrorCode());
    return Error::success();
  }
  // Whatever else is no regular file: a folder, a socket, a disk.
  if (!sys::fs::status(path, status) &&
      status.type() != sys::fs::file_type::regular_file)
    return createStringError(path +
                             ": is not a regular file, will not be replaced");
  if (path.empty() || sys::path::is_separator(path.back()))
    return createStringError("'" + path + "' is not the name of a file");
  StringRef directory = getDirectory(path);
  if (std::error_code code = sys::fs::status(directory, status))
    return fail(path, "create", code);
  if (status.type() != sys::fs::file_type::directory_file)
    return fail(path, "create", make_error_code(std::errc::not_a_directory));
  if (::access(directory.str().c_str(), W_OK | X_OK))
    return fail(path, "create", errnoAsErrorCode());
  return Error::success();
}

static Error writeInPlace(StringRef path, ArrayRef<char> bytes) {
  if (path == "-" || path == "/dev/stdout") {
    if (!writeAll(STDOUT_FILENO, bytes))
      return fail("standard output", "write", errnoAsErrorCode());
    return Error::success();
  }
  // A pipe that nobody reads is an error, not a wait; one that somebody reads
  // slowly is a wait.
  int fd = ::open(path.str().c_str(),
                  O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0)
    return fail(path, "open", errnoAsErrorCode());
  bool isWritten = ::fcntl(fd, F_SETFL, 0) == 0 && writeAll(fd, bytes);
  std::error_code code = isWritten ? std::error_code() : errnoAsErrorCode();
  if (::close(fd) && isWritten)
    code = errnoAsErrorCode();
  return code ? fail(path, "write", code) : Error::success();
}

Error mlir::moe::writeFileAtomically(StringRef path, ArrayRef<char> bytes,
                                     bool executable) {
  if (Error error = checkOutputPath(path))
    return error;
  if (isWrittenInPlace(path))
    return writeInPlace(path, bytes);
  // In the same directory, so that rename() does not cross file systems.
  int fd;
  SmallString<128> temporary;
  unsigned mode = sys::fs::all_read | sys::fs::all_write;
  if (executable)
    mode |= sys::fs::all_exe;
  if (std::error_code code = sys::fs::createUniqueFile(
          path + ".tmp%%%%%%%%", fd, temporary, sys::fs::OF_None, mode))
    return fail(path, "create", code);
  sys::RemoveFileOnSignal(temporary);
  auto giveUp = [&](const Twine &what) {
    std::error_code code = errnoAsErrorCode();
    if (fd >= 0)
      ::close(fd);
    ::unlink(temporary.c_str());
    sys::DontRemoveFileOnSignal(temporary);
    return fail(path, what, code);
  };
  if (!writeAll(fd, bytes) || ::fsync(fd))
    return giveUp("write");
  int closing = std::exchange(fd, -1);
  if (::close(closing))
    return giveUp("write");
  if (::rename(temporary.c_str(), path.str().c_str()))
    return giveUp("replace");
  sys::DontRemoveFileOnSignal(temporary);
  // The file itself is whole by now; some file systems cannot sync folders.
  int directory = ::open(getDirectory(path).str().c_str(),
                         O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)::fsync(directory);
    ::close(directory);
  }
  return Error::success();
}

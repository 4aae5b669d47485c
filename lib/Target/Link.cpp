//===- Link.cpp - The linker, in process ----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Neither objects nor result touch the disk: inputs are memory files, and the
// result comes through a pipe. lld makes a temporary file beside a regular
// output, which cannot work under /proc/self/fd, but writes straight into
// anything else.
//===----------------------------------------------------------------------===//
#include "Link.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/thread.h"
#include <algorithm>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

LLD_HAS_DRIVER(elf)

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

static Error fail(const Twine &what) {
  return createStringError(what + ": " + llvm::errnoAsErrorCode().message());
}

namespace {
/// An unnamed file that has a path as long as it is open.
class MemoryFile {
public:
  static Expected<MemoryFile> create(StringRef name, ArrayRef<char> bytes) {
    MemoryFile file;
    file.fd = ::memfd_create(name.str().c_str(), MFD_CLOEXEC);
    if (file.fd < 0)
      return fail("memory file");
    while (!bytes.empty()) {
      ssize_t n = ::write(file.fd, bytes.data(),
                          std::min<size_t>(bytes.size(), 1u << 30));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail("memory file");
      bytes = bytes.drop_front(n);
    }
    return file;
  }
  MemoryFile(MemoryFile &&other) : fd(std::exchange(other.fd, -1)) {}
  MemoryFile &operator=(MemoryFile &&) = delete;
  ~MemoryFile() {
    if (fd >= 0)
      ::close(fd);
  }
  std::string getPath() const { return "/proc/self/fd/" + llvm::utostr(fd); }

private:
  MemoryFile() = default;
  int fd = -1;
};

/// Where lld writes; a thread collects it.
class OutputPipe {
public:
  Error open() {
    if (::pipe2(fds, O_CLOEXEC))
      return fail("pipe");
    reader = llvm::thread([this] {
      SmallVector<char, 0> chunk(1 << 16);
      while (true) {
        ssize_t n = ::read(fds[0], chunk.data(), chunk.size());
        if (n > 0)
          bytes.append(chunk.begin(), chunk.begin() + n);
        else if (n == 0 || errno != EINTR)
          break;
      }
    });
    return Error::success();
  }
  std::string getPath() const {
    return "/proc/self/fd/" + llvm::utostr(fds[1]);
  }
  SmallVector<char, 0> finish() {
    ::close(fds[1]); // the last writer: lld has closed its own descriptor
    reader.join();
    ::close(fds[0]);
    return std::move(bytes);
  }

private:
  int fds[2] = {-1, -1};
  llvm::thread reader;
  SmallVector<char, 0> bytes;
};
} // namespace

/// `names`: what to print for the path of each input.
static Error runLinker(ArrayRef<std::string> arguments,
                       ArrayRef<std::pair<std::string, std::string>> names,
                       SmallVectorImpl<char> &file) {
  // Links in sequence are fine, links at once are not.
  static std::mutex mutex;
  static bool broken = false;
  std::lock_guard<std::mutex> lock(mutex);
  if (broken)
    return llvm::make_error<CompileError>(
        CompileError::Internal, "linker: unusable after an earlier failure");
  if (::access("/proc/self/fd", X_OK))
    return createStringError("/proc/self/fd: cannot open: is /proc mounted?");
  OutputPipe pipe;
  if (Error error = pipe.open())
    return error;
  std::vector<std::string> all = {
      "ld.lld",          "-m",
      "elf_x86_64",      "-o",
      pipe.getPath(),    "--threads=1",
      "--build-id=none", "--color-diagnostics=never",
      "--fatal-warnings"};
  llvm::append_range(all, arguments);
  std::vector<const char *> argv;
  for (const std::string &argument : all)
    argv.push_back(argument.c_str());
  std::string text;
  llvm::raw_string_ostream os(text);
  const lld::DriverDef drivers[] = {{lld::Gnu, &lld::elf::link}};
  lld::Result result = lld::lldMain(argv, os, os, drivers);
  broken = !result.canRunAgain;
  SmallVector<char, 0> bytes = pipe.finish();
  if (!result.retCode && text.empty()) { // a warning is a fault of ours
    file.assign(bytes.begin(), bytes.end());
    return Error::success();
  }
  for (auto &[path, name] : names)
    for (size_t at; (at = text.find(path + ":")) != std::string::npos;)
      text.replace(at, path.size(), name);
  // One line, whatever it is.
  SmallVector<StringRef> lines;
  StringRef(text).split(lines, '\n', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  std::string line = llvm::join(lines, " ");
  return createStringError("linker: " + line);
}

namespace {
/// The inputs of one link.
class Inputs {
public:
  Error add(StringRef name, ArrayRef<char> bytes) {
    Expected<MemoryFile> file = MemoryFile::create(name, bytes);
    if (!file)
      return file.takeError();
    names.emplace_back(file->getPath(), name.str());
    arguments.push_back(file->getPath());
    files.push_back(std::move(*file));
    return Error::success();
  }
  Error link(SmallVectorImpl<char> &output) const {
    return runLinker(arguments, names, output);
  }

  std::vector<std::string> arguments;

private:
  std::vector<MemoryFile> files;
  std::vector<std::pair<std::string, std::string>> names;
};
} // namespace

/// What the linker sees instead of the build machine's C library, so that the
/// output does not depend on that machine.
static Error makeStub(StringRef soname, ArrayRef<LibraryFunction> functions,
                      SmallVectorImpl<char> &stub) {
  Expected<Object> code = emitStubCode(functions);
  if (!code)
    return code.takeError();
  std::string script;
  StringRef version;
  for (const LibraryFunction &function : functions) { // sorted by version
    if (function.version != version)
      script +=
          ((version.empty() ? "" : " };\n") + function.version + " {").str();
    version = function.version;
    script += (" " + function.name + ";").str();
  }
  script += " };\n";
  Inputs inputs;
  inputs.arguments = {"-shared", "-soname", soname.str()};
  Expected<MemoryFile> map =
      MemoryFile::create("stub.map", ArrayRef(script.data(), script.size()));
  if (!map)
    return map.takeError();
  llvm::append_values(inputs.arguments, std::string("--version-script"),
                      map->getPath());
  if (Error error = inputs.add(code->name, code->bytes))
    return error;
  return inputs.link(stub);
}

Error moe::linkLibrary(ArrayRef<Object> objects, SmallVectorImpl<char> &file) {
  SmallVector<char, 0> stub;
  if (Error error = makeStub("libc.so.6", getLibraryFunctions(), stub))
    return error;
  Inputs inputs;
  inputs.arguments = {"-shared",
                      "-Bsymbolic",
                      "--gc-sections",
                      "--no-undefined",
                      "--hash-style=gnu",
                      "-z",
                      "relro",
                      "-z",
                      "now",
                      "-z",
                      "noexecstack",
                      "-z",
                      "text",
                      "-z",
                      "max-page-size=4096"};
  for (const Object &object : objects)
    if (Error error = inputs.add(object.name, object.bytes))
      return error;
  inputs.arguments.push_back("--as-needed");
  if (Error error = inputs.add("libc.so.6", stub))
    return error;
  return inputs.link(file);
}

Expected<std::string> moe::findProgramArchive(StringRef asked) {
  std::string path = asked.str();
  Dl_info info;
  if (path.empty() &&
      ::dladdr(reinterpret_cast<void *>(&moe::findProgramArchive), &info) &&
      info.dli_fname) {
    // Through symbolic links: the archive lies beside the file itself.
    SmallString<128> real;
    if (llvm::sys::fs::real_path(info.dli_fname, real))
      real = info.dli_fname;
    llvm::sys::path::remove_filename(real);
    llvm::sys::path::append(real, "libmoe_main.a");
    path = real.str().str();
  }
  std::string reason;
  if (std::error_code code =
          llvm::sys::fs::access(path, llvm::sys::fs::AccessMode::Exist))
    reason = code.message();
  else if (!llvm::sys::fs::is_regular_file(path))
    reason = "is not a regular file";
  if (!reason.empty())
    return llvm::make_error<CompileError>(
        CompileError::Environment,
        path + ": cannot open: " + reason +
            "; --emit=exe needs this archive, which is installed beside "
            "libMoE.so");
  return path;
}

/// Where this process has the shared library `name` from.
static std::string findLoaded(StringRef name) {
  struct Search {
    StringRef name;
    std::string path;
  } search = {name, ""};
  ::dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *data) {
        auto &search = *static_cast<Search *>(data);
        StringRef path = info->dlpi_name ? info->dlpi_name : "";
        if (llvm::sys::path::filename(path) != search.name)
          return 0;
        search.path = path.str();
        return 1;
      },
      &search);
  return search.path;
}

Error moe::linkProgram(ArrayRef<Object> objects, StringRef archive,
                       SmallVectorImpl<char> &file) {
  Inputs inputs;
  inputs.arguments = {"-pie",
                      "--dynamic-linker=/lib64/ld-linux-x86-64.so.2",
                      "--gc-sections",
                      "--no-undefined",
                      "--strip-debug",
                      "--hash-style=gnu",
                      "-z",
                      "relro",
                      "-z",
                      "now",
                      "-z",
                      "noexecstack",
                      "-z",
                      "text",
                      "-z",
                      "max-page-size=4096"};
  for (const Object &object : objects)
    if (Error error = inputs.add(object.name, object.bytes))
      return error;
  llvm::append_values(inputs.arguments, archive.str(),
                      std::string("--as-needed"));
  for (StringRef name : {"libc.so.6", "libm.so.6"}) {
    std::string path = findLoaded(name);
    if (path.empty())
      return llvm::make_error<CompileError>(
          CompileError::Environment,
          "--emit=exe needs " + name + ", which this process does not have");
    inputs.arguments.push_back(path);
  }
  return inputs.link(file);
}

Error moe::linkRelocatable(ArrayRef<Object> objects,
                           SmallVectorImpl<char> &file) {
  Inputs inputs;
  inputs.arguments = {"-r"};
  for (const Object &object : objects)
    if (Error error = inputs.add(object.name, object.bytes))
      return error;
  return inputs.link(file);
}

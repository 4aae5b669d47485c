//===- Ptxas.cpp - The assembler for GPUs ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Ptxas.h"
#include "moe/Target/AtomicFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"
#include <chrono>
#include <csignal>
#include <thread>

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;
namespace fs = llvm::sys::fs;
namespace path = llvm::sys::path;

//===----------------------------------------------------------------------===//
// Where it is
//===----------------------------------------------------------------------===//

static bool isProgram(const Twine &file) {
  return fs::is_regular_file(file) && fs::can_execute(file);
}

/// `name` is what a user wrote, `origin` where.
static Expected<std::string> findAsked(StringRef name, StringRef origin) {
  if (name == "none")
    return std::string();
  if (name.contains('/')) {
    if (isProgram(name))
      return name.str();
  } else if (auto found = llvm::sys::findProgramByName(name)) {
    return *found;
  }
  return createStringError(origin + ": '" + name + "' is not a program");
}

Expected<std::string> moe::findPtxas(StringRef asked) {
  if (!asked.empty())
    return findAsked(asked, "--ptxas");
  if (const char *name = ::getenv("MOE_PTXAS"); name && *name)
    return findAsked(name, "MOE_PTXAS");
  if (auto found = llvm::sys::findProgramByName("ptxas"))
    return *found;
  SmallVector<SmallString<128>, 3> homes;
  if (const char *home = ::getenv("CUDA_HOME"); home && *home)
    homes.emplace_back(home);
  homes.emplace_back("/usr/local/cuda");
  // bin/moe-compile lies beside cuda/bin/ptxas.
  homes.emplace_back(path::parent_path(
      path::parent_path(fs::getMainExecutable(nullptr, nullptr))));
  path::append(homes.back(), "cuda");
  for (SmallString<128> &file : homes) {
    path::append(file, "bin", "ptxas");
    if (isProgram(file))
      return std::string(file);
  }
  return std::string();
}

//===----------------------------------------------------------------------===//
// Running it
//===----------------------------------------------------------------------===//

namespace {
/// An own file among the temporary ones, away at the end of its life or of the
/// process.
class TemporaryFile {
public:
  TemporaryFile() = default;
  TemporaryFile(const TemporaryFile &) = delete;
  ~TemporaryFile() {
    if (name.empty())
      return;
    fs::remove(name);
    llvm::sys::DontRemoveFileOnSignal(name);
  }

  Error create(StringRef suffix, StringRef text = "") {
    int fd;
    SmallString<128> file;
    if (std::error_code code = fs::createTemporaryFile("moe", suffix, fd, file))
      return createStringError("temporary file: " + code.message());
    llvm::raw_fd_ostream os(fd, /*shouldClose=*/true);
    name = std::string(file);
    llvm::sys::RemoveFileOnSignal(name);
    os << text;
    os.close();
    if (!os.has_error())
      return Error::success();
    std::error_code code = os.error();
    os.clear_error();
    return createStringError(name + ": cannot write: " + code.message());
  }

  Error read(SmallVectorImpl<char> &bytes) const {
    auto buffer = llvm::MemoryBuffer::getFile(name, /*IsText=*/false,
                                              /*RequiresNullTerminator=*/false);
    if (!buffer)
      return createStringError(name +
                               ": cannot read: " + buffer.getError().message());
    StringRef text = (*buffer)->getBuffer();
    bytes.assign(text.begin(), text.end());
    return Error::success();
  }

  std::string name;
};

/// What one run left.
struct Run {
  int status = 0;
  std::string text;
  SmallVector<char, 0> cubin;
};
} // namespace

/// Like llvm::sys::ExecuteAndWait(), whose time limit is a signal that another
/// thread might get.
static Expected<int> execute(StringRef program, ArrayRef<StringRef> arguments,
                             StringRef log, unsigned timeoutSeconds) {
  // What is in the environment changes no output.
  std::vector<StringRef> environment = {"LC_ALL=C"};
  std::string temporary;
  if (const char *folder = ::getenv("TMPDIR")) {
    temporary = std::string("TMPDIR=") + folder;
    environment.push_back(temporary);
  }
  std::string error;
  bool failed = false;
  llvm::sys::ProcessInfo child = llvm::sys::ExecuteNoWait(
      program, arguments, ArrayRef(environment), {StringRef(), log, log},
      /*MemoryLimit=*/0, &error, &failed);
  if (failed)
    return llvm::make_error<CompileError>(CompileError::Environment,
                                          program + ": " + error);
  using namespace std::chrono;
  auto deadline = steady_clock::now() + seconds(timeoutSeconds);
  auto pause = milliseconds(1);
  while (true) {
    llvm::sys::ProcessInfo ended =
        llvm::sys::Wait(child, /*SecondsToWait=*/0, &error);
    if (ended.Pid == child.Pid) {
      if (ended.ReturnCode >= 0)
        return ended.ReturnCode;
      return createStringError(program + ": " +
                               (error.empty() ? "crashed" : error));
    }
    if (ended.Pid != 0)
      return createStringError(program + ": " + error);
    if (steady_clock::now() > deadline) {
      ::kill(child.Pid, SIGKILL);
      llvm::sys::Wait(child, std::nullopt);
      return createStringError(program + ": not done after " +
                               Twine(timeoutSeconds) + " s");
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds(50));
  }
}

/// `entry`: this kernel alone; empty: all.
static Expected<Run> run(StringRef device, StringRef ptx, StringRef entry,
                         const CompileOptions &options) {
  TemporaryFile input, output, log;
  if (Error error = input.create("ptx", ptx))
    return std::move(error);
  if (Error error = output.create("cubin"))
    return std::move(error);
  if (Error error = log.create("log"))
    return std::move(error);
  std::string arch = ("-arch=" + device).str();
  SmallVector<StringRef> arguments = {options.ptxas, arch, "-v"};
  if (!entry.empty())
    arguments.append({"-e", entry});
  arguments.append({input.name, "-o", output.name});
  Expected<int> status =
      execute(options.ptxas, arguments, log.name, options.ptxasTimeoutSeconds);
  if (!status)
    return status.takeError();
  Run result;
  result.status = *status;
  SmallVector<char, 0> text;
  if (Error error = log.read(text))
    return std::move(error);
  result.text.assign(text.begin(), text.end());
  for (size_t at; (at = result.text.find(input.name)) != std::string::npos;)
    result.text.replace(at, input.name.size(), "kernels.ptx");
  if (Error error = output.read(result.cubin))
    return std::move(error);
  return result;
}

//===----------------------------------------------------------------------===//
// What it says
//===----------------------------------------------------------------------===//

/// "64 bytes NAME" at the start of `text`, which moves behind it.
static bool consumeFigure(StringRef &text, StringRef name, unsigned &place) {
  text = text.ltrim(", ");
  StringRef rest = text;
  if (rest.consumeInteger(10, place) || !rest.consume_front(" bytes ") ||
      !rest.consume_front(name))
    return false;
  text = rest;
  return true;
}

/// ptxas did not do what is written; it calls this information.
static bool isComplaint(StringRef line) {
  if (line.contains("Potential Performance Loss"))
    return true;
  size_t at = line.find("(C75");
  unsigned number = 0;
  return at != StringRef::npos &&
         !line.substr(at + 4, 2).getAsInteger(10, number) && number >= 4 &&
         number <= 19;
}

/// The line without "ptxas info    : ".
static StringRef getMessage(StringRef line) {
  auto [head, tail] = line.split(": ");
  return head.starts_with("ptxas") && !tail.empty() ? tail.trim() : line.trim();
}

/// Figures of `kernels` from what -v prints, and the first complaint.
static Error readReport(StringRef text, MutableArrayRef<Kernel> kernels,
                        StringRef program, StringRef &complaint) {
  Kernel *kernel = nullptr;
  llvm::StringMap<unsigned> found; // bit 0: the stack, bit 1: registers
  while (!text.empty()) {
    StringRef line;
    std::tie(line, text) = text.split('\n');
    if (complaint.empty() && isComplaint(line))
      complaint = getMessage(line);
    StringRef message = getMessage(line);
    auto select = [&](StringRef name) {
      auto *place = llvm::find_if(
          kernels, [&](Kernel &kernel) { return kernel.name == name; });
      kernel = place == kernels.end() ? nullptr : place;
    };
    if (message.consume_front("Compiling entry function '"))
      select(message.split('\'').first);
    else if (message.consume_front("Function properties for "))
      select(message);
    if (!kernel)
      continue;
    unsigned value = 0;
    StringRef rest = line.trim();
    if (consumeFigure(rest, "stack frame", kernel->stack) &&
        consumeFigure(rest, "spill stores", kernel->spillStores) &&
        consumeFigure(rest, "spill loads", kernel->spillLoads))
      found[kernel->name] |= 1;
    if (message.consume_front("Used ") &&
        !message.consumeInteger(10, kernel->registers) &&
        message.consume_front(" registers")) {
      found[kernel->name] |= 2;
      SmallVector<StringRef> parts;
      message.split(parts, ',');
      for (StringRef part : parts) {
        if (consumeFigure(part, "smem", value))
          kernel->staticShared = value;
        else if (consumeFigure(part, "cumulative stack size", value))
          kernel->stack = std::max(kernel->stack, value);
      }
    }
  }
  for (Kernel &kernel : kernels)
    if (found.lookup(kernel.name) != 3)
      return llvm::make_error<CompileError>(
          CompileError::Environment, program + " says nothing about kernel '" +
                                         kernel.name +
                                         "', expected ptxas of CUDA 12 or 13");
  return Error::success();
}

/// The first error line.
static StringRef getReason(StringRef text) {
  StringRef first = text.split('\n').first;
  for (StringRef rest = text; !rest.empty();) {
    StringRef line;
    std::tie(line, rest) = rest.split('\n');
    if (line.contains("fatal") || line.contains("error"))
      return line.trim();
  }
  return first.trim();
}

static Error explainFailure(const Run &run, StringRef device, StringRef ptx,
                            const CompileOptions &options) {
  StringRef text = run.text, reason = getReason(text);
  if (text.contains("Unsupported .version") ||
      text.contains("is not defined for option 'gpu-name'"))
    return llvm::make_error<CompileError>(CompileError::Environment,
                                          options.ptxas + " is too old for " +
                                              device + ": " + reason);
  SmallString<128> file(options.reproducerPath);
  path::replace_extension(file, "ptx");
  if (Error error = writeFileAtomically(file, ptx, /*executable=*/false))
    llvm::consumeError(std::move(error)); // the reason matters more
  return llvm::make_error<CompileError>(
      CompileError::Internal,
      "ptxas does not take the code for " + device + ": " + reason +
          "; to see it again: ptxas -arch=" + device + " -v '" + file + "'");
}

/// The kernel that a message is about. It says so itself, or shows up again
/// when this kernel is compiled alone.
static std::string findCulprit(StringRef complaint, StringRef device,
                               StringRef ptx, ArrayRef<Kernel> kernels,
                               const CompileOptions &options) {
  for (const Kernel &kernel : kernels)
    if (kernels.size() == 1 || complaint.contains("'" + kernel.name + "'"))
      return kernel.name;
  for (const Kernel &kernel : kernels) {
    Expected<Run> alone = run(device, ptx, kernel.name, options);
    if (!alone)
      llvm::consumeError(alone.takeError());
    else if (StringRef(alone->text).contains(complaint))
      return kernel.name;
  }
  return "?";
}

Expected<Assembly> moe::assemble(const Device &target, StringRef ptx,
                                 MutableArrayRef<Kernel> kernels,
                                 const CompileOptions &options) {
  StringRef device = target.name;
  Expected<Run> all = run(device, ptx, /*entry=*/"", options);
  if (!all)
    return all.takeError();
  if (all->status != 0)
    return explainFailure(*all, device, ptx, options);
  if (llvm::identify_magic({all->cubin.data(), all->cubin.size()}) ==
      llvm::file_magic::unknown)
    return createStringError(options.ptxas + ": wrote no cubin");
  StringRef complaint;
  if (Error error = readReport(all->text, kernels, options.ptxas, complaint))
    return std::move(error);

  auto isUnfit = [](const Kernel &kernel) {
    return kernel.stack || kernel.spillStores || kernel.spillLoads;
  };
  Assembly assembly;
  for (const Kernel &kernel : kernels) {
    std::string who = "kernel '" + kernel.name + "' for " + device.str();
    if (isUnfit(kernel)) {
      std::string text =
          who + " has " + llvm::utostr(kernel.stack) + " bytes of stack, " +
          llvm::utostr(kernel.spillStores) + " of spill stores and " +
          llvm::utostr(kernel.spillLoads) + " of spill loads";
      if (!kernel.allowStack) {
        text += ", expected none";
        if (unsigned others = llvm::count_if(kernels, isUnfit) - 1)
          text += " (" + llvm::utostr(others) + " more of " +
                  llvm::utostr(kernels.size()) + " kernels have some)";
        return createStringError(text);
      }
      assembly.warnings.push_back(text);
    }
    unsigned maxShared = getDevice(target.level).maxShared;
    if (kernel.staticShared > maxShared ||
        kernel.dynamicShared > maxShared - kernel.staticShared)
      return createStringError(who + " wants " + Twine(kernel.staticShared) +
                               " + " + Twine(kernel.dynamicShared) +
                               " bytes of shared memory, a block has " +
                               Twine(maxShared));
  }
  if (!complaint.empty())
    return createStringError(
        "kernel '" + findCulprit(complaint, device, ptx, kernels, options) +
        "' for " + device + " is not what ptxas makes of it: " + complaint);
  assembly.cubin = std::move(all->cubin);
  return assembly;
}

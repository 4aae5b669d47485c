//===- CommandLine.cpp - What all compiler tools do alike -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Support/CommandLine.h"
#include "moe/Support/SafeErrors.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Path.h"
#include <csignal>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

using namespace llvm;

/// Longest name of a flag that is looked up: LLVM compares an unknown one with
/// every flag, in time that grows with the product of their lengths.
static constexpr size_t kMaxFlagLength = 256;
static constexpr size_t kMaxErrorLength = 4096;

void mlir::moe::printError(const Twine &text) {
  std::string line = text.str();
  if (line.size() > kMaxErrorLength)
    line = line.substr(0, kMaxErrorLength) + "...";
  SafeErrors os;
  os << "error: ";
  for (StringRef rest = line; !rest.empty();) {
    size_t end = rest.find_first_of("\n\t");
    os << rest.take_front(end);
    if (end == StringRef::npos)
      break;
    os << (rest[end] == '\n' ? "\\x0a" : "\\x09");
    rest = rest.drop_front(end + 1);
  }
  os << "\n";
}

bool mlir::moe::flushStandardOutput() {
  outs().flush();
  if (!outs().has_error())
    return true;
  std::string reason = outs().error().message();
  // A stream that failed would end the process.
  outs().clear_error();
  printError("standard output: cannot write: " + reason);
  return false;
}

/// Standard error while LLVM parses, else -1.
static int savedErrors = -1;

/// --help and --version end the process while LLVM parses.
static void flushAtExit() {
  if (savedErrors >= 0)
    ::dup2(savedErrors, STDERR_FILENO);
  if (!mlir::moe::flushStandardOutput())
    _exit(1);
}

namespace {
/// Standard error goes to memory while this lives: LLVM prints some of its
/// complaints there whatever stream it is given.
class CapturedErrors {
public:
  CapturedErrors() {
    file = ::memfd_create("errors", MFD_CLOEXEC);
    savedErrors = ::dup(STDERR_FILENO);
    if (file >= 0 && savedErrors >= 0)
      ::dup2(file, STDERR_FILENO);
  }
  /// What came since; standard error is as before.
  std::string finish() {
    std::string text;
    if (file >= 0 && savedErrors >= 0) {
      ::dup2(savedErrors, STDERR_FILENO);
      char buffer[4096];
      ssize_t size = ::pread(file, buffer, sizeof(buffer), 0);
      text.assign(buffer, size > 0 ? size : 0);
    }
    ::close(file);
    ::close(std::exchange(savedErrors, -1));
    return text;
  }

private:
  int file;
};
} // namespace

/// The first line of what LLVM says, in our words.
static std::string reword(StringRef text, StringRef program) {
  StringRef line = text.trim().split('\n').first;
  StringRef tool = sys::path::filename(program);
  if (!line.consume_front(program))
    line.consume_front(tool);
  line.consume_front(": ");
  auto [what, advice] = line.split("  Try: ");
  // " argument 'x'! Must be 0 or 1": one sentence.
  std::string result = what.rtrim(".!").str();
  for (size_t at; (at = result.find("! ")) != std::string::npos;)
    result.replace(at, 2, ", ");
  if (result.empty())
    result = "wrong command line";
  if (result.size() == 1 || !isUpper(result[1]))
    result[0] = toLower(result[0]);
  result += ", see " + tool.str() + " --help";
  // LLVM always knows something similar.
  StringRef found = what.split("'--").second.split('\'').first;
  StringRef nearest = text.split("Did you mean '--").second.split('\'').first;
  if (!nearest.empty() && found.edit_distance(nearest) <= 3)
    result += "; did you mean '--" + nearest.str() + "'?";
  return result;
}

bool mlir::moe::parseCommandLine(int argc, char **argv, StringRef overview,
                                 std::string &error) {
  signal(SIGXFSZ, SIG_IGN); // write() fails instead
  signal(SIGPIPE, SIG_IGN);
  (void)outs(); // made before, so destroyed after
  std::atexit(flushAtExit);
  StringRef tool = sys::path::filename(argc ? argv[0] : "");
  for (int i = 1; i < argc; ++i) {
    StringRef argument = argv[i];
    if (argument == "--")
      break;
    StringRef name = argument.split('=').first;
    if (name.starts_with("-") && name.size() > kMaxFlagLength) {
      error = ("unknown command line argument '" + name.take_front(64) +
               "...', see " + tool + " --help")
                  .str();
      return false;
    }
  }
  std::string usage;
  raw_string_ostream usageStream(usage);
  CapturedErrors captured;
  bool isGood = cl::ParseCommandLineOptions(argc, argv, overview, &usageStream);
  std::string printed = captured.finish();
  if (isGood) {
    errs() << printed;
    return true;
  }
  error = reword(usage.empty() ? printed : usage, argc ? argv[0] : "");
  return false;
}

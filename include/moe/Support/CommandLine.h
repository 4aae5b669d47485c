//===- CommandLine.h - What all compiler tools do alike ---------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_SUPPORT_COMMANDLINE_H
#define MOE_SUPPORT_COMMANDLINE_H
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/Twine.h"
#include <string>

namespace mlir::moe {

/// Prints `error: ` and the text as one line: control characters, line feeds
/// among them, are written as \xNN, and a long text is cut.
void printError(const llvm::Twine &text);

/// Parses with LLVM's parser. What that has to say about a wrong command line
/// comes back as one line in `error`; false then. Ends the process after --help
/// and --version. From here on a write that fails is an error, not a signal,
/// and one that fails unnoticed ends in exit code 1.
bool parseCommandLine(int argc, char **argv, StringRef overview,
                      std::string &error);

/// Flushes standard output. False, after an error message, if not all of it
/// could be written.
bool flushStandardOutput();

} // namespace mlir::moe
#endif // MOE_SUPPORT_COMMANDLINE_H

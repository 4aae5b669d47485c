//===- fuzz_ptx.cpp - Any bytes as PTX ------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What is refused is refused with a line; what is accepted runs for a while,
// and ends or says why not. Twice with the same seed does the same.
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace moe::emu;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                        \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
      abort();                                                                 \
    }                                                                          \
  } while (0)

/// Runs a kernel on two warps, pointers to 4 KiB for all its parameters.
static std::string runOnce(Program &program, const Kernel &kernel,
                           Statistics &statistics) {
  GlobalMemory memory(64u << 20);
  std::string report;
  if (!placeVariables(program, memory, report)) {
    MUST(!report.empty());
    return report;
  }
  Launch launch;
  launch.program = &program;
  launch.kernel = &kernel;
  launch.memory = &memory;
  launch.budget = 4000;
  launch.dynamicShared = kernel.usesDynamicShared ? 4096 : 0;
  launch.block[0] = 64;
  if (kernel.reqntid[0])
    memcpy(launch.block, kernel.reqntid, sizeof launch.block);
  uint64_t address = memory.allocate(4096);
  if (Allocation *a = address ? memory.find(address, 4096) : nullptr)
    memset(a->shadow.data(), Initialized, a->shadow.size());
  launch.params.resize(kernel.paramBytes);
  for (const Parameter &p : kernel.params)
    if (p.size == 8)
      memcpy(&launch.params[p.offset], &address, 8);
    else
      memset(launch.params.data() + p.offset, 1, p.size);
  if (!checkLaunch(launch, report)) {
    MUST(!report.empty());
    return report;
  }
  if (stateBytes(launch) > (64u << 20))
    return "";
  bool good = runLaunch(launch, statistics, report);
  MUST(good == report.empty());
  return report;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string error;
  std::unique_ptr<Program> program =
      parseProgram(reinterpret_cast<const char *>(data), size, error);
  MUST(!!program == error.empty());
  if (!program) {
    MUST(error.compare(0, 5, "line ") == 0);
    return 0;
  }
  for (size_t n = 0; n < program->kernels.size() && n < 4; ++n) {
    Statistics first, second;
    std::string report = runOnce(*program, *program->kernels[n], first);
    MUST(report == runOnce(*program, *program->kernels[n], second));
    MUST(first.warpInstructions == second.warpInstructions);
  }
  return 0;
}

//===- Loader.cpp - What the driver checks before a launch ----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include <cstring>

using namespace moe::emu;

bool moe::emu::placeVariables(Program &program, GlobalMemory &memory,
                              std::string &error) {
  for (Variable &v : program.variables) {
    if (v.space != Space::Global && v.space != Space::Const)
      continue;
    if (v.isExternal) {
      error = "variable '" + v.name +
              "' is defined elsewhere, and nothing is "
              "linked here";
      return false;
    }
    uint64_t size = v.size ? v.size : 1;
    v.address = memory.allocate(size);
    Allocation *a = v.address ? memory.find(v.address, size) : nullptr;
    if (!a) {
      error = "no memory for variable '" + v.name + "' of " +
              std::to_string(v.size) + " bytes";
      return false;
    }
    // Without an initial value a variable is zero (PTX ISA, "Initializers").
    if (!v.initial.empty())
      memcpy(a->data.data(), v.initial.data(), v.initial.size());
    memset(a->shadow.data(), Initialized, a->shadow.size());
  }
  return true;
}

uint32_t moe::emu::maxSharedBytes(unsigned arch) {
  // CUDA C++ Programming Guide, "Compute Capabilities": maximum amount of
  // shared memory per thread block.
  return (arch >= 90 ? 227 : 163) << 10;
}

static std::string shape(const uint32_t *n) {
  return "(" + std::to_string(n[0]) + ", " + std::to_string(n[1]) + ", " +
         std::to_string(n[2]) + ")";
}

bool moe::emu::checkLaunch(const Launch &launch, std::string &error) {
  const Kernel &k = *launch.kernel;
  const uint32_t *grid = launch.grid, *block = launch.block;
  auto fail = [&](const std::string &text) {
    error = "kernel '" + k.name + "': " + text;
    return false;
  };
  if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffff ||
      grid[1] > 65535 || grid[2] > 65535)
    return fail("the grid is " + shape(grid) +
                ", expected at least 1 and at most (2147483647, 65535, 65535)");
  if (!block[0] || !block[1] || !block[2] || block[0] > 1024 ||
      block[1] > 1024 || block[2] > 64)
    return fail("the block is " + shape(block) +
                ", expected at least 1 and at most (1024, 1024, 64)");
  uint32_t threads = block[0] * block[1] * block[2];
  if (threads > 1024)
    return fail("the block has " + std::to_string(threads) +
                " threads, expected at most 1024");
  if (k.reqntid[0] && memcmp(k.reqntid, block, sizeof k.reqntid) != 0)
    return fail("the block is " + shape(block) + ", but .reqntid is " +
                shape(k.reqntid));
  if (k.maxntid[0]) {
    uint64_t most = uint64_t(k.maxntid[0]) * k.maxntid[1] * k.maxntid[2];
    if (threads > most)
      return fail("the block has " + std::to_string(threads) +
                  " threads, but .maxntid is " + shape(k.maxntid));
  }
  if (uint64_t(k.cluster[0]) * k.cluster[1] * k.cluster[2] > 1)
    return fail("clusters of " + shape(k.cluster) + " blocks are not emulated");
  if (k.staticShared > (48u << 10))
    return fail("declares " + std::to_string(k.staticShared) +
                " bytes of shared memory, expected at most 49152");
  uint32_t most = maxSharedBytes(launch.program->arch);
  if (launch.dynamicShared > most ||
      k.staticShared > most - launch.dynamicShared)
    return fail("needs " + std::to_string(k.staticShared) + " + " +
                std::to_string(launch.dynamicShared) +
                " bytes of shared memory, " + launch.program->target + " has " +
                std::to_string(most));
  if (launch.params.size() < k.paramBytes)
    return fail("has " + std::to_string(launch.params.size()) +
                " bytes of parameters, expected " +
                std::to_string(k.paramBytes));
  uint64_t state = stateBytes(launch);
  if (state > kMaxStateBytes)
    return fail("registers and local memory of a block take " +
                std::to_string(state) + " bytes, expected at most " +
                std::to_string(kMaxStateBytes));
  return true;
}

uint64_t moe::emu::stateBytes(const Launch &launch) {
  uint64_t threads =
      uint64_t(launch.block[0]) * launch.block[1] * launch.block[2];
  uint64_t warps = (threads + kLanes - 1) / kLanes;
  const Kernel &k = *launch.kernel;
  return warps * kLanes *
         (8 * (uint64_t(k.numRegisters) + kNumSpecial) + 2 * k.localBytes);
}

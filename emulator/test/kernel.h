//===- kernel.h - Tests that run kernels ------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_EMULATOR_TEST_KERNEL_H
#define MOE_EMULATOR_TEST_KERNEL_H
#include "Machine.h"
#include "check.h"
#include <array>
#include <cstring>
#include <functional>

namespace moe::emu {

inline std::string readPtx(const std::string &name) {
  std::string path = std::string(MOE_PTX_PATH "/") + name, text;
  FILE *f = fopen(path.c_str(), "rb");
  if (!f) {
    CHECK_HAS("", "no file " + path);
    return text;
  }
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;)
    text.append(buffer, n);
  fclose(f);
  return text;
}

/// A program, its memory and its arguments.
struct Run {
  GlobalMemory memory{1ull << 30};
  std::unique_ptr<Program> program;
  Launch launch;
  Statistics statistics;
  std::string report; // parse error, or what the launch says
  size_t parameter = 0;

  explicit Run(const std::string &text, const char *kernel = nullptr) {
    program = parseProgram(text.data(), text.size(), report);
    if (!program)
      return;
    launch.program = program.get();
    launch.kernel = kernel ? program->find(kernel) : program->kernels[0].get();
    launch.memory = &memory;
    launch.budget = 1'000'000;
    if (!launch.kernel) {
      report = std::string("no kernel ") + kernel;
      return;
    }
    launch.params.resize(launch.kernel->paramBytes);
    std::string error;
    if (!placeVariables(*program, memory, error))
      report = error;
  }
  template <class T> Run &scalar(T value) {
    if (launch.kernel && CHECK(parameter < launch.kernel->params.size())) {
      const Parameter &p = launch.kernel->params[parameter++];
      if (CHECK_EQ(p.size, sizeof value))
        memcpy(&launch.params[p.offset], &value, sizeof value);
    }
    return *this;
  }
  /// A buffer of `size` bytes; undefined without `data`.
  uint64_t buffer(size_t size, const void *data) {
    uint64_t address = memory.allocate(size);
    Allocation *a = memory.find(address, size);
    if (data) {
      memcpy(a->data.data(), data, size);
      memset(a->shadow.data(), Initialized, size);
    }
    scalar(address);
    return address;
  }
  template <class T> uint64_t buffer(const std::vector<T> &data) {
    return buffer(data.size() * sizeof(T), data.data());
  }
  bool run(uint32_t grid = 1, uint32_t block = 32) {
    if (!launch.kernel || !report.empty())
      return false;
    launch.grid[0] = grid;
    launch.block[0] = block;
    if (!checkLaunch(launch, report))
      return false;
    return runLaunch(launch, statistics, report);
  }
  template <class T> std::vector<T> read(uint64_t address, size_t count) {
    std::vector<T> result(count);
    Allocation *a = memory.find(address, count * sizeof(T));
    if (CHECK(a) && count)
      memcpy(result.data(), &a->data[address - a->base], count * sizeof(T));
    return result;
  }
};

/// A row of operands, as the low bits of 64.
using Values = std::array<uint64_t, 4>;

/// PTX that loads up to four operands for each thread, executes `op` on them
/// and stores the result. `op` names them %d, %a, %b, %c and %e; `types` are
/// the kinds of registers in this order: h (16 bits), r (32), l (64), p (a
/// predicate).
inline std::string kernelOf(const std::string &op, const std::string &types,
                            const char *target = "sm_90") {
  static const char names[] = {'d', 'a', 'b', 'c', 'e'};
  std::string text = ".version 8.0\n.target ";
  text += target;
  text += "\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 "
          "out, .param .u32 n)\n{\n.reg .b64 %x<8>;\n.reg .b32 %i<4>;\n.reg "
          ".pred %q;\n";
  for (size_t n = 0; n < types.size(); ++n)
    text += std::string(".reg ") +
            (types[n] == 'h'   ? ".b16"
             : types[n] == 'r' ? ".b32"
             : types[n] == 'l' ? ".b64"
                               : ".pred") +
            " %" + names[n] + ";\n";
  text += "mov.u32 %i0, %ctaid.x;\nmov.u32 %i1, %tid.x;\n"
          "mov.u32 %i2, %ntid.x;\nmad.lo.s32 %i0, %i0, %i2, %i1;\n"
          "ld.param.u32 %i1, [n];\nsetp.ge.u32 %q, %i0, %i1;\n@%q bra END;\n"
          "ld.param.u64 %x0, [in];\nmul.wide.u32 %x1, %i0, 32;\n"
          "add.u64 %x0, %x0, %x1;\nld.param.u64 %x2, [out];\n"
          "mul.wide.u32 %x1, %i0, 8;\nadd.u64 %x2, %x2, %x1;\n";
  for (size_t n = 1; n < types.size(); ++n) {
    std::string at = std::to_string(8 * (n - 1)), name(1, names[n]);
    if (types[n] == 'p')
      text += "ld.global.u32 %i1, [%x0+" + at + "];\nsetp.ne.u32 %" + name +
              ", %i1, 0;\n";
    else
      text += std::string("ld.global.b") +
              (types[n] == 'h'   ? "16"
               : types[n] == 'r' ? "32"
                                 : "64") +
              " %" + name + ", [%x0+" + at + "];\n";
  }
  text += op + ";\n";
  text += types[0] == 'h'   ? "cvt.u64.u16 %x3, %d;\n"
          : types[0] == 'r' ? "cvt.u64.u32 %x3, %d;\n"
          : types[0] == 'l' ? "mov.u64 %x3, %d;\n"
                            : "selp.u64 %x3, 1, 0, %d;\n";
  return text + "st.global.u64 [%x2], %x3;\nEND:\nret;\n}\n";
}

/// Runs `op` on all rows. Fails the test where it does not run.
inline std::vector<uint64_t> evaluate(const std::string &op,
                                      const std::string &types,
                                      const std::vector<Values> &rows) {
  std::vector<uint64_t> out(rows.size());
  Run run(kernelOf(op, types));
  run.buffer(rows);
  uint64_t result = run.buffer(out);
  run.scalar(uint32_t(rows.size()));
  if (!run.run(uint32_t((rows.size() + 127) / 128), 128)) {
    CHECK_HAS(op + ": " + run.report, "no error");
    return out;
  }
  return run.read<uint64_t>(result, out.size());
}

/// Compares an instruction with what it should do, row by row.
inline void checkOp(const std::string &op, const std::string &types,
                    const std::vector<Values> &rows,
                    const std::function<uint64_t(uint64_t, uint64_t, uint64_t,
                                                 uint64_t)> &expected) {
  std::vector<uint64_t> found = evaluate(op, types, rows);
  for (size_t n = 0; n < rows.size(); ++n) {
    const Values &v = rows[n];
    uint64_t want = expected(v[0], v[1], v[2], v[3]);
    if (found[n] == want) {
      ++checksPassed;
      continue;
    }
    ++checksFailed;
    fprintf(stderr,
            "%s of 0x%llx, 0x%llx, 0x%llx, 0x%llx: found 0x%llx, expected "
            "0x%llx\n",
            op.c_str(), (unsigned long long)v[0], (unsigned long long)v[1],
            (unsigned long long)v[2], (unsigned long long)v[3],
            (unsigned long long)found[n], (unsigned long long)want);
    break; // one of each instruction tells enough
  }
}

/// What the text is refused for; "" if it is not.
inline std::string parseErrorOf(const std::string &text) {
  std::string error;
  std::unique_ptr<Program> program =
      parseProgram(text.data(), text.size(), error);
  return program ? "" : error;
}

} // namespace moe::emu
#endif // MOE_EMULATOR_TEST_KERNEL_H

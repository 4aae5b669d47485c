//===- test_faults.cpp - Mistakes of kernels ------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// Every file of faults/ makes one mistake: it says how many threads run and
// what is reported, and marks the line with "// here". Then what is refused
// before anything runs.
//===----------------------------------------------------------------------===//
#include "kernel.h"
#include <algorithm>
#include <dirent.h>

using namespace moe::emu;

/// What follows `key` on its line; "" where the text has none.
static std::string after(const std::string &text, const std::string &key) {
  size_t at = text.find(key);
  if (at == std::string::npos)
    return "";
  at += key.size();
  return text.substr(at, text.find('\n', at) - at);
}

static void testFault(const std::string &name) {
  std::string text = readPtx("../faults/" + name);
  std::string wanted = after(text, "// report ");
  uint32_t block = uint32_t(atoi(after(text, "// block ").c_str()));
  size_t mark = text.find("// here");
  size_t line = std::count(text.begin(),
                           mark == std::string::npos
                               ? text.begin()
                               : text.begin() + std::ptrdiff_t(mark),
                           '\n') +
                1;
  if (!CHECK(!wanted.empty()) || !CHECK(block))
    return;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Run run(text);
    run.launch.seed = seed;
    run.buffer(std::vector<uint8_t>(256, 1));
    run.buffer(256, nullptr);
    if (run.run(1, block)) {
      CHECK_HAS(name + ": runs without a report", wanted);
      return;
    }
    CHECK_HAS(run.report, wanted);
    CHECK_HAS(run.report, "kernel k, block (0, 0, 0), warp ");
    if (mark != std::string::npos)
      CHECK_HAS(run.report, "line " + std::to_string(line) + ": ");
  }
}

static void testFaults() {
  DIR *folder = opendir(MOE_PTX_PATH "/../faults");
  if (!CHECK(folder))
    return;
  unsigned files = 0;
  while (dirent *entry = readdir(folder)) {
    if (entry->d_name[0] == '.')
      continue;
    testFault(entry->d_name);
    ++files;
  }
  closedir(folder);
  CHECK(files >= 36);
}

/// A kernel with this body; the body begins on line 10.
static std::string kernel(const std::string &body,
                          const std::string &target = "sm_80") {
  return ".version 7.0\n.target " + target +
         "\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n"
         ".reg .pred %p<2>;\n.reg .b16 %h<2>;\n.reg .b32 %r<4>;\n"
         ".reg .b64 %x<2>;\n" +
         body + "\nret;\n}\n";
}

static void testRefusals() {
  static const struct {
    const char *body, *error;
  } cases[] = {
      {"frob.u32 %r0, %r1;", "instruction 'frob' is not emulated"},
      {"add.frob.u32 %r0, %r1, %r2;", "modifier .frob is not emulated"},
      {"mov.u32 %r0, %frob;", "no register '%frob'"},
      {"mov.u32 %r0, %r4;", "no register '%r4'"},
      {"mov.u32 %r0, %r01;", "no register '%r01'"},
      {"bra NOWHERE;", "no label 'NOWHERE'"},
      {"A:\nA:", "label 'A' is declared twice"},
      {".reg .b32 %r<2>;", "'%r' is declared twice"},
      {"@%r0 bra A;", "the guard '%r0' is no predicate"},
      {"add.u32 %r0, %r1;", "takes 1 results and 2 operands, has 1 and 1"},
      {"add.u32 %p0, %r1, %r2;", "a result must be a register"},
      {"add.u32 %r0, %p1, %r2;", "an operand must be a register or a number"},
      {"setp.u32 %p0, %r0, %r1;", "no comparison"},
      {"setp.lt.u32 %r0, %r0, %r1;", "the result must be a predicate"},
      {"shfl.idx.b32 %r0, %r1, 0, 31;", "only the form with .sync is there"},
      {"div.rz.f32 %r0, %r1, %r2;", "modifier .rz is not emulated"},
      {"ld.global.u32 %r0, %r1;", "needs one address"},
      {"ld.global.v2.u32 %r0, [%x0];", "has a wrong number of results"},
      {"ld.global.u32 %r0, [%x0;", "expected ']', found ';'"},
      {"mov.u32 %r0, 0f123;", "no such number: '0f123'"},
      {"mov.u32 %r0, \"x;", "a string does not end"},
      {"/* mov", "a comment does not end"},
      {"mov.u32 %r0, \x01;", "a character that PTX does not know"},
      {"mov.u32 %r0, {%r1, {%r2}};", "braces in braces"},
      {"barrier.cluster.arrive 0;",
       "clusters of several blocks are not emulated"},
      {"call.uni f;", "instruction 'call' is not emulated"},
      {"add.u32 %r0, %r1, %r2", "expected ',', found 'ret'"},
  };
  for (const auto &c : cases) {
    std::string error = parseErrorOf(kernel(c.body));
    CHECK_HAS(error, c.error);
    CHECK_HAS(error, "line 1"); // 10 to 12
  }
  CHECK_EQ(parseErrorOf(kernel("")).size(), 0);
  CHECK_HAS(parseErrorOf(""), "no .target");
  CHECK_HAS(parseErrorOf(kernel("", "sm_75")),
            "line 2: the target is 'sm_75', but only sm_80, sm_90 and sm_90a "
            "are emulated");
  CHECK_HAS(parseErrorOf(".version 7.0\n.target sm_80\n.func f() { ret; }"),
            "line 3: functions that are called are not emulated");
  CHECK_HAS(parseErrorOf(kernel(std::string(100, '{'))),
            "blocks nest too deeply");
  CHECK_HAS(parseErrorOf(kernel(".reg .b32 %z<70000>;")), "too many registers");
  CHECK_HAS(parseErrorOf(".version 7.0\n.target sm_80\n.global .b8 "
                         "a[99999999999];"),
            "'a' is too large");
  CHECK_HAS(parseErrorOf(kernel("mov.u32 %r0, " + std::string(2000, 'a'))),
            "a name is too long");
}

static void testLaunches() {
  std::string reqntid = ".version 7.0\n.target sm_80\n.visible .entry k()\n"
                        ".reqntid 64\n{ ret; }";
  {
    Run run(reqntid);
    CHECK(run.run(1, 64));
  }
  for (uint32_t block : {32u, 96u, 0u, 1056u}) {
    Run run(reqntid);
    CHECK(!run.run(1, block));
    CHECK(!run.report.empty());
  }
  Run run(kernel(""));
  run.scalar(uint64_t(0));
  CHECK(!run.run(1, 1056));
  CHECK(!run.report.empty());
  run.report.clear();
  CHECK(!run.run(0, 32));
  CHECK(!run.report.empty());
  run.report.clear();
  run.launch.dynamicShared = 1 << 20;
  CHECK(!run.run(1, 32));
  CHECK_HAS(run.report, "shared");
}

int main() {
  testFaults();
  testRefusals();
  testLaunches();
  return finishChecks("test_faults");
}

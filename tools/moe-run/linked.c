//===- linked.c - Programs that are their own module ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// What `moe-compile --emit=exe` links a model with: moe-run without its FILE.
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include "moe-run.h"
#include "moe_abi.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SELF "/proc/self/exe"

/// Of the model.
const moe_abi_library *moe_library_query(uint32_t abi_major, uint32_t level);

#if !defined(__x86_64__)
#error "moe-mlir makes programs for x86-64"
#endif
// The first instructions, in place of the C library's crt1.o, which machines
// without a C compiler do not have (System V ABI for x86-64, 3.4: rdx is a
// function for atexit(), argc and argv lie on the stack). No constructors are
// linked in; the dynamic linker would run them.
__asm__(".text\n"
        ".globl _start\n"
        ".hidden _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "  .cfi_startproc\n"
        "  .cfi_undefined rip\n" // the outermost frame
        "  xorl %ebp, %ebp\n"
        "  movq %rdx, %r9\n"
        "  popq %rsi\n"
        "  movq %rsp, %rdx\n"
        "  andq $-16, %rsp\n"
        "  pushq %rax\n"
        "  pushq %rsp\n"
        "  xorl %r8d, %r8d\n"
        "  xorl %ecx, %ecx\n"
        "  leaq main(%rip), %rdi\n"
        "  callq *__libc_start_main@GOTPCREL(%rip)\n"
        "  hlt\n"
        "  .cfi_endproc\n"
        ".size _start, .-_start\n");

const size_t run_source_files = 0;

const char run_source_usage[] =
    "A model that moe-compile made a program of: moe-run without its FILE\n"
    "\n"
    "usage: MODEL --params=DIR --input=FILE.safetensors [OPTION...]\n"
    "       MODEL --params=DIR --prompt=TEXT | --tokens=1,2,3 [OPTION...]\n"
    "       MODEL --describe[=json]\n";

const char run_source_examples[] = "";

static moe_quoted name = {"model"};

const char *run_source_start(int argc, char **argv) {
  if (argc > 0 && argv[0]) {
    const char *slash = strrchr(argv[0], '/');
    const char *base = slash ? slash + 1 : argv[0];
    if (*base)
      moe_quote(&name, base, strlen(base), false);
  }
  // For messages. The name of a file that was moved away since says nothing.
  static char path[PATH_MAX];
  return realpath(SELF, path) && tool_same_file(path, SELF) ? path : SELF;
}

const char *run_source_name(void) { return name.text; }

moe_rt_status run_source_open(const char *path, const moe_rt_options *options,
                              moe_rt_module **module) {
  (void)path;
  return moe_rt_module_open_linked(moe_library_query, options, module);
}

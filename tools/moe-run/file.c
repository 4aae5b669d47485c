//===- file.c - moe-run: the module is a file ----------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe-run.h"

const size_t run_source_files = 1;

const char run_source_usage[] =
    "moe-run - runs a model that moe-compile made\n"
    "\n"
    "usage: moe-run FILE --params=DIR --input=FILE.safetensors [OPTION...]\n"
    "       moe-run FILE --params=DIR --prompt=TEXT | --tokens=1,2,3 "
    "[OPTION...]\n"
    "       moe-run FILE --describe[=json]\n";

const char run_source_examples[] =
    "\n"
    "Examples:\n"
    "  moe-run demo.so --params=models/demo --prompt='def ' "
    "--max-new-tokens=80\n"
    "  moe-run m.so --params=DIR --input=x.safetensors "
    "--output=y.safetensors\n"
    "  moe-run m.so --params=DIR --input=g.safetensors "
    "--expect=g.safetensors\n";

const char *run_source_start(int argc, char **argv) {
  (void)argc;
  (void)argv;
  return NULL;
}

const char *run_source_name(void) { return "moe-run"; }

moe_rt_status run_source_open(const char *path, const moe_rt_options *options,
                              moe_rt_module **module) {
  return moe_rt_module_open(path, options, module);
}

//===- header_cxx17.cpp - The headers compile as C++ ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe_rt.h"

#include "moe_abi.h"

// The compiler and the tools use these from C++.
#include "file.h"
#include "json.h"
#include "manifest.h"
#include "safetensors.h"
#include "synthetic.h"
#include "text.h"

#include <cstring>

extern "C" const char *header_c11(void);

// Linked against the shared library: both languages see its functions.
int main() {
  return std::strcmp(header_c11(), moe_rt_version()) != 0 ||
         std::strcmp(moe_rt_status_name(MOE_RT_BUSY), "MOE_RT_BUSY") != 0;
}

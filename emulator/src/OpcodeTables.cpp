// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Until the units register theirs: no matrix or asynchronous opcodes.
#include "Machine.h"
void moe::emu::registerMatrixOpcodes() {}
void moe::emu::registerAsyncOpcodes() {}
[[gnu::weak]] void moe::emu::publishBarriers(Warp &, uint32_t) {}

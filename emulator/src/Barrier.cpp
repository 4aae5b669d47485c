// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Barrier.h"

namespace moe::emu {

bool Mbarrier::init(uint64_t count, std::string &error) {
  if (count < 1 || count > uint64_t(maxCount)) {
    error = "mbarrier.init count is " + std::to_string(count) +
            ", expected 1 to " + std::to_string(maxCount);
    return false;
  }
  expected = pending = uint32_t(count);
  phase = 0;
  transactions = 0;
  return true;
}

void Mbarrier::completeIfDone() {
  if (pending || transactions)
    return;
  phase = (phase + 1) & 0x7fffffff;
  pending = expected;
}

bool Mbarrier::arrive(uint64_t count, std::string &error) {
  if (count < 1 || count > pending) {
    error = std::to_string(count) + " arrivals on an mbarrier with " +
            std::to_string(pending) + " pending";
    return false;
  }
  pending -= uint32_t(count);
  completeIfDone();
  return true;
}

bool Mbarrier::addPending(std::string &error) {
  if (pending >= maxCount) {
    error =
        "the pending count of an mbarrier exceeds " + std::to_string(maxCount);
    return false;
  }
  ++pending;
  return true;
}

bool Mbarrier::expectTx(uint64_t bytes, std::string &error) {
  if (bytes > uint64_t(maxCount) || transactions + int64_t(bytes) > maxCount) {
    error = "the transaction count of an mbarrier exceeds " +
            std::to_string(maxCount) + " bytes";
    return false;
  }
  transactions += int64_t(bytes);
  return true;
}

bool Mbarrier::completeTx(uint64_t bytes, bool remote, std::string &error) {
  if (bytes > uint64_t(maxCount) || transactions - int64_t(bytes) < -maxCount ||
      (!remote && transactions < int64_t(bytes))) {
    error = std::to_string(bytes) +
            " bytes completed on an mbarrier that "
            "expects " +
            std::to_string(transactions);
    return false;
  }
  transactions -= int64_t(bytes);
  completeIfDone();
  return true;
}

bool Mbarrier::isComplete(uint64_t state, bool &complete,
                          std::string &error) const {
  uint32_t waited = uint32_t(state >> 32);
  if (waited == phase)
    complete = false;
  else if (((waited + 1) & 0x7fffffff) == phase)
    complete = true;
  else {
    error = "the state is neither of this phase of the mbarrier nor of the "
            "last";
    return false;
  }
  return true;
}

std::string Mbarrier::describe() const {
  std::string text = "phase " + std::to_string(phase) + ": " +
                     std::to_string(pending) + " of " +
                     std::to_string(expected) + " arrivals";
  if (transactions)
    text += " and " + std::to_string(transactions) + " bytes";
  return text + " pending";
}

} // namespace moe::emu

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../src/Barrier.h"
#include "check.h"

using namespace moe::emu;

int main() {
  std::string error;
  Mbarrier barrier;
  CHECK(!barrier.init(0, error));
  CHECK_HAS(error, "count is 0");
  CHECK(!barrier.init(1 << 20, error));
  CHECK(barrier.init(2, error));
  CHECK(barrier.isComplete(1));
  CHECK(!barrier.isComplete(0));

  // Arrivals alone.
  uint64_t first = barrier.state();
  CHECK_EQ(Mbarrier::pendingOf(first), 2);
  CHECK(barrier.arrive(1, error));
  CHECK(!barrier.isComplete(0));
  CHECK(!barrier.arrive(2, error));
  CHECK_HAS(error, "2 arrivals on an mbarrier with 1 pending");
  CHECK(!barrier.arrive(0, error));
  CHECK(barrier.arrive(1, error));
  CHECK(barrier.isComplete(0));
  CHECK(!barrier.isComplete(1));
  CHECK_EQ(barrier.getPhase(), 1);
  CHECK_EQ(barrier.getPending(), 2);

  // Transactions hold the phase open.
  CHECK(barrier.expectTx(48, error));
  CHECK(barrier.arrive(2, error));
  CHECK_EQ(barrier.getPending(), 0);
  CHECK(!barrier.isComplete(1));
  CHECK_HAS(barrier.describe(), "phase 1: 0 of 2 arrivals and 48 bytes");
  CHECK(!barrier.arrive(1, error));
  CHECK(barrier.completeTx(16, false, error));
  CHECK(!barrier.completeTx(48, false, error));
  CHECK_HAS(error, "48 bytes completed on an mbarrier that expects 32");
  CHECK(barrier.completeTx(32, false, error));
  CHECK(barrier.isComplete(1));

  // Another block's copy may come first.
  CHECK(barrier.completeTx(64, true, error));
  CHECK_EQ(barrier.getTransactions(), -64);
  CHECK(barrier.expectTx(64, error));
  CHECK(barrier.arrive(2, error));
  CHECK_EQ(barrier.getPhase(), 3);
  CHECK(!barrier.completeTx(16, false, error));

  // Bounds.
  CHECK(barrier.expectTx(Mbarrier::maxCount, error));
  CHECK(!barrier.expectTx(1, error));
  CHECK_HAS(error, "exceeds 1048575 bytes");
  CHECK(!barrier.expectTx(uint64_t(-16), error));
  CHECK(!barrier.completeTx(uint64_t(-16), true, error));

  // States of this phase and the last.
  bool complete = true;
  CHECK(barrier.init(1, error));
  first = barrier.state();
  CHECK(barrier.isComplete(first, complete, error) && !complete);
  CHECK(barrier.arrive(1, error));
  CHECK(barrier.isComplete(first, complete, error) && complete);
  CHECK(barrier.arrive(1, error));
  CHECK(!barrier.isComplete(first, complete, error));
  CHECK_HAS(error, "neither of this phase");

  // An arrival announced in this phase only.
  CHECK(barrier.init(1, error));
  CHECK(barrier.addPending(error));
  CHECK(barrier.arrive(1, error));
  CHECK(!barrier.isComplete(0));
  CHECK(barrier.arrive(1, error));
  CHECK(barrier.isComplete(0));
  CHECK_EQ(barrier.getPending(), 1);
  CHECK(barrier.init(Mbarrier::maxCount, error));
  CHECK(!barrier.addPending(error));
  CHECK_HAS(error, "exceeds 1048575");
  return finishChecks("test_barrier");
}

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The state machine of one mbarrier object (PTX ISA, "mbarrier"). Every
// function that returns bool returns false for a fault and says why.
#ifndef MOE_EMULATOR_BARRIER_H
#define MOE_EMULATOR_BARRIER_H

#include <cstdint>
#include <string>

namespace moe::emu {

class Mbarrier {
public:
  /// Most arrivals, and most transaction bytes, of a phase.
  static constexpr int64_t maxCount = (1 << 20) - 1;

  bool init(uint64_t count, std::string &error);

  /// `count` arrivals; completes the phase if they are the last.
  bool arrive(uint64_t count, std::string &error);

  /// One more arrival is awaited in this phase only.
  bool addPending(std::string &error);

  bool expectTx(uint64_t bytes, std::string &error);

  /// `bytes` arrived. A copy by another block of the cluster may come before
  /// the expect_tx that covers it, then `remote` is set; in our own block that
  /// order is a mistake that only timing hides, and a fault.
  bool completeTx(uint64_t bytes, bool remote, std::string &error);

  /// The state that arrive hands to the program: phase and pending arrivals.
  uint64_t state() const { return uint64_t(phase) << 32 | pending; }
  static uint64_t pendingOf(uint64_t state) { return state & maxCount; }

  /// Whether the phase of that parity is complete.
  bool isComplete(unsigned parity) const { return (phase & 1) != parity; }

  /// The same for the phase of a state() of this or the last phase.
  bool isComplete(uint64_t state, bool &complete, std::string &error) const;

  /// For reports of deadlocks: "phase 3: 1 of 2 arrivals and 16384 bytes
  /// pending".
  std::string describe() const;

  uint32_t getPhase() const { return phase; }
  uint32_t getPending() const { return pending; }
  int64_t getTransactions() const { return transactions; }

private:
  void completeIfDone();

  uint32_t expected = 0, pending = 0, phase = 0;
  int64_t transactions = 0;
};

} // namespace moe::emu

#endif // MOE_EMULATOR_BARRIER_H

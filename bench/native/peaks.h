// The arithmetic peaks of this machine's instruction sets and its read loop.
// Everything works on registers alone and is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

inline constexpr int kRounds = 20000;

struct Peak {
  const char* name;
  /// Whether processor and system have it; asks the system for what it needs.
  bool (*available)();
  /// Does the work of `rounds` rounds.
  /// REQUIRES: available().
  void (*run)(int rounds);
  double ops_per_round;
};

/// All that this build knows, available here or not.
const std::vector<Peak>& peaks();

/// Reads every byte, in wide loads.
/// REQUIRES: bytes is a multiple of 512.
uint64_t read_all(const uint64_t* data, size_t bytes);

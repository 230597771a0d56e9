// How the micro-benchmarks measure and say it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace bench {

constexpr int kRounds = 15;

/// Nanoseconds of one of the `count` operations that work() does, after
/// prepare(), which does not count.
template <class Prepare, class Work>
double nanoseconds(int count, Prepare prepare, Work work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> rounds;
  for (int i = 0; i < kRounds; i++) {
    prepare();
    const auto start = Clock::now();
    work();
    const std::chrono::duration<double, std::nano> took = Clock::now() - start;
    rounds.push_back(took.count() / count);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

template <class Work>
double nanoseconds(int count, Work work) {
  return nanoseconds(count, [] {}, work);
}

inline void print(const char* name, double ns) {
  std::printf(
      R"({"name":"%s","value":%.4g,"unit":"ns"})"
      "\n",
      name,
      ns);
}

inline void require(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "core_bench: %s\n", what);
    std::exit(1);
  }
}

} // namespace bench

// What the tests of the CPU kernels share.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "exec/cpu/kernel_choice.h"
#include "exec/cpu/kernels.h"

namespace kernel_checks {

using namespace stomp::cpu;

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float operator()(float low, float high) {
    return low + (high - low) * (engine_() / 4294967296.0f);
  }
  int integer(int n) { return static_cast<int>(engine_() % n); }
  std::vector<float> vector(size_t n, float low, float high) {
    std::vector<float> v(n);
    for (float& x : v) {
      x = (*this)(low, high);
    }
    return v;
  }

 private:
  std::mt19937 engine_;
};

inline void
check_close(double got, double want, double tolerance, const char* what) {
  if (!(std::fabs(got - want) <= tolerance)) {
    check::fail(
        __FILE__,
        __LINE__,
        std::string(what) + ": " + std::to_string(got) + " against " +
            std::to_string(want) + ", may differ by " +
            std::to_string(tolerance));
  }
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
      std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// The matrix units' kernels; null, and said so, on machines without them.
inline const TileKernels* tile_kernels() {
  const TileKernels* tiles = available_kernels().front()->tiles;
  if (!tiles) {
    std::printf("skip  this machine has no matrix units\n");
  }
  return tiles;
}

/// Runs `body` on every table; all must return the same bits.
inline void on_every_table(
    const std::function<std::vector<float>(const Kernels&)>& body) {
  const std::vector<float> first = body(*available_kernels().front());
  for (const Kernels* kernels : available_kernels()) {
    if (!same_bits(body(*kernels), first)) {
      check::fail(
          __FILE__,
          __LINE__,
          std::string(kernels->isa) + " and " +
              available_kernels().front()->isa + " differ");
    }
  }
}

} // namespace kernel_checks

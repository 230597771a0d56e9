// Attention of metal/ against f64, over any shapes: decode and prefill, alone
// and together.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "attention_case.h"
#include "check.h"

using namespace paged_rig;

namespace {

/// Runs `body` for many seeds; a failure says which.
template <typename Body>
void for_seeds(int first, int n, Body body) {
  for (int seed = first; seed < first + n; seed++) {
    try {
      Random random(static_cast<uint32_t>(seed));
      body(random);
    } catch (const std::exception& e) {
      throw check::Failure("seed " + std::to_string(seed) + ": " + e.what());
    }
  }
}

constexpr Order kOrders[] = {
    Order::kForward,
    Order::kBackward,
    Order::kShuffled};

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

/// Everything by one of the two kernels.
constexpr int kAllDecode = 1000;
constexpr int kAllPrefill = 0;

} // namespace

TEST("metal: attention is that of f64, whatever the shape") {
  for_seeds(1, 60, [](Random& random) {
    AttentionCase step = random_case(random);
    step.check(step.run({}));
  });
}

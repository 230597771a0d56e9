#include "engine/likelihoods.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace stomp {

namespace {

// What every x86-64 and every arm64 has; results do not depend on the width.
using F4 = float __attribute__((vector_size(16)));
using I4 = int32_t __attribute__((vector_size(16)));
using D2 = double __attribute__((vector_size(16)));

constexpr float kLog2E = 1.44269504088896341f;

// All tokens of a vocabulary of 2^20 with at most this likelihood (log 2)
// together do not move a draw, which has 53 bits.
constexpr float kNegligible = -80;

F4 load(const float* p) {
  F4 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

F4 larger(F4 a, F4 b) {
  return a > b ? a : b;
}

float largest(F4 v) {
  return std::max(std::max(v[0], v[1]), std::max(v[2], v[3]));
}

/// 2^y for y <= 0: 2^n by way of the exponent's bits, times 2^f, |f| <= 1/2,
/// by interpolation at the Chebyshev nodes that is exact for f = 0.
F4 exp2_of(F4 y) {
  y = larger(y, F4{-126, -126, -126, -126});
  constexpr float kRound = 0x1.8p23f; // adding it leaves n in the low bits
  const F4 shifted = y + kRound;
  const F4 f = y - (shifted - kRound);
  F4 p = 0.00133813021f * f + 0.00966636837f;
  p = p * f + 0.0555038117f;
  p = p * f + 0.240223497f;
  p = p * f + 0.693147182f;
  p = p * f + 1.0f;
  return reinterpret_cast<F4>(
      reinterpret_cast<I4>(p) + (reinterpret_cast<I4>(shifted) << 23));
}

F4 likelihood(F4 logits, const Tempering& t) {
  return exp2_of((logits - t.top) * t.scale);
}

float top_of(const float* run) {
  F4 a = load(run);
  F4 b = load(run + 4);
  for (size_t i = 8; i < kRun; i += 8) {
    a = larger(a, load(run + i));
    b = larger(b, load(run + i + 4));
  }
  return largest(larger(a, b));
}

double sum_of(const float* run, const Tempering& t) {
  D2 even = {0, 0};
  D2 odd = {0, 0};
  for (size_t i = 0; i < kRun; i += 16) {
    const float* p = run + i;
    const F4 a = likelihood(load(p), t) + likelihood(load(p + 4), t);
    const F4 b = likelihood(load(p + 8), t) + likelihood(load(p + 12), t);
    const F4 sum = a + b;
    even += D2{sum[0], sum[1]};
    odd += D2{sum[2], sum[3]};
  }
  even += odd;
  return even[0] + even[1];
}

/// The last run where it is a short one, filled up with what counts nothing.
std::array<float, kRun> fill_up(std::span<const float> run) {
  std::array<float, kRun> full;
  full.fill(std::numeric_limits<float>::lowest());
  std::ranges::copy(run, full.begin());
  return full;
}

/// Calls f(run, its number) for each run of the row.
template <class F>
void each_run(std::span<const float> logits, const F& f) {
  const size_t full = logits.size() / kRun;
  for (size_t r = 0; r < full; r++) {
    f(logits.data() + r * kRun, r);
  }
  if (full * kRun < logits.size()) {
    const std::array<float, kRun> last = fill_up(logits.subspan(full * kRun));
    f(last.data(), full);
  }
}

} // namespace

// A temperature too small to divide by makes the most likely token certain.
Tempering::Tempering(float top_logit, float temperature)
    : top(top_logit),
      scale(std::min(kLog2E / temperature, std::numeric_limits<float>::max())) {
}

float Tempering::least_logit(double likelihood) const {
  constexpr double kSlack = 1e-3; // far more than rounding can do to log2
  const double bound = top + (std::log2(likelihood) - kSlack) / scale;
  return std::nextafter(
      static_cast<float>(bound), std::numeric_limits<float>::lowest());
}

bool all_finite(std::span<const float> logits) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t bad = 0; // a sum, so that the loop has no branch
  for (const float logit : logits) {
    bad += (std::bit_cast<uint32_t>(logit) & kExponent) == kExponent;
  }
  return bad == 0;
}

float find_tops(std::span<const float> logits, std::span<float> tops) {
  each_run(
      logits, [tops](const float* run, size_t r) { tops[r] = top_of(run); });
  return *std::ranges::max_element(tops);
}

void sum_runs(
    std::span<const float> logits,
    std::span<const float> tops,
    const Tempering& tempering,
    std::span<double> sums) {
  each_run(logits, [=, &tempering](const float* run, size_t r) {
    const bool counts =
        (tops[r] - tempering.top) * tempering.scale > kNegligible;
    sums[r] = counts ? sum_of(run, tempering) : 0;
  });
}

void to_likelihoods(std::span<float> logits, const Tempering& tempering) {
  std::array<float, kRun> run = fill_up(logits);
  for (size_t i = 0; i < logits.size(); i += 4) {
    const F4 values = likelihood(load(run.data() + i), tempering);
    std::memcpy(run.data() + i, &values, sizeof values);
  }
  std::copy_n(run.begin(), logits.size(), logits.begin());
}

} // namespace stomp

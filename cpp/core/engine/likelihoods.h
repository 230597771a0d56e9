// exp of a whole row of logits at the price of a few, for the sampler. Any
// thread: no state.
//
// A token's likelihood is exp((logit - top) / temperature): its probability up
// to a factor, 1 for the most likely token. It is computed by one polynomial
// in f32, within 4e-7 of the exact value, the same on every machine and for
// every token whatever stands beside it. Never less than 2^-126.
//
// A row is looked at in runs of kRun tokens, of which most are never looked
// into: their largest logit says that nothing in them can be chosen.
#pragma once

#include <cstddef>
#include <span>

namespace stomp {

inline constexpr size_t kRun = 64;

inline size_t runs_of(size_t tokens) {
  return (tokens + kRun - 1) / kRun;
}

/// Maps logits to likelihoods.
struct Tempering {
  /// REQUIRES: temperature > 0; top is the largest logit.
  Tempering(float top, float temperature);

  /// A logit such that all with at least this likelihood are no smaller. A few
  /// of the next ones may be as large: the likelihood decides.
  float least_logit(double likelihood) const;

  float top;
  float scale; // log2(e) / temperature
};

/// Whether none is infinite or not a number.
bool all_finite(std::span<const float> logits);

/// The largest logit of each run; returns the largest of all.
/// REQUIRES: logits are not empty; tops.size() == runs_of(logits.size()).
float find_tops(std::span<const float> logits, std::span<float> tops);

/// Each run's likelihoods summed, in f32 by fours and then in f64; 0 for runs
/// that are too unlikely to count.
/// REQUIRES: sizes as above.
void sum_runs(
    std::span<const float> logits,
    std::span<const float> tops,
    const Tempering& tempering,
    std::span<double> sums);

/// In place. REQUIRES: at most kRun values.
void to_likelihoods(std::span<float> logits, const Tempering& tempering);

} // namespace stomp

// Chooses a token from a row of logits. A pure function of its arguments: the
// random number comes from (seed, index of the token in the answer), so a
// token does not depend on who else is in the batch, nor on preemption.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/likelihoods.h"

namespace stomp {

struct SamplingOptions {
  float temperature = 0; // 0: greedy
  int top_k = 0;         // 0: off
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;

  bool greedy() const { return temperature <= 0; }
};

/// Any thread, one at a time: a sampler is its own scratch memory.
class Sampler {
 public:
  /// From now on sample() allocates nothing for rows of this size.
  void reserve(size_t vocab);

  /// Filters in the order top-k, temperature, min-p, top-p, then draws: tokens
  /// that are left take up [0, 1) in the order of their ids. Equal logits
  /// count as more likely by the lower id.
  /// REQUIRES: !options.greedy(); logits are finite and not empty.
  int32_t sample(
      std::span<const float> logits,
      const SamplingOptions& options,
      uint64_t index);

 private:
  struct Candidate {
    float value; // logit, then likelihood
    int32_t token;
  };
  static bool more_likely(const Candidate& a, const Candidate& b);

  int32_t draw_from_all(double random, const Tempering& tempering);
  int32_t draw_from_candidates(double random) const;
  void choose_candidates(
      const SamplingOptions& options,
      const Tempering& tempering);
  float kth_top(size_t k);
  void collect(float least);
  void keep_top_k(size_t k);
  void weigh(const Tempering& tempering);
  void find_nucleus(double top_p, const Tempering& tempering);
  void keep_nucleus(double mass);
  double total() const; // of the candidates
  double total_of_all(const Tempering& tempering);

  std::span<const float> logits_;     // of the row under way
  std::vector<float> tops_;           // of its runs
  std::vector<double> sums_;          // of its runs' likelihoods
  std::vector<Candidate> candidates_; // by id
  std::vector<float> values_;         // scratch
  std::vector<Candidate> ranked_;     // scratch
};

/// log softmax(logits)[token], in double precision.
double log_probability(std::span<const float> logits, int32_t token);

} // namespace stomp

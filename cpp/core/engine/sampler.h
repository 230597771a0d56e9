// Chooses a token from a row of logits. A pure function of its arguments: the
// random number comes from (seed, index of the token in the answer), so a
// token does not depend on who else is in the batch, nor on preemption.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace stomp {

struct SamplingOptions {
  float temperature = 0; // 0: greedy
  int top_k = 0;         // 0: off
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;

  bool greedy() const { return temperature <= 0; }
};

class Sampler {
 public:
  /// Filters in the order top-k, temperature, min-p, top-p, then draws.
  /// REQUIRES: !options.greedy(); logits are finite.
  int32_t sample(
      std::span<const float> logits,
      const SamplingOptions& options,
      uint64_t index);

 private:
  struct Candidate {
    float value; // logit, then probability
    int32_t token;
  };
  static bool more_likely(const Candidate& a, const Candidate& b);
  double total() const;
  void keep_from(double least);
  void keep_top_k(size_t k);
  void to_likelihoods(float temperature);
  void keep_nucleus(double top_p);

  std::vector<Candidate> candidates_; // kept to avoid allocation
};

/// log softmax(logits)[token], in double precision.
double log_probability(std::span<const float> logits, int32_t token);

} // namespace stomp

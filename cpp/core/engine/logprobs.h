// How likely the model finds a token, and which ones it finds likeliest. Log
// softmax of the logits as the model gave them, in natural logarithms, within
// 1e-6 of the exact value.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace stomp {

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

/// Any thread, one at a time: it is its own scratch memory.
class Logprobs {
 public:
  /// The token, and behind it the `top` likeliest, likeliest first; equal ones
  /// count as more likely by the lower id. Fewer where the row has fewer. Valid
  /// until the next call. REQUIRES: logits are finite and not empty.
  std::span<const TokenLogprob>
  of(std::span<const float> logits, int32_t token, int top);

 private:
  void find_likeliest(std::span<const float> logits, size_t n);

  std::vector<float> tops_;        // of the row's runs
  std::vector<double> sums_;       // of their likelihoods
  std::vector<TokenLogprob> best_; // a heap, the least likely first
  std::vector<TokenLogprob> all_;
};

} // namespace stomp

#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

namespace stomp {

namespace {

/// Uniform in [0, 1) from a counter (splitmix64's finaliser).
double uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

} // namespace

double Sampler::total(size_t n) const {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += candidates_[i].value;
  }
  return sum;
}

int32_t Sampler::sample(
    std::span<const float> logits,
    const SamplingOptions& options,
    uint64_t index) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); i++) {
    candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  }
  const auto larger = [](const Candidate& a, const Candidate& b) {
    return a.value != b.value ? a.value > b.value : a.token < b.token;
  };
  size_t n = candidates_.size();
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < n) {
    n = options.top_k;
    std::nth_element(
        candidates_.begin(),
        candidates_.begin() + (n - 1),
        candidates_.end(),
        larger);
  }
  const auto first = candidates_.begin();
  const float top =
      std::min_element(first, first + n, larger)->value; // the largest logit
  for (size_t i = 0; i < n; i++) {
    candidates_[i].value =
        std::exp((candidates_[i].value - top) / options.temperature);
  }
  const auto keep_from = [&](double least) {
    n = std::partition(
            first,
            first + n,
            [&](const Candidate& c) { return c.value >= least; }) -
        first;
  };
  // The most likely token has value 1, so min_p compares directly.
  if (options.min_p > 0) {
    keep_from(options.min_p);
  }
  double sum = total(n);
  if (options.top_p < 1) {
    // All values below this bound sum to less than (1 - top_p), so none of
    // them is in the nucleus: only the rest needs sorting.
    keep_from((1.0 - options.top_p) * sum / static_cast<double>(n));
    std::sort(first, first + n, larger);
    double kept = 0;
    size_t keep = 0;
    while (keep < n && (keep == 0 || kept < options.top_p * sum)) {
      kept += candidates_[keep++].value;
    }
    n = keep;
    sum = kept;
  }
  double draw = uniform(options.seed, index) * sum;
  for (size_t i = 0; i < n; i++) {
    draw -= candidates_[i].value;
    if (draw < 0) {
      return candidates_[i].token;
    }
  }
  return candidates_[n - 1].token;
}

double log_probability(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(logit - top);
  }
  return logits[token] - top - std::log(sum);
}

} // namespace stomp

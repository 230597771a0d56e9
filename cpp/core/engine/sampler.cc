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

bool Sampler::more_likely(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

double Sampler::total() const {
  double sum = 0;
  for (const Candidate& c : candidates_) {
    sum += c.value;
  }
  return sum;
}

void Sampler::keep_from(double least) {
  std::erase_if(
      candidates_, [&](const Candidate& c) { return c.value < least; });
}

void Sampler::keep_top_k(size_t k) {
  if (k == 0 || k >= candidates_.size()) {
    return;
  }
  std::nth_element(
      candidates_.begin(),
      candidates_.begin() + static_cast<ptrdiff_t>(k - 1),
      candidates_.end(),
      more_likely);
  candidates_.resize(k);
}

/// Logits to probabilities, up to a factor: the most likely one gets 1.
void Sampler::to_likelihoods(float temperature) {
  const float top = std::ranges::min_element(candidates_, more_likely)->value;
  for (Candidate& c : candidates_) {
    c.value = std::exp((c.value - top) / temperature);
  }
}

/// The fewest most likely candidates that make up top_p of the whole.
void Sampler::keep_nucleus(double top_p) {
  const double sum = total();
  // All values below this bound sum to less than (1 - top_p), so none of them
  // is in the nucleus: only the rest needs sorting.
  keep_from((1.0 - top_p) * sum / static_cast<double>(candidates_.size()));
  std::ranges::sort(candidates_, more_likely);
  double kept = 0;
  size_t n = 0;
  while (n < candidates_.size() && (n == 0 || kept < top_p * sum)) {
    kept += candidates_[n++].value;
  }
  candidates_.resize(n);
}

int32_t Sampler::sample(
    std::span<const float> logits,
    const SamplingOptions& options,
    uint64_t index) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); i++) {
    candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  }
  keep_top_k(static_cast<size_t>(std::max(0, options.top_k)));
  to_likelihoods(options.temperature);
  keep_from(options.min_p); // relative to the most likely, which has 1
  if (options.top_p < 1) {
    keep_nucleus(options.top_p);
  }
  double draw = uniform(options.seed, index) * total();
  for (const Candidate& c : candidates_) {
    draw -= c.value;
    if (draw < 0) {
      return c.token;
    }
  }
  return candidates_.back().token;
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

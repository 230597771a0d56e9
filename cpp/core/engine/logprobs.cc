#include "engine/logprobs.h"

#include <algorithm>
#include <cmath>

#include "engine/likelihoods.h"

namespace stomp {

namespace {

/// With logits in the place of their logarithms.
bool more_likely(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

} // namespace

void Logprobs::find_likeliest(std::span<const float> logits, size_t n) {
  best_.clear();
  for (size_t r = 0; r < tops_.size(); r++) {
    if (best_.size() == n && (n == 0 || tops_[r] <= best_.front().logprob)) {
      continue;
    }
    const size_t end = std::min(logits.size(), (r + 1) * kRun);
    for (size_t i = r * kRun; i < end; i++) {
      const TokenLogprob one{static_cast<int32_t>(i), logits[i]};
      if (best_.size() == n) {
        if (!more_likely(one, best_.front())) {
          continue;
        }
        std::ranges::pop_heap(best_, more_likely);
        best_.pop_back();
      }
      best_.push_back(one);
      std::ranges::push_heap(best_, more_likely);
    }
  }
  std::ranges::sort_heap(best_, more_likely);
}

std::span<const TokenLogprob>
Logprobs::of(std::span<const float> logits, int32_t token, int top) {
  tops_.resize(runs_of(logits.size()));
  sums_.resize(tops_.size());
  const Tempering natural(find_tops(logits, tops_), 1);
  sum_runs(logits, tops_, natural, sums_);
  double sum = 0;
  for (const double run : sums_) {
    sum += run;
  }
  find_likeliest(logits, std::max(0, top));
  all_.assign(1, {token, logits[token]});
  all_.insert(all_.end(), best_.begin(), best_.end());
  const double log_sum = natural.top + std::log(sum);
  for (TokenLogprob& one : all_) {
    one.logprob = static_cast<float>(one.logprob - log_sum);
  }
  return all_;
}

} // namespace stomp

#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

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

/// How many runs are looked into first for a nucleus, and by what factor more
/// when that was not enough: most rows have theirs in a handful of tokens.
constexpr size_t kFirstRuns = 32;
constexpr size_t kMoreRuns = 4;

} // namespace

bool Sampler::more_likely(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

void Sampler::reserve(size_t vocab) {
  tops_.reserve(runs_of(vocab));
  sums_.reserve(runs_of(vocab));
  candidates_.reserve(vocab);
  values_.reserve(vocab);
  ranked_.reserve(vocab);
}

double Sampler::total() const {
  double sum = 0;
  for (const Candidate& c : candidates_) {
    sum += c.value;
  }
  return sum;
}

double Sampler::total_of_all(const Tempering& tempering) {
  sums_.resize(tops_.size());
  sum_runs(logits_, tops_, tempering, sums_);
  double sum = 0;
  for (const double run : sums_) {
    sum += run;
  }
  return sum;
}

/// The k-th largest of the runs' tops, which at least k tokens reach; lowest()
/// when there are fewer runs.
float Sampler::kth_top(size_t k) {
  if (k > tops_.size()) {
    return std::numeric_limits<float>::lowest();
  }
  values_.assign(tops_.begin(), tops_.end());
  const auto kth = values_.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(values_.begin(), kth, values_.end(), std::greater<>());
  return *kth;
}

/// All tokens with at least this logit.
void Sampler::collect(float least) {
  candidates_.clear();
  for (size_t r = 0; r < tops_.size(); r++) {
    if (tops_[r] < least) {
      continue;
    }
    const size_t end = std::min(logits_.size(), (r + 1) * kRun);
    for (size_t i = r * kRun; i < end; i++) {
      if (logits_[i] >= least) {
        candidates_.push_back({logits_[i], static_cast<int32_t>(i)});
      }
    }
  }
}

void Sampler::keep_top_k(size_t k) {
  if (k >= candidates_.size()) {
    return;
  }
  values_.clear();
  for (const Candidate& c : candidates_) {
    values_.push_back(c.value);
  }
  const auto kth = values_.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(values_.begin(), kth, values_.end(), std::greater<>());
  const float least = *kth;
  // Of those that equal the last one, the first few stay.
  auto left = static_cast<ptrdiff_t>(k) -
      std::count_if(values_.begin(), kth, [least](float value) {
                return value > least;
              });
  std::erase_if(candidates_, [&](const Candidate& c) {
    return c.value < least || (c.value == least && left-- <= 0);
  });
}

/// Logits to likelihoods.
void Sampler::weigh(const Tempering& tempering) {
  std::array<float, kRun> run;
  for (size_t from = 0; from < candidates_.size(); from += kRun) {
    const size_t n = std::min(kRun, candidates_.size() - from);
    for (size_t i = 0; i < n; i++) {
      run[i] = candidates_[from + i].value;
    }
    to_likelihoods(std::span(run).first(n), tempering);
    for (size_t i = 0; i < n; i++) {
      candidates_[from + i].value = run[i];
    }
  }
}

/// Collects what may belong to a nucleus of the whole row and cuts it down.
void Sampler::find_nucleus(double top_p, const Tempering& tempering) {
  const double sum = total_of_all(tempering);
  const double mass = top_p * sum;
  for (size_t runs = kFirstRuns; runs < tops_.size(); runs *= kMoreRuns) {
    collect(kth_top(runs));
    weigh(tempering);
    if (total() >= mass) {
      keep_nucleus(mass);
      return;
    }
  }
  // All tokens below this bound sum to less than (1 - top_p), so none of them
  // is in the nucleus.
  const double bound =
      (1.0 - top_p) * sum / static_cast<double>(logits_.size());
  collect(tempering.least_logit(std::max(bound, 0x1p-126)));
  weigh(tempering);
  keep_nucleus(mass);
}

/// The fewest most likely candidates that make up this mass, at least one. By
/// halves: what is surely in is summed, and the rest divided again.
void Sampler::keep_nucleus(double mass) {
  ranked_.assign(candidates_.begin(), candidates_.end());
  auto begin = ranked_.begin(); // before it: in, and summed
  auto end = ranked_.end();     // behind it: out
  double in = 0;
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, more_likely);
    double half = 0;
    for (auto it = begin; it != middle; ++it) {
      half += it->value;
    }
    if (in + half >= mass) {
      end = middle;
    } else {
      in += half;
      begin = middle;
    }
  }
  const Candidate last = *begin;
  std::erase_if(candidates_, [&last](const Candidate& c) {
    return more_likely(last, c);
  });
}

void Sampler::choose_candidates(
    const SamplingOptions& options,
    const Tempering& tempering) {
  const auto top_k = static_cast<size_t>(std::max(0, options.top_k));
  if (top_k == 0 && options.min_p <= 0) {
    find_nucleus(options.top_p, tempering);
    return;
  }
  float least = std::numeric_limits<float>::lowest();
  if (top_k > 0) {
    least = kth_top(top_k);
  }
  if (options.min_p > 0) {
    least = std::max(least, tempering.least_logit(options.min_p));
  }
  collect(least);
  if (top_k > 0) {
    keep_top_k(top_k);
  }
  weigh(tempering);
  std::erase_if(candidates_, [&options](const Candidate& c) {
    return c.value < options.min_p; // relative to the most likely, which has 1
  });
  if (options.top_p < 1) {
    keep_nucleus(options.top_p * total());
  }
}

int32_t Sampler::draw_from_candidates(double random) const {
  double draw = random * total();
  for (const Candidate& c : candidates_) {
    draw -= c.value;
    if (draw < 0) {
      return c.token;
    }
  }
  return candidates_.back().token;
}

int32_t Sampler::draw_from_all(double random, const Tempering& tempering) {
  double draw = random * total_of_all(tempering);
  size_t run = 0;
  while (run + 1 < sums_.size() && draw >= sums_[run]) {
    draw -= sums_[run++];
  }
  candidates_.clear();
  const size_t end = std::min(logits_.size(), (run + 1) * kRun);
  for (size_t i = run * kRun; i < end; i++) {
    candidates_.push_back({logits_[i], static_cast<int32_t>(i)});
  }
  weigh(tempering);
  for (const Candidate& c : candidates_) {
    draw -= c.value;
    if (draw < 0) {
      return c.token;
    }
  }
  return candidates_.back().token; // the sum above was rounded up
}

int32_t Sampler::sample(
    std::span<const float> logits,
    const SamplingOptions& options,
    uint64_t index) {
  logits_ = logits;
  tops_.resize(runs_of(logits.size()));
  const Tempering tempering(find_tops(logits, tops_), options.temperature);
  const double random = uniform(options.seed, index);
  if (options.top_k <= 0 && options.min_p <= 0 && options.top_p >= 1) {
    return draw_from_all(random, tempering);
  }
  choose_candidates(options, tempering);
  return draw_from_candidates(random);
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

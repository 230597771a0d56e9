#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

namespace stomp {

namespace {

void learn(double& estimate, double sample) {
  estimate = estimate == 0 ? sample : 0.8 * estimate + 0.2 * sample;
}

} // namespace

int Scheduler::fair_prefill_rows() const {
  if (decode_step_seconds_ == 0 || prefill_row_seconds_ == 0) {
    return std::max(16, options_.min_chunk_tokens); // nothing measured yet
  }
  const double rows = decode_step_seconds_ / prefill_row_seconds_;
  return std::clamp(
      static_cast<int>(
          std::min(rows, static_cast<double>(options_.prefill_step_tokens))),
      options_.min_chunk_tokens,
      options_.prefill_step_tokens);
}

std::span<int> Scheduler::plan(std::span<Load> loads) {
  rows_.assign(loads.size(), 0);
  prefills_.clear();
  bool decoding = false;
  for (size_t i = 0; i < loads.size(); i++) {
    if (loads[i].decoding) {
      rows_[i] = 1;
      decoding = true;
    } else {
      prefills_.push_back(i);
    }
  }
  if (prefills_.empty()) {
    return rows_;
  }
  if (decoding && debt_ > decode_step_seconds_ / 2) {
    return rows_;
  }
  const int budget =
      decoding ? fair_prefill_rows() : options_.prefill_step_tokens;
  share_out(loads, budget);
  grant(loads, budget);
  return rows_;
}

/// To each prefill's credit its share of the budget, by weights. Who needs less
/// than its share leaves the rest to the others.
void Scheduler::share_out(std::span<Load> loads, int budget) {
  const auto need = [&](size_t i) {
    return static_cast<double>(loads[i].most()) / loads[i].weight;
  };
  std::ranges::sort(prefills_, {}, need);
  int weights = 0;
  for (const size_t i : prefills_) {
    weights += loads[i].weight;
  }
  double left = budget;
  for (const size_t i : prefills_) {
    Load& load = loads[i];
    const double share =
        std::min<double>(left * load.weight / weights, load.most());
    load.credit += share;
    left -= share;
    weights -= load.weight;
  }
}

/// Rows for credits, the largest first; then what is left of the budget.
void Scheduler::grant(std::span<Load> loads, int budget) {
  std::ranges::sort(prefills_, [&](size_t a, size_t b) {
    return std::pair(-loads[a].credit, a) < std::pair(-loads[b].credit, b);
  });
  const auto give = [&](size_t i, int rows) {
    const int given = std::min({rows, loads[i].most() - rows_[i], budget});
    rows_[i] += given;
    loads[i].credit -= given;
    budget -= given;
  };
  for (const size_t i : prefills_) {
    const int due = static_cast<int>(std::max(0.0, loads[i].credit));
    give(i, std::max(due, options_.min_chunk_tokens));
  }
  for (const size_t i : prefills_) {
    give(i, budget);
  }
}

void Scheduler::observe(int decode_rows, int prefill_rows, double seconds) {
  if (prefill_rows == 0) {
    learn(decode_step_seconds_, seconds);
    debt_ = std::max(0.0, debt_ - seconds);
    return;
  }
  const double rest =
      decode_rows > 0 ? seconds - decode_step_seconds_ : seconds;
  if (rest > 0) {
    const int rows = std::max(prefill_rows, options_.min_chunk_tokens);
    learn(prefill_row_seconds_, rest / rows);
  }
  if (decode_rows > 0) {
    debt_ = std::max(0.0, debt_ + rest - decode_step_seconds_);
  }
}

} // namespace stomp

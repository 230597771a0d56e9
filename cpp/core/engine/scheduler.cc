#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

namespace stomp {

namespace {

constexpr int kStepsWithDrafts = 64;

// Where no draft has been measured yet.
constexpr double kFirstPrice = 0.25;
constexpr int kFirstRows = 4;

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
      rows_[i] = 1 + loads[i].drafted;
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

void Scheduler::observe(const Rows& rows, double seconds) {
  if (rows.draft == 0) {
    steps_with_drafts_ = 0;
  } else {
    steps_with_drafts_++;
  }
  if (rows.prefill == 0 && rows.draft == 0) {
    learn(decode_step_seconds_, seconds);
    debt_ = std::max(0.0, debt_ - seconds);
    return;
  }
  const double rest =
      rows.decode > 0 ? seconds - decode_step_seconds_ : seconds;
  if (rows.prefill == 0) {
    learn(draft_row_seconds_, std::max(rest, 0.0) / rows.draft);
    debt_ = std::max(0.0, debt_ - decode_step_seconds_);
    return;
  }
  const double read = rest - rows.draft * draft_row_seconds_;
  if (read > 0) {
    const int chunk = std::max(rows.prefill, options_.min_chunk_tokens);
    learn(prefill_row_seconds_, read / chunk);
  }
  if (rows.decode > 0) {
    debt_ = std::max(0.0, debt_ + read - decode_step_seconds_);
  }
}

DraftTerms Scheduler::draft_terms(int answers) const {
  if (decode_step_seconds_ == 0 || steps_with_drafts_ >= kStepsWithDrafts) {
    return {}; // a step without drafts is to be measured
  }
  if (draft_row_seconds_ == 0) {
    return {.price = kFirstPrice, .most = kFirstRows};
  }
  // In the time of a row all answers would get on by so much of a token.
  const double row = draft_row_seconds_ / decode_step_seconds_;
  // Among several nobody's draft may hold the others up: all of them together
  // take no longer than a step.
  const int most = answers > 1
      ? static_cast<int>(std::min<double>(kDraftRows, 1 / row)) / answers
      : kDraftRows;
  return {.price = row * answers, .most = most};
}

} // namespace stomp

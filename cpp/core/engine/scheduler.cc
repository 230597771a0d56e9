#include "engine/scheduler.h"

#include <algorithm>

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

std::span<int> Scheduler::plan(std::span<const Load> loads) {
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
  int budget = decoding ? fair_prefill_rows() : options_.prefill_step_tokens;
  turn_++;
  // Shares shrink as prefills are served, so that short prompts leave their
  // remainder to long ones.
  for (size_t k = 0; k < prefills_.size() && budget > 0; k++) {
    const size_t i = prefills_[(turn_ + k) % prefills_.size()];
    const int left = static_cast<int>(prefills_.size() - k);
    int share = std::max(1, budget / left);
    if (loads[i].max_rows > 0) {
      share = std::min(share, loads[i].max_rows);
    }
    rows_[i] = std::min(share, loads[i].pending);
    budget -= rows_[i];
  }
  return rows_;
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

#include "exec/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace stomp::cpu {

namespace {

constexpr int kFirstPositions = 1024;

} // namespace

RopeTable::RopeTable(const ModelConfig& config)
    : inv_freq_(config.rope.inv_freq),
      max_context_(config.max_context),
      interleaved_(config.rope.interleaved) {}

void RopeTable::cover(int n) {
  if (n <= covered_) {
    return;
  }
  const int doubled =
      std::min(std::max(2 * covered_, kFirstPositions), max_context_);
  const int end = std::max(n, doubled);
  const size_t half = inv_freq_.size();
  const size_t dim = 2 * half;
  turns_.resize(end * 2 * dim);
  for (int position = covered_; position < end; position++) {
    float* cosines = turns_.data() + position * 2 * dim;
    float* sines = cosines + dim;
    for (size_t i = 0; i < half; i++) {
      const double angle = static_cast<double>(position) * inv_freq_[i];
      const size_t first = interleaved_ ? 2 * i : i;
      const size_t second = interleaved_ ? 2 * i + 1 : i + half;
      cosines[first] = cosines[second] = static_cast<float>(std::cos(angle));
      sines[second] = static_cast<float>(std::sin(angle));
      sines[first] = -sines[second];
    }
  }
  covered_ = end;
}

} // namespace stomp::cpu

#include "exec/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace stomp::cpu {

namespace {

constexpr int kFirstPositions = 1024;

struct Pair {
  float a;
  float b;
};

inline Pair turn(Pair x, float cosine, float sine, float scale) {
  return {
      (x.a * cosine - x.b * sine) * scale, (x.a * sine + x.b * cosine) * scale};
}

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
  turns_.resize(end * 2 * half);
  for (int position = covered_; position < end; position++) {
    float* row = turns_.data() + position * 2 * half;
    for (size_t i = 0; i < half; i++) {
      const double angle = static_cast<double>(position) * inv_freq_[i];
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  }
  covered_ = end;
}

void RopeTable::rotate(float* head, int position, float scale) const {
  const int half = static_cast<int>(inv_freq_.size());
  const float* cosine =
      turns_.data() + static_cast<size_t>(position) * 2 * half;
  const float* sine = cosine + half;
  if (interleaved_) {
    for (int i = 0; i < half; i++) {
      const Pair y =
          turn({head[2 * i], head[2 * i + 1]}, cosine[i], sine[i], scale);
      head[2 * i] = y.a;
      head[2 * i + 1] = y.b;
    }
    return;
  }
  for (int i = 0; i < half; i++) {
    const Pair y = turn({head[i], head[i + half]}, cosine[i], sine[i], scale);
    head[i] = y.a;
    head[i + half] = y.b;
  }
}

} // namespace stomp::cpu

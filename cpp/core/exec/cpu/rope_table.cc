#include "exec/cpu/rope_table.h"

#include <cmath>

namespace stomp::cpu {

RopeTable::RopeTable(const RopeConfig& rope)
    : inv_freq_(rope.inv_freq),
      scale_(rope.scale),
      interleaved_(rope.interleaved) {}

void RopeTable::cover(std::span<const int> positions) {
  for (const int position : positions) {
    const size_t index = position / kChunk;
    if (index >= chunks_.size()) {
      chunks_.resize(index + 1);
    }
    if (chunks_[index].empty()) {
      chunks_[index] = chunk(static_cast<int>(index));
    }
  }
}

std::vector<float> RopeTable::chunk(int index) const {
  const size_t half = inv_freq_.size();
  const size_t dim = head_dim();
  std::vector<float> turns(kChunk * 2 * dim);
  for (int n = 0; n < kChunk; n++) {
    float* cosines = turns.data() + n * 2 * dim;
    float* sines = cosines + dim;
    for (size_t i = 0; i < half; i++) {
      const double angle =
          static_cast<double>(index * kChunk + n) * inv_freq_[i];
      const size_t first = interleaved_ ? 2 * i : i;
      const size_t second = interleaved_ ? 2 * i + 1 : i + half;
      cosines[first] = cosines[second] =
          static_cast<float>(scale_ * std::cos(angle));
      sines[second] = static_cast<float>(scale_ * std::sin(angle));
      sines[first] = -sines[second];
    }
  }
  return turns;
}

size_t RopeTable::bytes() const {
  size_t n = chunks_.capacity() * sizeof(std::vector<float>);
  for (const std::vector<float>& turns : chunks_) {
    n += turns.size() * sizeof(float);
  }
  return n;
}

} // namespace stomp::cpu

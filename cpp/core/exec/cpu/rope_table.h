// Cosines and sines of the rotary embedding, computed once for each position
// that comes up. One user: the engine thread; workers read between calls of
// cover().
#pragma once

#include <vector>

#include "exec/cpu/kernels.h"
#include "model/config.h"

namespace stomp::cpu {

class RopeTable {
 public:
  RopeTable() = default;
  explicit RopeTable(const ModelConfig& config);

  /// Makes positions [0, n) ready; at least doubles when it grows.
  void cover(int n);

  /// REQUIRES: position is covered.
  RopeTurns at(int position) const {
    const size_t dim = 2 * inv_freq_.size();
    const float* row = turns_.data() + position * 2 * dim;
    return {row, row + dim, static_cast<int>(dim), interleaved_};
  }

  size_t bytes() const { return turns_.size() * sizeof(float); }

 private:
  std::vector<float> inv_freq_; // (half)
  std::vector<float> turns_;    // (covered, 2, head_dim): cosines, then sines
  int covered_ = 0;
  int max_context_ = 0;
  bool interleaved_ = false;
};

} // namespace stomp::cpu

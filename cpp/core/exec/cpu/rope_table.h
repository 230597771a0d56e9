// Cosines and sines of the rotary embedding, computed once for each position
// that comes up. One user: the engine thread; workers read between calls of
// cover().
#pragma once

#include <vector>

#include "model/config.h"

namespace stomp::cpu {

class RopeTable {
 public:
  RopeTable() = default;
  explicit RopeTable(const ModelConfig& config);

  /// Makes positions [0, n) ready; at least doubles when it grows.
  void cover(int n);

  /// Rotates one head in place and multiplies it by `scale`.
  /// REQUIRES: position is covered.
  void rotate(float* head, int position, float scale) const;

  size_t bytes() const { return turns_.size() * sizeof(float); }

 private:
  std::vector<float> inv_freq_; // (half)
  std::vector<float> turns_;    // (covered, 2, half): cosines, then sines
  int covered_ = 0;
  int max_context_ = 0;
  bool interleaved_ = false;
};

} // namespace stomp::cpu

// Cosines and sines of the rotary embedding, computed once for each chunk of
// positions that a step has rows in: an agent that comes back from disk begins
// far out, and what lies before was roped already. One user: the engine thread;
// workers read between calls of cover().
#pragma once

#include <span>
#include <vector>

#include "exec/cpu/kernels.h"
#include "model/config.h"

namespace stomp::cpu {

class RopeTable {
 public:
  RopeTable() = default;
  explicit RopeTable(const RopeConfig& rope);

  /// Makes these positions ready. REQUIRES: none is negative.
  void cover(std::span<const int> positions);

  /// REQUIRES: position is covered.
  RopeTurns at(int position) const {
    const size_t dim = head_dim();
    const float* row =
        chunks_[position / kChunk].data() + position % kChunk * 2 * dim;
    return {row, row + dim, static_cast<int>(dim), interleaved_};
  }

  size_t bytes() const;

 private:
  static constexpr int kChunk = 64; // positions

  size_t head_dim() const { return 2 * inv_freq_.size(); }
  std::vector<float> chunk(int index) const;

  std::vector<float> inv_freq_; // (half)
  double scale_ = 1;
  // (kChunk, 2, head_dim) each, cosines, then sines; empty before its first use
  std::vector<std::vector<float>> chunks_;
  bool interleaved_ = false;
};

} // namespace stomp::cpu

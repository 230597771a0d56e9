// A linear layer's weights, packed for the kernels: its parts stacked, each in
// blocks of kBlockColumns outputs. Immutable once packed; any thread may read.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "exec/cpu/kernels.h"
#include "model/weights.h"

namespace stomp::cpu {

/// One weight matrix. Outputs past its last row are padding, always 0.
struct PackedPart {
  bool quantised = false;
  QuantisedLayout quantised_layout;
  DenseLayout dense_layout;
  int blocks = 0;
  int first_block = 0;    // in the linear
  size_t block_bytes = 0; // multiple of a cache line
  std::byte* bytes = nullptr;

  int first_column() const { return first_block * kBlockColumns; }
};

/// A block of a linear, and how it is packed.
struct PackedBlock {
  const PackedPart* part = nullptr;
  const std::byte* bytes = nullptr;
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// Packs on all threads, into memory of the arena, which must outlive it.
  /// REQUIRES: parts have equal cols.
  PackedMatrix(
      const std::vector<const WeightMatrix*>& parts,
      ThreadPool& threads,
      PageArena& arena);

  int cols() const { return cols_; }
  int blocks() const { return blocks_; }
  /// Length of an output row, padding of every part included.
  int columns() const { return blocks_ * kBlockColumns; }
  const PackedPart& part(int i) const { return parts_[i]; }
  PackedBlock block(int i) const;
  bool any_quantised() const;
  bool any_dense() const;
  /// (columns()); empty: none. Of padding 0.
  const std::vector<float>& bias() const { return bias_; }
  size_t bytes() const;

 private:
  void keep_bias(const std::vector<const WeightMatrix*>& parts);

  int cols_ = 0;
  int blocks_ = 0;
  std::vector<PackedPart> parts_;
  std::vector<float> bias_;
};

} // namespace stomp::cpu

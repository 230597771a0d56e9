// A linear layer's weights, packed for the kernels: its parts stacked, each in
// blocks of kBlockColumns outputs. Immutable once packed.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "exec/cpu/kernels.h"
#include "model/weights.h"

namespace stomp::cpu {

/// Rows of activations in the forms a linear may want.
struct LinearInput {
  const float* rows = nullptr; // (n, cols)
  QuantisedRows quantised;     // the same rows
};

/// One weight matrix. Outputs past its last row are padding, always 0.
struct PackedPart {
  bool quantised = false;
  QuantisedLayout quantised_layout;
  DenseLayout dense_layout;
  int blocks = 0;
  int first_block = 0;    // in the linear
  size_t block_bytes = 0; // multiple of a cache line
  PageBuffer bytes;

  int first_column() const { return first_block * kBlockColumns; }
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// Packs on all threads. REQUIRES: parts have equal cols.
  PackedMatrix(
      const std::vector<const WeightMatrix*>& parts,
      const Kernels& kernels,
      ThreadPool& threads);

  int cols() const { return cols_; }
  /// Length of an output row, padding of every part included.
  int columns() const { return blocks_ * kBlockColumns; }
  const PackedPart& part(int i) const { return parts_[i]; }
  bool any_quantised() const;
  bool any_dense() const;
  size_t bytes() const;

  /// y (n_rows, columns()) = in times the weights, on all threads. `scratch`
  /// holds linear_scratch_bytes per thread.
  void multiply(
      const LinearInput& in,
      int n_rows,
      float* y,
      const Kernels& kernels,
      ThreadPool& threads,
      std::byte* scratch) const;

 private:
  const PackedPart& part_of(int block) const;

  int cols_ = 0;
  int blocks_ = 0;
  std::vector<PackedPart> parts_;
};

} // namespace stomp::cpu

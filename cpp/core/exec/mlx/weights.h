// Weights as MLX holds them: affine triples, MXFP4 or dense matrices, scales
// and dense ones in the device's number format. Made once at load, then
// immutable. Engine thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "exec/mlx/graph.h"
#include "model/weights.h"

namespace stomp::mlx_exec {

/// Rows of one kind, or several matrices of it one behind the other on an axis
/// of their own. `bits` 0: dense.
struct Matrix {
  int bits = 0;
  int group = 0;
  Array codes;      // quantised: (rows, cols * bits / 32) uint32
  Array scales;     // quantised: (rows, cols / group); of MXFP4 uint8
  Array biases;     // affine: as scales; empty: MXFP4
  Array dense;      // (rows, cols)
  Array transposed; // a view of `dense`, for matmul

  /// How its codes are read.
  Quantisation quantisation() const { return {group, bits, biases.empty()}; }
  size_t bytes() const;
};

/// One or several matrices over the same input; their outputs lie side by side.
/// More than one only where a model mixes formats within a fused group.
using MatrixList = std::vector<Matrix>;

class WeightLoader {
 public:
  /// `dtype`: of activations, scales and dense weights.
  WeightLoader(Graph graph, mlx_dtype dtype) : graph_(graph), dtype_(dtype) {}

  /// Rows stacked in order. A single matrix that was loaded before (tied
  /// embeddings) is shared, not loaded again.
  MatrixList load(const std::vector<const WeightMatrix*>& parts);
  Array load_vector(const WeightVector& vector);
  /// The matrices on an axis of their own: (n, rows, cols). Throws
  /// kModelUnsupported unless all are in one format. REQUIRES: equal shapes.
  Matrix load_stack(const std::vector<WeightMatrix>& matrices);

  /// Bytes on the device of all that was loaded.
  size_t bytes() const { return bytes_; }

 private:
  Matrix upload(const WeightMatrix& w) const;
  Matrix upload_affine(const WeightMatrix& w) const;
  Matrix upload_mxfp4(const WeightMatrix& w) const;
  Matrix repack(const WeightMatrix& w) const;
  Matrix stack(const std::vector<Matrix>& parts) const;

  Graph graph_;
  mlx_dtype dtype_;
  size_t bytes_ = 0;
  const std::byte* shared_data_ = nullptr; // of the first matrix loaded
  MatrixList shared_;
};

/// x (n, cols) @ w^T.
Array apply(const Graph& graph, const Array& x, const MatrixList& matrices);

/// Rows `indices` of the matrix, as numbers of `dtype`, which dense ones have
/// already. REQUIRES: one matrix, indices in range.
Array lookup(
    const Graph& graph,
    const MatrixList& w,
    const Array& indices,
    mlx_dtype dtype);

} // namespace stomp::mlx_exec

// The MLX operations the decoder is made of, on one stream, each checked.
// Lazy: a call adds a node, nothing is computed before Array::wait(),
// evaluate() or start(). Engine thread only.
#pragma once

#include <vector>

#include "exec/mlx/array.h"

namespace stomp::mlx_exec {

/// How MLX packs codes: in affine triples, or as MXFP4 without biases.
struct Quantisation {
  int group = 0;
  int bits = 0;
  bool mxfp4 = false;

  const char* mode() const { return mxfp4 ? "mxfp4" : "affine"; }
};

class Graph {
 public:
  explicit Graph(mlx_stream stream) : stream_(stream) {}

  mlx_stream stream() const { return stream_; }

  Array add(const Array& a, const Array& b) const;
  Array multiply(const Array& a, const Array& b) const;
  Array sigmoid(const Array& a) const;
  Array cast(const Array& a, mlx_dtype dtype) const;
  /// Row-contiguous; no copy where it already is.
  Array contiguous(const Array& a) const;
  Array reshape(const Array& a, const std::vector<int>& shape) const;
  Array transpose(const Array& a, const std::vector<int>& axes) const;
  /// [begin, end) of one axis.
  Array slice(const Array& a, int axis, int begin, int end) const;
  Array concatenate(const std::vector<Array>& parts, int axis) const;
  Array zeros(const std::vector<int>& shape, mlx_dtype dtype) const;
  /// Entries `indices` of axis 0. REQUIRES: in range, nobody checks.
  Array take(const Array& a, const Array& indices) const;
  /// `a` with entries `indices` of axis 0 replaced by `updates`. Takes a's
  /// buffer over when nothing else refers to it, else copies all of it.
  Array scatter(const Array& a, const Array& indices, const Array& updates)
      const;
  /// Index of the largest value of the last axis, the lowest on ties.
  Array arg_max(const Array& a) const;
  /// a @ b.
  Array matmul(const Array& a, const Array& b) const;

  Array rms_norm(const Array& x, const Array& weight, float eps) const;
  /// x (n, heads, 1, dim), entry i of axis 0 rotated to positions[i].
  /// periods (dim / 2): the reciprocals of the inverse frequencies.
  Array rope(
      const Array& x,
      const Array& positions,
      const Array& periods,
      bool interleaved) const;
  Array minimum(const Array& a, const Array& b) const;
  Array maximum(const Array& a, const Array& b) const;
  /// q (1, heads, n, dim), k and v (1, kv_heads, length, dim). Row i of q sees
  /// the first length - n + i + 1 keys, or those that `mask` (n, length) says,
  /// unless it is empty. sinks (heads): scores that nothing stands behind;
  /// empty: none.
  Array attention(
      const Array& q,
      const Array& k,
      const Array& v,
      float scale,
      const Array& mask,
      const Array& sinks) const;

  /// x @ w^T. Here and below `biases` is empty for MXFP4.
  Array quantized_matmul(
      const Array& x,
      const Array& codes,
      const Array& scales,
      const Array& biases,
      const Quantisation& how) const;
  /// a (..., width), width a multiple of `group`: the affine triple, where 32
  /// bits hold 32 / bits codes, the first lowest, and scales are of a's type.
  std::vector<Array> quantize(const Array& a, int group, int bits) const;
  Array dequantize(
      const Array& codes,
      const Array& scales,
      const Array& biases,
      const Quantisation& how,
      mlx_dtype dtype) const;

  // One matrix of several for each row: x (..., 1, cols), `which` (...) says
  // which of axis 0 of the weights; `sorted`: in ascending order.
  /// x @ w^T, w (n, rows, cols) given as its transpose.
  Array gather_matmul(
      const Array& x,
      const Array& transposed,
      const Array& which,
      bool sorted) const;
  Array gather_quantized_matmul(
      const Array& x,
      const Array& codes,
      const Array& scales,
      const Array& biases,
      const Array& which,
      const Quantisation& how,
      bool sorted) const;

  /// Of the last axis.
  Array softmax(const Array& a) const;
  /// Indices that sort the last axis, ascending.
  Array argsort(const Array& a) const;
  /// Indices of the k largest values of the last axis, in any order.
  Array top_k(const Array& a, int k) const;
  /// Values at `indices` of the last axis.
  Array take_along(const Array& a, const Array& indices) const;
  Array floor_divide(const Array& a, const Array& b) const;
  Array sum(const Array& a, int axis) const;

 private:
  mlx_stream stream_; // borrowed from Device
};

} // namespace stomp::mlx_exec

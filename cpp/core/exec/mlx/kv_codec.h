// Keys and values as the pool keeps them: as they are, or as MLX's affine codes
// with f16 scales and biases. Pure; engine thread only.
#pragma once

#include <vector>

#include "cache/cache_spec.h"
#include "exec/mlx/graph.h"

namespace stomp::mlx_exec {

/// K or V, (..., heads, width) each: elements alone; or codes, scales, biases.
using Planes = std::vector<Array>;

/// How elements of so many bits are kept for heads of that size. Throws
/// kInvalidRequest when MLX has no codes for such heads.
KvFormat kv_format(int bits, int head_dim, mlx_dtype dtype);

class KvCodec {
 public:
  /// dtype: of rows that come and go.
  KvCodec(const Graph& graph, const KvFormat& format, mlx_dtype dtype);

  struct Plane {
    int width;
    mlx_dtype dtype;
  };
  /// What planes of heads of `dim` are made of.
  std::vector<Plane> planes(int dim) const;

  /// rows (n, heads, dim) to planes that are row-contiguous.
  Planes pack(const Array& rows) const;
  /// The reverse, of any leading axes.
  Array unpack(const Planes& planes) const;

 private:
  Graph graph_;
  KvFormat format_;
  mlx_dtype dtype_;
};

/// Turns heads so that what a few dimensions have more than the others is
/// spread over all of their group: keys then stand codes of 4 bits, and
/// products of heads that were both turned stay as they are.
class KeySpread {
 public:
  /// `group` is a power of two.
  KeySpread(const Graph& graph, int group, mlx_dtype dtype);

  /// heads (n, heads, dim), dim a multiple of the group.
  Array operator()(const Array& heads) const;

 private:
  Graph graph_;
  Array matrix_; // (group, group)
};

} // namespace stomp::mlx_exec

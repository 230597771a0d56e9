// See kv_codec.h.
#include "exec/mlx/kv_codec.h"

#include <bit>
#include <cmath>
#include <string>

namespace stomp::mlx_exec {

namespace {

constexpr int kWordBits = 32;

} // namespace

KvFormat kv_format(int bits, int head_dim, mlx_dtype dtype) {
  KvFormat format;
  format.element_bytes = static_cast<int>(mlx_dtype_size(dtype));
  format.bits = bits;
  if (!format.coded()) {
    return format;
  }
  format.biases = true;
  for (const int group : {64, 32}) {
    if (head_dim % group == 0) {
      format.group = group;
      return format;
    }
  }
  throw Error(
      Code::kInvalidRequest,
      "MLX quantises keys and values in groups of 32, which do not divide this "
      "model's heads of " +
          std::to_string(head_dim) +
          ": leave out --kv-bits, or take --executor cpu",
      {{"kv_bits", std::to_string(bits)},
       {"head_dim", std::to_string(head_dim)}});
}

KvCodec::KvCodec(const Graph& graph, const KvFormat& format, mlx_dtype dtype)
    : graph_(graph), format_(format), dtype_(dtype) {}

std::vector<KvCodec::Plane> KvCodec::planes(int dim) const {
  if (!format_.coded()) {
    return {{dim, dtype_}};
  }
  const int groups = format_.groups_of(dim);
  return {
      {dim * format_.bits / kWordBits, MLX_UINT32},
      {groups, MLX_FLOAT16},
      {groups, MLX_FLOAT16}};
}

Planes KvCodec::pack(const Array& rows) const {
  if (!format_.coded()) {
    return {graph_.contiguous(rows)};
  }
  // What is quantised as f16 has f16 scales, whatever the device computes in.
  const Array halves = graph_.cast(graph_.contiguous(rows), MLX_FLOAT16);
  Planes planes = graph_.quantize(halves, format_.group, format_.bits);
  for (Array& plane : planes) {
    plane = graph_.contiguous(plane);
  }
  return planes;
}

Array KvCodec::unpack(const Planes& planes) const {
  if (!format_.coded()) {
    return planes[0];
  }
  // In f32 where that is computed in; never in bf16, whose eight bits are too
  // few for the sum of a code's multiple and a bias.
  const mlx_dtype wide = dtype_ == MLX_FLOAT32 ? MLX_FLOAT32 : MLX_FLOAT16;
  const Array values = graph_.dequantize(
      planes[0],
      graph_.cast(planes[1], wide),
      graph_.cast(planes[2], wide),
      {format_.group, format_.bits},
      wide);
  return graph_.cast(values, dtype_);
}

KeySpread::KeySpread(const Graph& graph, int group, mlx_dtype dtype)
    : graph_(graph) {
  // Hadamard's: the sign tells whether row and column share an odd number of
  // bits.
  const float size = 1.0f / std::sqrt(static_cast<float>(group));
  std::vector<float> elements;
  for (int row = 0; row < group; row++) {
    for (int column = 0; column < group; column++) {
      const auto shared = static_cast<unsigned>(row & column);
      elements.push_back(std::popcount(shared) % 2 ? -size : size);
    }
  }
  matrix_ = graph_.cast(
      graph_.reshape(Array::from_floats(elements), {group, group}), dtype);
}

Array KeySpread::operator()(const Array& heads) const {
  const int n = heads.dim(0);
  const int group = matrix_.dim(0);
  const int groups = heads.dim(1) * heads.dim(2) / group;
  return graph_.reshape(
      graph_.matmul(graph_.reshape(heads, {n, groups, group}), matrix_),
      {n, heads.dim(1), heads.dim(2)});
}

} // namespace stomp::mlx_exec

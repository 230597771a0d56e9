// The kernels of cuda/ as MLX's custom CUDA kernels want them: a text of
// functions, and for each kernel the body of one more, its arguments and its
// constants. Tables, parameters and grids are those of metal_launch.h. Plain
// text, no CUDA and no MLX; any thread.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "exec/mlx/metal_launch.h"

namespace stomp::mlx_exec::cuda {

struct Source {
  std::string_view name; // of the file
  std::string_view text;
};

/// All files of cuda/; what one includes comes before it.
std::span<const Source> sources();

/// Buffers by the names of metal_launch.h; inputs come before outputs. Scales,
/// biases and sinks are bound to anything where a shape has none. Texts are
/// without comments: MLX hashes them whenever a kernel is launched.
struct Kernel {
  const char* name;
  std::span<const char* const> inputs;
  std::span<const char* const> outputs;
  std::string functions; // that the body calls; includes nothing
  std::string body;
};

/// partial_out (rows, n_heads, splits, head_dim) and partial_sum (rows,
/// n_heads, splits, 2), f32. Dynamic shared memory: decode_shared_bytes().
const Kernel& decode_kernel();
/// out (N, n_heads, head_dim), of which the tables' rows are written.
const Kernel& combine_kernel();

int decode_shared_bytes(const metal::Launch& decode);

struct Constant {
  const char* name;
  int value; // of an int, or of a bool
  bool is_bool;
};

/// Declared before the body, beside the type `T` of queries and results.
std::array<Constant, 6> constants_of(const metal::Constants& constants);

} // namespace stomp::mlx_exec::cuda

// Whether the paged kernels do on this device what MLX's own operations do.
// Engine thread only.
#pragma once

#include <string>
#include <vector>

#include "exec/executor.h"
#include "exec/mlx/cuda_launcher.h"
#include "exec/mlx/paged_kernels.h"

namespace stomp::mlx_exec {

struct CheckShape {
  metal::CacheShape cache;
  int n_heads = 0;
  int window = 0; // tokens; 0: none
  bool sinks = false;

  std::string name() const;
};

/// A few sequences of a layer are appended, copied, gathered and attended to,
/// rows alone as well as prompts; both ways, from the same numbers.
KernelCheck check_kernels(
    const Graph& graph,
    Launcher& launcher,
    const CheckShape& shape,
    mlx_dtype dtype);

/// The same of kernels that only attend, to a pool that MLX's operations fill.
KernelCheck check_kernels(
    const Graph& graph,
    CudaLauncher& launcher,
    const CheckShape& shape,
    mlx_dtype dtype);

/// Shapes that stand for all there are.
std::vector<CheckShape> check_shapes();

} // namespace stomp::mlx_exec

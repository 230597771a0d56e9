// Who runs the kernels of cuda/ as operations of a graph: MLX's custom CUDA
// kernels, or in tests an emulator. Engine thread only.
#pragma once

#include <memory>
#include <vector>

#include "exec/mlx/cuda_kernels.h"
#include "exec/mlx/device.h"
#include "exec/mlx/graph.h"

namespace stomp::mlx_exec {

class CudaLauncher {
 public:
  struct Output {
    std::vector<int> shape;
    mlx_dtype dtype;
  };

  CudaLauncher() = default;
  CudaLauncher(const CudaLauncher&) = delete;
  CudaLauncher& operator=(const CudaLauncher&) = delete;
  virtual ~CudaLauncher() = default;

  /// `kernel` with the grid and constants of `launch`; inputs and outputs in
  /// the kernel's order. dtype: of queries and results.
  /// REQUIRES: inputs row-contiguous.
  virtual std::vector<Array> run(
      const Graph& graph,
      const cuda::Kernel& kernel,
      const metal::Launch& launch,
      int shared_bytes,
      mlx_dtype dtype,
      const std::vector<Array>& inputs,
      const std::vector<Output>& outputs) = 0;
};

/// Null where the device has no such kernels.
std::unique_ptr<CudaLauncher> make_cuda_launcher(const Device& device);

} // namespace stomp::mlx_exec

// In place of MLX's custom CUDA kernels: the executor's launches on the host,
// at once, by the emulator. So whole models run on the kernels of cuda/.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "broken_launcher.h"
#include "emulator.h"
#include "exec/mlx/cuda_launcher.h"
#include "kernels.h"

namespace stomp::mlx_exec {

namespace {

using emulator::Edge;
using emulator::Guarded;
using emulator::is_broken;

const char* suffix_of(mlx_dtype dtype) {
  switch (dtype) {
    case MLX_FLOAT16:
      return "_f16";
    case MLX_BFLOAT16:
      return "_bf16";
    default:
      return "_f32";
  }
}

size_t bytes_of(const CudaLauncher::Output& output) {
  size_t bytes = mlx_dtype_size(output.dtype);
  for (int dim : output.shape) {
    bytes *= static_cast<size_t>(dim);
  }
  return bytes;
}

/// Where a test wants it "idle", kernels do nothing; "refused" are all of them.
class EmulatedLauncher : public CudaLauncher {
 public:
  std::vector<Array> run(
      const Graph&,
      const cuda::Kernel& kernel,
      const metal::Launch& launch,
      int shared_bytes,
      mlx_dtype dtype,
      const std::vector<Array>& inputs,
      const std::vector<Output>& outputs) override {
    if (is_broken("refused")) {
      throw Error(Code::kGenerationFailed, "there is no compiler here");
    }
    require_same_shared(kernel, launch, shared_bytes);
    std::vector<std::unique_ptr<Guarded>> memories;
    std::vector<std::string> names;
    for (size_t i = 0; i < inputs.size(); i++) {
      inputs[i].wait();
      names.push_back(kernel.inputs[i]);
      memories.push_back(std::make_unique<Guarded>(
          names.back(), inputs[i].bytes(), Edge::kEnd));
      std::memcpy(memories.back()->data(), inputs[i].host(), inputs[i].bytes());
    }
    for (size_t i = 0; i < outputs.size(); i++) {
      names.push_back(kernel.outputs[i]);
      memories.push_back(std::make_unique<Guarded>(
          names.back(), bytes_of(outputs[i]), Edge::kEnd));
    }
    if (!is_broken("idle")) {
      emulate(launch, dtype, names, memories);
    }
    std::vector<Array> results;
    for (size_t i = 0; i < outputs.size(); i++) {
      results.push_back(Array::from_bytes(
          memories[inputs.size() + i]->data(),
          outputs[i].shape,
          outputs[i].dtype));
    }
    return results;
  }

 private:
  /// What a block shares is what the launch says, less the queries.
  static void require_same_shared(
      const cuda::Kernel& kernel,
      const metal::Launch& launch,
      int shared_bytes) {
    const bool decodes = kernel.name == cuda::decode_kernel().name;
    if (shared_bytes != (decodes ? cuda::decode_shared_bytes(launch) : 0)) {
      throw emulator::Fault("shared memory of another size");
    }
  }

  static void emulate(
      const metal::Launch& launch,
      mlx_dtype dtype,
      const std::vector<std::string>& names,
      const std::vector<std::unique_ptr<Guarded>>& memories) {
    emulator::Dispatch dispatch;
    for (const std::string name : launch.buffers) {
      const auto at = std::find(names.begin(), names.end(), name);
      dispatch.buffers.push_back(memories.at(at - names.begin()).get());
    }
    const auto& [x, y, z] = launch.groups;
    dispatch.groups = {unsigned(x), unsigned(y), unsigned(z)};
    dispatch.threads = unsigned(launch.threads);
    dispatch.threadgroup_bytes.assign(
        launch.threadgroup_bytes.begin(), launch.threadgroup_bytes.end());
    emulator::set_function_constants(launch.constants);
    const std::string stem =
        launch.function.substr(0, launch.function.rfind('_'));
    emulator::run(emulator::kernel(stem + suffix_of(dtype)), dispatch);
  }
};

} // namespace

std::unique_ptr<CudaLauncher> make_cuda_launcher(const Device&) {
  // Also where rows are scattered into the pool, as on GPUs.
  return std::make_unique<EmulatedLauncher>();
}

} // namespace stomp::mlx_exec

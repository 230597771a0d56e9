// See cuda_launcher.h: through MLX, which compiles a kernel's text with NVRTC
// when it is first evaluated and keeps it by its text.
#include "exec/mlx/cuda_launcher.h"

#include <map>
#include <string>

namespace stomp::mlx_exec {

namespace {

class Names {
 public:
  explicit Names(std::span<const char* const> names)
      : handle_(mlx_vector_string_new()) {
    for (const char* name : names) {
      check(mlx_vector_string_append_value(handle_, name), "name a buffer");
    }
  }
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  ~Names() { mlx_vector_string_free(handle_); }
  mlx_vector_string get() const { return handle_; }

 private:
  mlx_vector_string handle_;
};

/// A text that becomes a kernel for each set of constants.
class Text {
 public:
  Text(const cuda::Kernel& kernel, int shared_bytes) {
    const Names inputs(kernel.inputs);
    const Names outputs(kernel.outputs);
    handle_ = mlx_fast_cuda_kernel_new(
        kernel.name,
        inputs.get(),
        outputs.get(),
        kernel.body.c_str(),
        kernel.functions.c_str(),
        true, // copies what is not row-contiguous; all is, see run()
        shared_bytes);
    check(handle_.ctx ? 0 : 1, "take a CUDA kernel");
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  ~Text() { mlx_fast_cuda_kernel_free(handle_); }
  mlx_fast_cuda_kernel get() const { return handle_; }

 private:
  mlx_fast_cuda_kernel handle_{};
};

/// How one launch is to be.
class Configuration {
 public:
  Configuration() : handle_(mlx_fast_cuda_kernel_config_new()) {
    check(handle_.ctx ? 0 : 1, "configure a CUDA kernel");
  }
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;
  ~Configuration() { mlx_fast_cuda_kernel_config_free(handle_); }
  mlx_fast_cuda_kernel_config get() const { return handle_; }

  void add(const CudaLauncher::Output& output) {
    done(mlx_fast_cuda_kernel_config_add_output_arg(
        handle_, output.shape.data(), output.shape.size(), output.dtype));
  }

  void add(const cuda::Constant& constant) {
    done(
        constant.is_bool ? mlx_fast_cuda_kernel_config_add_template_arg_bool(
                               handle_, constant.name, constant.value != 0)
                         : mlx_fast_cuda_kernel_config_add_template_arg_int(
                               handle_, constant.name, constant.value));
  }

  void set(mlx_dtype dtype) {
    done(mlx_fast_cuda_kernel_config_add_template_arg_dtype(
        handle_, "T", dtype));
  }

  void set(const metal::Launch& launch) {
    // MLX counts threads, not blocks of them.
    const auto& [x, y, z] = launch.groups;
    done(mlx_fast_cuda_kernel_config_set_grid(
        handle_, x * launch.threads, y, z));
    done(mlx_fast_cuda_kernel_config_set_thread_group(
        handle_, launch.threads, 1, 1));
  }

 private:
  static void done(int rc) { check(rc, "configure a CUDA kernel"); }
  mlx_fast_cuda_kernel_config handle_;
};

class MlxCudaLauncher : public CudaLauncher {
 public:
  std::vector<Array> run(
      const Graph& graph,
      const cuda::Kernel& kernel,
      const metal::Launch& launch,
      int shared_bytes,
      mlx_dtype dtype,
      const std::vector<Array>& inputs,
      const std::vector<Output>& outputs) override {
    Configuration configuration;
    configuration.set(launch);
    configuration.set(dtype);
    for (const cuda::Constant& constant :
         cuda::constants_of(launch.constants)) {
      configuration.add(constant);
    }
    for (const Output& output : outputs) {
      configuration.add(output);
    }
    Arrays operands;
    for (const Array& input : inputs) {
      operands.add(input);
    }
    Arrays results;
    check(
        mlx_fast_cuda_kernel_apply(
            results.out(),
            text(kernel, shared_bytes).get(),
            operands.get(),
            configuration.get(),
            graph.stream()),
        "launch a CUDA kernel");
    return results.all();
  }

 private:
  const Text& text(const cuda::Kernel& kernel, int shared_bytes) {
    return texts_.try_emplace({kernel.name, shared_bytes}, kernel, shared_bytes)
        .first->second;
  }

  std::map<std::pair<std::string, int>, Text> texts_;
};

} // namespace

std::unique_ptr<CudaLauncher> make_cuda_launcher(const Device& device) {
  return device.name() == "gpu:cuda" ? std::make_unique<MlxCudaLauncher>()
                                     : nullptr;
}

} // namespace stomp::mlx_exec

// See launcher.h: on Metal, by way of MLX's own command encoder, so that MLX
// knows what a kernel reads and writes. Compiled on macOS alone.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "exec/mlx/launcher.h"
#include "exec/mlx/metal_sources.h"
#include "mlx/backend/metal/device.h"

namespace stomp::mlx_exec {

namespace {

namespace core = ::mlx::core;

using metal::FunctionConstant;
using metal::Launch;

/// The values that Metal is given by address.
class FunctionConstants {
 public:
  explicit FunctionConstants(const Launch& launch)
      : all_(metal::function_constants(launch.constants)) {
    for (size_t i = 0; i < all_.size(); i++) {
      bools_[i] = all_[i].value != 0;
    }
  }

  core::metal::MTLFCList list() const {
    core::metal::MTLFCList list;
    for (size_t i = 0; i < all_.size(); i++) {
      if (all_[i].is_bool) {
        list.emplace_back(&bools_[i], MTL::DataTypeBool, i);
      } else {
        list.emplace_back(&all_[i].value, MTL::DataTypeInt, i);
      }
    }
    return list;
  }

 private:
  std::array<FunctionConstant, 7> all_;
  std::array<bool, 7> bools_{};
};

MTL::ComputePipelineState* pipeline_of(
    core::metal::Device& device,
    const Launch& launch) {
  MTL::Library* library = device.get_library("stomp_paged", metal_library);
  const FunctionConstants constants(launch);
  return device.get_kernel(
      launch.function, library, metal::pipeline_key(launch), constants.list());
}

/// REQUIRES: not empty.
Launcher::Buffer& named(
    std::vector<Launcher::Buffer>& buffers,
    const std::string& name) {
  const auto found =
      std::find_if(buffers.begin(), buffers.end(), [&](const auto& buffer) {
        return buffer.name == name;
      });
  return found == buffers.end() ? buffers.front() : *found;
}

class MetalLauncher : public Launcher {
 public:
  void run(
      core::Stream stream,
      const Launch& launch,
      std::vector<Buffer> buffers,
      std::span<const std::byte> params) override {
    core::metal::CommandEncoder& encoder =
        core::metal::get_command_encoder(stream);
    encoder.set_compute_pipeline_state(
        pipeline_of(core::metal::device(stream.device), launch));
    const int last = static_cast<int>(launch.buffers.size()) - 1;
    for (int i = 0; i < last; i++) {
      bind(encoder, named(buffers, launch.buffers[i]), i);
    }
    encoder.set_bytes(params.data(), static_cast<int>(params.size()), last);
    for (size_t i = 0; i < launch.threadgroup_bytes.size(); i++) {
      encoder.set_threadgroup_memory_length(
          launch.threadgroup_bytes[i], static_cast<int>(i));
    }
    const auto& [x, y, z] = launch.groups;
    encoder.dispatch_threadgroups(
        MTL::Size(x, y, z), MTL::Size(launch.threads, 1, 1));
  }

  void keep(core::Stream stream, std::vector<core::array> arrays) override {
    core::metal::get_command_encoder(stream).add_temporaries(std::move(arrays));
  }

 private:
  static void
  bind(core::metal::CommandEncoder& encoder, Buffer& buffer, int i) {
    core::array array = uncounted(buffer.array);
    if (buffer.access == Access::kWrite) {
      encoder.set_output_array(array, i);
      return;
    }
    encoder.set_input_array(array, i);
    // MLX orders what comes after a write. A pool's blocks are written again
    // after they were read, which it would not wait for: no array of its own
    // is.
    if (buffer.access == Access::kReadShared) {
      encoder.register_output_array(array);
    }
  }

  /// The same buffer as an array of no size. MLX hands work to the GPU once
  /// arrays of some 50 M elements are bound, and waits for it when that has
  /// happened ten times; here these are mostly the pool, of which little is
  /// read.
  static core::array uncounted(const core::array& all) {
    core::array view(all.shape(), all.dtype(), nullptr, {});
    view.copy_shared_buffer(all, all.strides(), all.flags(), 0);
    return view;
  }
};

} // namespace

std::unique_ptr<Launcher> make_launcher(const Device& device) {
  return device.gpu() ? std::make_unique<MetalLauncher>() : nullptr;
}

} // namespace stomp::mlx_exec

// Which device MLX computes on, and the stream it is told to do so by.
//
// MLX binds an ordinary stream to the thread that made it and never ends that
// stream's own thread, so an engine thread per model load would leak one each
// time. Streams here belong to the process: a Device borrows one and gives it
// back, and whichever thread holds the Device is the stream's only user.
#pragma once

#include <string>

#include "mlx/c/mlx.h"

namespace stomp::mlx_exec {

class Device {
 public:
  /// `wanted`: "cpu", "gpu", "cpu:stock" (the CPU without the Primitives it has
  /// beyond MLX, which is how GPUs run), or empty for the best there is. Makes
  /// the stream the calling thread's default. Throws kExecutorUnavailable.
  explicit Device(const std::string& wanted);
  /// Waits for what is under way.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Waits for what is under way; a failure is reported by its own step.
  void synchronise();

  /// Keeps so many bytes of what was reserved first from being paged out, where
  /// the system pages a GPU's memory; 0: none. For weights: a pool is larger
  /// than what is used of it, and the system needs room.
  void keep_resident(size_t bytes);

  bool gpu() const { return gpu_; }
  /// Rows are written into the pool's own buffer.
  bool in_place() const { return in_place_; }
  /// "cpu", "gpu:metal" or "gpu:cuda".
  const std::string& name() const { return name_; }
  mlx_stream stream() const { return stream_; }

 private:
  bool gpu_;
  bool in_place_;
  std::string name_;
  mlx_stream stream_{};
  size_t resident_ = 0; // bytes
};

/// The version of the MLX library that is loaded, for example "0.32.2".
std::string mlx_runtime_version();

} // namespace stomp::mlx_exec

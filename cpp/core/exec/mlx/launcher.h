// Who runs the launches of metal_launch.h: Metal, or in tests an emulator. For
// what is evaluated by MLX, on whichever thread MLX does that.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "exec/mlx/device.h"
#include "exec/mlx/metal_launch.h"
#include "mlx/array.h"

namespace stomp::mlx_exec {

class Launcher {
 public:
  enum class Access {
    kRead,
    kWrite,
    /// Of what lies in a pool: whoever writes there later waits for it.
    kReadShared,
  };
  struct Buffer {
    const char* name; // one of the launch's
    ::mlx::core::array array;
    Access access = Access::kRead;
  };

  Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  virtual ~Launcher() = default;

  /// Hands a launch to the stream. Buffers that have a name which the launch
  /// does not know are left out; one that it knows but is not given is bound to
  /// the first. Throws std::exception when the kernel cannot be had.
  virtual void run(
      ::mlx::core::Stream stream,
      const metal::Launch& launch,
      std::vector<Buffer> buffers,
      std::span<const std::byte> params) = 0;

  /// Keeps what only launches use until they are done.
  virtual void keep(
      ::mlx::core::Stream stream,
      std::vector<::mlx::core::array> arrays) = 0;
};

/// Null where the device has no such kernels.
std::unique_ptr<Launcher> make_launcher(const Device& device);

} // namespace stomp::mlx_exec

// See device.h.
#include "exec/mlx/device.h"

#include <mutex>
#include <vector>

#include "exec/mlx/array.h"

namespace stomp::mlx_exec {

namespace {

constexpr Code kUnavailable = Code::kExecutorUnavailable;

/// Streams nobody holds, by device type. Never destroyed: MLX's own threads
/// outlive static destructors.
struct IdleStreams {
  std::mutex mutex;
  std::vector<mlx_stream> cpu, gpu;
};

IdleStreams& idle_streams() {
  static IdleStreams* streams = new IdleStreams;
  return *streams;
}

struct DeviceHandle {
  explicit DeviceHandle(bool gpu)
      : device(mlx_device_new_type(gpu ? MLX_GPU : MLX_CPU, 0)) {
    check(device.ctx ? 0 : 1, "name a device", kUnavailable);
  }
  ~DeviceHandle() { mlx_device_free(device); }
  mlx_device device;
};

bool has_gpu() {
  bool available = false;
  const DeviceHandle gpu(true);
  check(
      mlx_device_is_available(&available, gpu.device),
      "look for a GPU",
      kUnavailable);
  return available;
}

bool choose_gpu(const std::string& wanted) {
  if (wanted == "cpu" || wanted == "cpu:stock") {
    return false;
  }
  if (wanted != "gpu" && !wanted.empty()) {
    throw Error(
        kUnavailable,
        "MLX has no device \"" + wanted + "\"; use \"cpu\" or \"gpu\"");
  }
  const bool gpu = has_gpu();
  if (wanted == "gpu" && !gpu) {
    throw Error(
        kUnavailable,
        "MLX finds no GPU here; use its device \"cpu\", or the cpu executor");
  }
  return gpu;
}

std::string name_of(bool gpu) {
  if (!gpu) {
    return "cpu";
  }
  bool metal = false;
  check(mlx_metal_is_available(&metal), "look for Metal", kUnavailable);
  return metal ? "gpu:metal" : "gpu:cuda";
}

/// A new stream of a GPU moves what MLX keeps of the others, which their
/// engines look up without a lock: so many are opened at once, before any runs.
constexpr int kGpuStreams = 8;

mlx_stream borrow(bool gpu, mlx_device device) {
  IdleStreams& idle = idle_streams();
  const std::lock_guard lock(idle.mutex);
  std::vector<mlx_stream>& list = gpu ? idle.gpu : idle.cpu;
  for (int i = list.empty() ? gpu ? kGpuStreams : 1 : 0; i > 0; i--) {
    const mlx_stream stream = mlx_stream_new_thread_unsafe(device);
    check(stream.ctx ? 0 : 1, "open a stream", kUnavailable);
    list.push_back(stream);
  }
  const mlx_stream stream = list.back();
  list.pop_back();
  return stream;
}

/// MLX has one limit for all engines of the process, which goes from `before`
/// to `after` for this one.
void change_resident(size_t before, size_t after) {
  static std::mutex mutex;
  static size_t total = 0;
  const std::lock_guard lock(mutex);
  total = total - before + after;
  // What loading left over would be kept instead of weights.
  size_t limit = 0;
  if (mlx_clear_cache() != 0 || mlx_set_wired_limit(&limit, total) != 0) {
    // Refused for more than the system allows: then they may be paged like
    // all else, which is no reason not to serve.
    static_cast<void>(last_error());
  }
}

void give_back(bool gpu, mlx_stream stream) {
  IdleStreams& idle = idle_streams();
  const std::lock_guard lock(idle.mutex);
  (gpu ? idle.gpu : idle.cpu).push_back(stream);
}

} // namespace

Device::Device(const std::string& wanted)
    : gpu_(choose_gpu(wanted)),
      in_place_(!gpu_ && wanted != "cpu:stock"),
      name_(name_of(gpu_)) {
  const DeviceHandle handle(gpu_);
  check(mlx_set_default_device(handle.device), "select a device", kUnavailable);
  stream_ = borrow(gpu_, handle.device);
  const int rc = mlx_set_default_stream(stream_);
  if (rc != 0) {
    give_back(gpu_, stream_);
  }
  check(rc, "select a stream", kUnavailable);
}

Device::~Device() {
  synchronise();
  keep_resident(0);
  give_back(gpu_, stream_);
}

void Device::keep_resident(size_t bytes) {
  if (name_ != "gpu:metal" || bytes == resident_) {
    return;
  }
  change_resident(resident_, bytes);
  resident_ = bytes;
}

void Device::synchronise() {
  static_cast<void>(mlx_synchronize(stream_));
}

std::string mlx_runtime_version() {
  mlx_string text = mlx_string_new();
  const int rc = mlx_version(&text);
  const std::string version = rc == 0 ? mlx_string_data(text) : "";
  mlx_string_free(text);
  check(rc, "tell its version", kUnavailable);
  return version;
}

} // namespace stomp::mlx_exec

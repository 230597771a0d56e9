// make_mlx_executor(): opens the MLX executor's library. Any thread; the
// executor belongs to the caller's.
#include <dlfcn.h>

#include "base/error.h"
#include "exec/mlx_seam.h"

namespace stomp {

namespace {

[[noreturn]] void unavailable(const std::string& what) {
  throw Error(Code::kExecutorUnavailable, what);
}

std::string dl_reason() {
  const char* text = dlerror();
  return text ? text : "no reason given";
}

/// Never closed again: MLX's threads and thread-local streams run its code
/// until the process ends.
void* open_library(const std::string& path) {
  if (path.empty()) {
    unavailable(
        "the MLX executor was not built; use the cpu executor, or build with "
        "python3, pip and cargo at hand");
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    unavailable(
        "the MLX executor's library cannot be opened (" + dl_reason() +
        "); use the cpu executor, or build again");
  }
  return library;
}

template <class F>
F symbol(void* library, const std::string& path, const char* name) {
  void* address = dlsym(library, name);
  if (!address) {
    unavailable(path + " is not the MLX executor: it lacks " + name);
  }
  return reinterpret_cast<F>(address);
}

} // namespace

std::unique_ptr<Executor> make_mlx_executor(
    const ExecutorOptions& options,
    const std::string& library_path) {
  check_kv_bits(options.kv_bits);
  void* library = open_library(library_path);
  const auto seam =
      symbol<MlxSeamFunction>(library, library_path, kMlxSeamSymbol);
  if (seam() != kMlxSeam) {
    unavailable(
        library_path +
        " belongs to another version of this program; build "
        "both again");
  }
  const auto make = symbol<MakeMlxExecutorFunction>(
      library, library_path, kMakeMlxExecutorSymbol);
  char reason[1024];
  Executor* executor = make(&options, reason, sizeof reason);
  if (!executor) {
    unavailable(reason);
  }
  return std::unique_ptr<Executor>(executor);
}

} // namespace stomp

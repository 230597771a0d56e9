// The two symbols the MLX library exports; see exec/mlx_seam.h. Any thread may
// ask for the seam; the executor belongs to the thread that made it.
#include <cstring>
#include <string>

#include "exec/mlx/array.h"
#include "exec/mlx/device.h"
#include "exec/mlx/mlx_executor.h"
#include "exec/mlx_seam.h"
#include "mlx/version.h"

namespace {

using stomp::Code;
using stomp::Error;

#define STOMP_TEXT2(x) #x
#define STOMP_TEXT(x) STOMP_TEXT2(x)
constexpr const char* kBuiltFor = STOMP_TEXT(MLX_VERSION_MAJOR) "." STOMP_TEXT(
    MLX_VERSION_MINOR) "." STOMP_TEXT(MLX_VERSION_PATCH);
#undef STOMP_TEXT
#undef STOMP_TEXT2

/// Array handles are cast to MLX's own type, so the versions must be the same.
void require_same_version() {
  const std::string found = stomp::mlx_exec::mlx_runtime_version();
  if (found != kBuiltFor) {
    throw Error(
        Code::kExecutorUnavailable,
        "the MLX library found is version " + found + ", but " + kBuiltFor +
            " is needed; install that version or build again");
  }
}

} // namespace

extern "C" STOMP_MLX_EXPORT unsigned stomp_mlx_seam() {
  return stomp::kMlxSeam;
}

extern "C" STOMP_MLX_EXPORT stomp::Executor* stomp_make_mlx_executor(
    const stomp::ExecutorOptions* options,
    char* reason,
    size_t reason_size) {
  try {
    stomp::mlx_exec::install_error_handler();
    require_same_version();
    return new stomp::mlx_exec::MlxExecutor(*options);
  } catch (const std::exception& e) {
    std::strncpy(reason, e.what(), reason_size - 1);
    reason[reason_size - 1] = '\0';
    return nullptr;
  }
}

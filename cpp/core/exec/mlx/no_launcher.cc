// See launcher.h: builds without Metal have none.
#include "exec/mlx/launcher.h"

namespace stomp::mlx_exec {

std::unique_ptr<Launcher> make_launcher(const Device&) {
  return nullptr;
}

} // namespace stomp::mlx_exec

// The kernels of metal/, taken by this compiler; emulator::kernel() has them by
// name.
#pragma once

#include "exec/mlx/metal_launch.h"

namespace emulator {

/// Fixes the function constants of what is run from here on.
void set_function_constants(const stomp::mlx_exec::metal::Constants& constants);

} // namespace emulator

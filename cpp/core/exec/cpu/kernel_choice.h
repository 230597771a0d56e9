// Which table of kernels runs. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "exec/cpu/kernels.h"

namespace stomp::cpu {

/// Tables that this build has and this machine can run, the best first; the
/// last is "portable", which is always there.
const std::vector<const Kernels*>& available_kernels();

/// The table named `isa`, or the best for an empty name. Throws
/// kExecutorUnavailable naming those there are.
const Kernels& choose_kernels(const std::string& isa);

} // namespace stomp::cpu

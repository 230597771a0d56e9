// Between the engine and the MLX executor's shared library, which is opened
// only when it is asked for.
#pragma once

#include <cstddef>

#include "exec/executor.h"

#define STOMP_MLX_EXPORT __attribute__((visibility("default")))

namespace stomp {

/// What both sides must agree on before the first call: a count of changes to
/// exec/executor.h and what it includes, and the size of what crosses it.
inline constexpr unsigned kMlxSeam = 5u << 16 |
    ((sizeof(ExecutorOptions) * 31 + sizeof(ExecutorInfo)) * 31 +
     sizeof(Slice) * 7 + sizeof(StepResult) + sizeof(Model) * 3 +
     sizeof(ModelCacheSpec)) %
        65536;

using MlxSeamFunction = unsigned (*)();

/// Null and a reason (NUL-terminated, cut at reason_size) when it cannot.
using MakeMlxExecutorFunction = Executor* (*)(const ExecutorOptions*,
                                              char* reason,
                                              size_t reason_size);

inline constexpr const char* kMlxSeamSymbol = "stomp_mlx_seam";
inline constexpr const char* kMakeMlxExecutorSymbol = "stomp_make_mlx_executor";

} // namespace stomp

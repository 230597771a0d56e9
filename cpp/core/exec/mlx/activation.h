// A feed-forward's gate and up as MLX arrays. Engine thread only.
#pragma once

#include "exec/mlx/graph.h"
#include "model/activation.h"

namespace stomp::mlx_exec {

/// gate and up of one shape and type, under the activation.
Array activated(
    const Graph& graph,
    Activation activation,
    const Array& gate,
    const Array& up);

} // namespace stomp::mlx_exec

// Writing rows into a pool array: the two ways, chosen by device.
#pragma once

#include "exec/mlx/graph.h"

namespace stomp::mlx_exec {

/// A value equal to `pool` (slots, ...) with row slots[i] set to rows[i], that
/// lies in the pool's own buffer: `pool` itself changes when it is computed.
/// Whoever must see the rows depends on the result; whoever must not has to be
/// on the stream before it. CPU device only.
/// REQUIRES: pool evaluated; rows row-contiguous; slots int32, in range.
Array append_in_place(
    const Graph& graph,
    const Array& pool,
    const Array& rows,
    const Array& slots);

/// The same in stock operations, on any device. The buffer is taken over, not
/// copied, if the caller's `pool` is dropped before the result is computed and
/// the device is done with it.
Array append_by_scatter(
    const Graph& graph,
    const Array& pool,
    const Array& rows,
    const Array& slots);

/// An evaluated array of undefined content: nothing is touched, so the system
/// provides its pages as they are first written. Throws kInvalidRequest when
/// the machine cannot give that much.
Array uninitialised(const std::vector<int>& shape, mlx_dtype dtype);

/// An evaluated array of zeros that the device has computed, in memory of its
/// own where it has such: what uninitialised() takes lies where the host
/// reaches it, too. Throws as that does.
Array zeroed(
    const Graph& graph,
    const std::vector<int>& shape,
    mlx_dtype dtype);

} // namespace stomp::mlx_exec

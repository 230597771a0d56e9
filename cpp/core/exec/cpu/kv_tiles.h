// Keys between the pool's tiles, (dim, kTileTokens) of kTileTokens tokens each,
// and the rows of tokens in which blocks leave the executor. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stomp::cpu {

/// Rows (n, dim), `stride` elements apart, into tiles one after the other.
/// Places of a tile past the last token are left as they are.
void rows_to_tiles(
    const uint16_t* rows,
    size_t stride,
    int n,
    int dim,
    uint16_t* tiles);

/// The reverse; what lies between the rows is left as it is.
void tiles_to_rows(
    const uint16_t* tiles,
    int n,
    int dim,
    uint16_t* rows,
    size_t stride);

} // namespace stomp::cpu

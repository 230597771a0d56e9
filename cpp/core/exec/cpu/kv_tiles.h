// Keys between the pool's tiles, (dim, kTileTokens) of kTileTokens tokens each,
// and the rows of tokens in which blocks leave the executor. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stomp::cpu {

/// Rows (n, dim), `stride` elements apart, into tiles one after the other.
/// Places of a tile past the last token are left as they are. Of uint16_t and,
/// for codes, uint8_t.
template <class Element>
void rows_to_tiles(
    const Element* rows,
    size_t stride,
    int n,
    int dim,
    Element* tiles);

/// The reverse; what lies between the rows is left as it is.
template <class Element>
void tiles_to_rows(
    const Element* tiles,
    int n,
    int dim,
    Element* rows,
    size_t stride);

} // namespace stomp::cpu

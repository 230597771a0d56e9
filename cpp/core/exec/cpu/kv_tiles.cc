#include "exec/cpu/kv_tiles.h"

#include <algorithm>
#include <cstring>

#include "exec/cpu/kernels.h"

namespace stomp::cpu {

namespace {

constexpr int kSide = 8; // of a square that is turned in registers
static_assert(kTileTokens % kSide == 0);

// 16 bytes: what every 64-bit processor has.
typedef uint16_t Row __attribute__((vector_size(2 * kSide)));

/// One round in three of a transpose: rows i and i + kSide / 2, interleaved,
/// become rows 2i and 2i + 1.
void interleave(Row (&rows)[kSide]) {
  Row out[kSide];
  for (int i = 0; i < kSide / 2; i++) {
    const Row& a = rows[i];
    const Row& b = rows[i + kSide / 2];
    out[2 * i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    out[2 * i + 1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  std::memcpy(rows, out, sizeof out);
}

/// kSide rows of kSide elements, transposed.
void turn_square(
    const uint16_t* from,
    size_t from_stride,
    uint16_t* to,
    size_t to_stride) {
  Row rows[kSide];
  for (int i = 0; i < kSide; i++) {
    std::memcpy(&rows[i], from + i * from_stride, sizeof rows[i]);
  }
  interleave(rows);
  interleave(rows);
  interleave(rows);
  for (int i = 0; i < kSide; i++) {
    std::memcpy(to + i * to_stride, &rows[i], sizeof rows[i]);
  }
}

/// Rows to columns: to[d, i] = from[i, d] for i < n, d < dim.
void turn(
    const uint16_t* from,
    size_t from_stride,
    int n,
    int dim,
    uint16_t* to,
    size_t to_stride) {
  const int whole = dim / kSide * kSide;
  for (int i = 0; i < n; i += kSide) {
    const int some = std::min(kSide, n - i);
    const uint16_t* rows = from + i * from_stride;
    const int squares = some == kSide ? whole : 0;
    for (int d = 0; d < squares; d += kSide) {
      turn_square(rows + d, from_stride, to + d * to_stride + i, to_stride);
    }
    for (int d = squares; d < dim; d++) {
      for (int j = 0; j < some; j++) {
        to[d * to_stride + i + j] = rows[j * from_stride + d];
      }
    }
  }
}

/// The same of bytes, of which there are few.
void turn(
    const uint8_t* from,
    size_t from_stride,
    int n,
    int dim,
    uint8_t* to,
    size_t to_stride) {
  for (int d = 0; d < dim; d++) {
    for (int i = 0; i < n; i++) {
      to[d * to_stride + i] = from[i * from_stride + d];
    }
  }
}

} // namespace

template <class Element>
void rows_to_tiles(
    const Element* rows,
    size_t stride,
    int n,
    int dim,
    Element* tiles) {
  for (int t = 0; t < n; t += kTileTokens) {
    const int some = std::min(kTileTokens, n - t);
    Element* tile = tiles + static_cast<size_t>(t) * dim;
    turn(rows + t * stride, stride, some, dim, tile, kTileTokens);
  }
}

template <class Element>
void tiles_to_rows(
    const Element* tiles,
    int n,
    int dim,
    Element* rows,
    size_t stride) {
  for (int t = 0; t < n; t += kTileTokens) {
    const int some = std::min(kTileTokens, n - t);
    const Element* tile = tiles + static_cast<size_t>(t) * dim;
    turn(tile, kTileTokens, dim, some, rows + t * stride, stride);
  }
}

template void rows_to_tiles(const uint16_t*, size_t, int, int, uint16_t*);
template void rows_to_tiles(const uint8_t*, size_t, int, int, uint8_t*);
template void tiles_to_rows(const uint16_t*, int, int, uint16_t*, size_t);
template void tiles_to_rows(const uint8_t*, int, int, uint8_t*, size_t);

} // namespace stomp::cpu

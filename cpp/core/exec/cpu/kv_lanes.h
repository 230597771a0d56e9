// Pieces of K and V as lanes of f32: elements of each kind, their scales and
// biases, and the two ways in which attention reads them. Inside
// STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

// What a piece's codes must be multiplied by is left for when products have
// been added up over a group of kKvGroup dimensions, and so is their bias.

/// Scales of kLanes tokens from `token` on, for one group of dimensions.
template <KvElement E>
STOMP_INLINE F32 scales_at(
    const AttentionPiece& piece,
    const uint16_t* scales,
    int g,
    int token) {
  if (!scales) {
    return F32{};
  }
  const F32 own =
      from_f16(scales + g * piece.scale_stride + token % kTileTokens);
  return E == KvElement::kCode8 ? own * (1.0f / kKvCodes) : own;
}

/// Biases of kLanes tokens.
STOMP_INLINE F32 biases_at(
    const AttentionPiece& piece,
    const uint16_t* scales,
    int g,
    int token) {
  return scales ? from_f16(
                      scales + piece.biases_at() + g * piece.scale_stride +
                      token % kTileTokens)
                : F32{};
}

/// kLanes elements from the i-th on.
template <KvElement E>
STOMP_INLINE F32 elements(const void* from, int i) {
  const auto* p = static_cast<const uint8_t*>(from) + kv_bytes(E, i);
  if constexpr (E == KvElement::kF16) {
    return from_f16(reinterpret_cast<const uint16_t*>(p));
  } else if constexpr (E == KvElement::kCode8) {
    return from_i8(reinterpret_cast<const int8_t*>(p));
  } else {
    return from_pairs(p);
  }
}

/// Dimension d of kLanes tokens of a tile of K.
template <KvElement E>
STOMP_INLINE F32 keys(const void* tile, int d, int token) {
  if constexpr (E == KvElement::kCode4) {
    const auto* p = static_cast<const uint8_t*>(tile);
    return from_halves(p + d / 2 * kTileTokens + token, d % 2 != 0);
  } else {
    return elements<E>(tile, d * kTileTokens + token);
  }
}

/// The piece in f32: for rows enough to share the conversion.
template <KvElement E>
struct Widened {
  static constexpr KvElement kElement = E;
  const AttentionPiece& piece;
  const float* k; // (head_dim, kPieceTokens)
  const float* v; // (kPieceTokens, padded)
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE void fetch_k(int) const {}
  STOMP_INLINE void fetch_v(int) const {}
  STOMP_INLINE F32 k_lanes(int d, int token) const {
    return load<F32>(k + d * kPieceTokens + token);
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    return load<F32>(v + token * padded + d);
  }
};

/// The piece as it lies in the pool: for a few rows, which convert it as they
/// go. REQUIRES: all tiles there are, head_dim a multiple of kBlockColumns.
template <KvElement E>
struct Stored {
  static constexpr KvElement kElement = E;
  static constexpr int kLine = 64;
  const AttentionPiece& piece;
  const AttentionPiece& next; // to fetch, line by line, meanwhile
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE void fetch_k(int d) const {
    const int at = kv_bytes(E, d * kTileTokens);
    if (at % kLine == 0) {
      STOMP_UNROLL
      for (int i = 0; i < kPieceTokens / kTileTokens; i++) {
        __builtin_prefetch(static_cast<const char*>(next.k[i]) + at);
      }
    }
  }
  STOMP_INLINE void fetch_v(int token) const {
    const int bytes = kv_bytes(E, head_dim);
    const auto* row = static_cast<const char*>(next.v[token / kTileTokens]) +
        token % kTileTokens * bytes;
    for (int i = 0; i < bytes; i += kLine) {
      __builtin_prefetch(row + i);
    }
  }
  STOMP_INLINE F32 k_lanes(int d, int token) const {
    return keys<E>(piece.k[token / kTileTokens], d, token % kTileTokens);
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    const int i = (token % kTileTokens) * head_dim + d;
    return elements<E>(piece.v[token / kTileTokens], i);
  }
};

/// One row of V; lanes past head_dim become zero.
template <KvElement E>
STOMP_INLINE void
widen_v(const void* from, int head_dim, int padded, float* to) {
  int d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    store(to + d, elements<E>(from, d));
  }
  if (d < head_dim) {
    uint8_t rest[kv_bytes(KvElement::kF16, kLanes)] = {};
    const auto* last = static_cast<const uint8_t*>(from) + kv_bytes(E, d);
    __builtin_memcpy(rest, last, kv_bytes(E, head_dim - d));
    store(to + d, elements<E>(rest, 0));
    d += kLanes;
  }
  for (; d < padded; d++) {
    to[d] = 0;
  }
}

template <KvElement E>
void widen_k(const void* from, int head_dim, float* to) {
  for (int d = 0; d < head_dim; d++, to += kPieceTokens) {
    STOMP_UNROLL
    for (int i = 0; i < kTileTokens; i += kLanes) {
      store(to + i, from ? keys<E>(from, d, i) : F32{});
    }
  }
}

/// Tiles that are not there become zeros: with weight 0 they add nothing.
template <KvElement E>
void widen(const AttentionPiece& piece, int padded, float* k, float* v) {
  const int dim = piece.head_dim;
  for (int tile = 0; tile * kTileTokens < kPieceTokens; tile++) {
    const int first = tile * kTileTokens;
    if (piece.next && piece.next->k[tile]) {
      const int bytes = kv_bytes(E, dim * kTileTokens);
      fetch(piece.next->k[tile], bytes);
      fetch(piece.next->v[tile], bytes);
    }
    widen_k<E>(piece.k[tile], dim, k + first);
    const auto* values = static_cast<const uint8_t*>(piece.v[tile]);
    for (int t = 0; t < kTileTokens && first + t < piece.n_tokens; t++) {
      float* to = v + (first + t) * padded;
      if (values) {
        widen_v<E>(values + t * kv_bytes(E, dim), dim, padded, to);
      } else {
        __builtin_memset(to, 0, padded * sizeof(float));
      }
    }
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

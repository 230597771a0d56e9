// The matrix units' tile registers. Inside STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_per_row[16] = {};
  uint8_t rows[16] = {};
};

/// All eight tiles 16 rows of 64 bytes: bf16 products.
constexpr TileConfig whole_tiles() {
  TileConfig config;
  for (int t = 0; t < 8; t++) {
    config.bytes_per_row[t] = 64;
    config.rows[t] = 16;
  }
  return config;
}

constexpr TileConfig kWholeTiles = whole_tiles();

/// The calling thread has tiles while this lives. To take them anew is cheap
/// next to a call of a kernel; a thread that keeps them is slower to switch.
class TilesInUse {
 public:
  STOMP_INLINE TilesInUse() { _tile_loadconfig(&kWholeTiles); }
  STOMP_INLINE ~TilesInUse() { _tile_release(); }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

/// Two rows of 16 floats, rounded, side by side as bf16 in each lane of 32
/// bits: the order in which the units take pairs of K.
STOMP_INLINE __m512i halves_of(const U32& even, const U32& odd) {
  constexpr __mmask64 kLow = 0x3333333333333333;
  const __m512i down =
      _mm512_set4_epi32(0x0f0e0f0e, 0x0b0a0b0a, 0x07060706, 0x03020302);
  return _mm512_mask_shuffle_epi8((__m512i)odd, kLow, (__m512i)even, down);
}

/// To the nearest bf16, halves to the even one, which the bits cut off in
/// halves_of() do not change. The processor's own conversion takes longer.
STOMP_INLINE U32 rounded(const F32& x) {
  const auto bits = (__m512i)x;
  const __mmask16 odd =
      _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i near = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  return (U32)_mm512_mask_add_epi32(near, odd, near, _mm512_set1_epi32(1));
}

STOMP_INLINE __m512i pairs_of(const F32& even, const F32& odd) {
  return halves_of(rounded(even), rounded(odd));
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

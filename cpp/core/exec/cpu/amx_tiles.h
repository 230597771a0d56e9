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

/// Two rows of 16 floats as bf16, to the nearest, side by side in each lane of
/// 32 bits: the order in which the units take pairs of K.
STOMP_INLINE __m512i pairs_of(const F32& even, const F32& odd) {
  // The instruction puts all of `even` before all of `odd`.
  const __m512i order = _mm512_set_epi16(
      31,
      15,
      30,
      14,
      29,
      13,
      28,
      12,
      27,
      11,
      26,
      10,
      25,
      9,
      24,
      8,
      23,
      7,
      22,
      6,
      21,
      5,
      20,
      4,
      19,
      3,
      18,
      2,
      17,
      1,
      16,
      0);
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
  return _mm512_permutexvar_epi16(order, both);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

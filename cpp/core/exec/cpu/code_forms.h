// What the codes of quantised weights are, as a parameter of the kernels that
// read them. Inside STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

// A form has
//   kBits        of a code in memory
//   kValueBits   of what it stands for, as Dots takes it
//   values()     of codes, one a byte

/// Codes that stand for themselves.
template <int Bits>
struct Plain {
  static constexpr int kBits = Bits;
  static constexpr int kValueBits = Bits;

  STOMP_INLINE static U8 values(const U8& codes) { return codes; }
};

/// Those of E2M1: 12 more than twice 0, .5, 1, 1.5, 2, 3, 4, 6 and, from 8 on,
/// their negatives.
struct E2m1 {
  static constexpr int kBits = 4;
  static constexpr int kValueBits = 8;

#if defined(__AVX2__) || defined(__ARM_NEON)
  static constexpr uint8_t kValues[16] =
      {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
#endif

  STOMP_INLINE static U8 values(const U8& codes) {
#if defined(__AVX512BW__)
    const __m512i table = _mm512_broadcast_i32x4(load<__m128i>(kValues));
    return (U8)_mm512_shuffle_epi8(table, (__m512i)codes);
#elif defined(__AVX2__)
    const __m256i table = _mm256_broadcastsi128_si256(load<__m128i>(kValues));
    return (U8)_mm256_shuffle_epi8(table, (__m256i)codes);
#elif defined(__ARM_NEON)
    return (U8)vqtbl1q_u8(load<uint8x16_t>(kValues), (uint8x16_t)codes);
#else
    // 5, 6 and 7 are 1, 2 and 5 more than themselves.
    const U8 low = codes & 7;
    const U8 twice = low + ((U8)(low > 4) & (low - 4)) + ((U8)(low > 6) & 2);
    const U8 negative = (U8)(codes > 7);
    return 12 + ((twice ^ negative) - negative);
#endif
  }
};

} // namespace stomp::cpu::STOMP_KERNEL_ISA

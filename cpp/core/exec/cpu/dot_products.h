// Sums of products of unsigned weight codes and signed activations, exact, in
// whatever way the instruction set has. Inside STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

/// Four neighbouring activations to every lane of 32 bits.
STOMP_INLINE I8 quad(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return (I8)splat<I32>(four);
}

// Dots<Bits> gathers one row's products for kLanes columns:
//   add(codes, four)   codes lane by lane times four activations
//   total()            of all that was added
// Codes have Bits bits, activations are within [-127, 127]; at most eight
// calls of add() to a total().

#if defined(__AVX512VNNI__)

template <int Bits>
struct Dots {
  I32 sums{};

  STOMP_INLINE void add(const U8& codes, const int8_t* x) {
    // By hand: compilers repeat the four bytes in an instruction of its own.
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(sums)
            : "v"(codes), "m"(*reinterpret_cast<const int32_t*>(x)));
  }
  STOMP_INLINE I32 total() const { return sums; }
};

#elif defined(__AVX2__)

// Products are added in pairs to 16 bits: 8 * 2 * 15 * 127 still fits, so
// codes of 8 bits are taken as two of 4.
template <int Bits>
struct Dots {
  I16 low{};
  I16 high{};

  /// Sums are formed here and now: GCC would rather form all products first,
  /// for which there are no registers.
  STOMP_INLINE static void add_pairs(I16& sums, const U8& codes, const I8& x) {
    sums += (I16)_mm256_maddubs_epi16((__m256i)codes, (__m256i)x);
    __asm__("" : "+x"(sums));
  }
  STOMP_INLINE static I32 widen(const I16& sums) {
    return (I32)_mm256_madd_epi16((__m256i)sums, _mm256_set1_epi16(1));
  }
  STOMP_INLINE void add(const U8& codes, const int8_t* four) {
    const I8 x = quad(four);
    if constexpr (Bits == 8) {
      add_pairs(low, codes & 15, x);
      add_pairs(high, (U8)((U16)codes >> 4) & 15, x);
    } else {
      add_pairs(low, codes, x);
    }
  }
  STOMP_INLINE I32 total() const {
    return Bits == 8 ? widen(low) + (widen(high) << 4) : widen(low);
  }
};

#elif defined(__ARM_FEATURE_DOTPROD)

// The instruction multiplies signed by signed: codes of 8 bits are taken as
// two of 4.
template <int Bits>
struct Dots {
  I32 low{};
  I32 high{};

  STOMP_INLINE static I32 dot(const I32& sums, const U8& codes, const I8& x) {
    return (I32)vdotq_s32((int32x4_t)sums, (int8x16_t)codes, (int8x16_t)x);
  }
  STOMP_INLINE void add(const U8& codes, const int8_t* four) {
    const I8 x = quad(four);
    if constexpr (Bits == 8) {
      low = dot(low, codes & 15, x);
      high = dot(high, codes >> 4, x);
    } else {
      low = dot(low, codes, x);
    }
  }
  STOMP_INLINE I32 total() const { return low + (high << 4); }
};

#else

template <int Bits>
struct Dots {
  I32 sums{};

  /// Products of 16-bit lanes, neighbours added.
  STOMP_INLINE static I32 pairs(const I16& a, const I16& b) {
#if defined(__x86_64__)
    return (I32)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const I32 x = (I32)a;
    const I32 y = (I32)b;
    return ((I32)((U32)x << 16) >> 16) * ((I32)((U32)y << 16) >> 16) +
        (x >> 16) * (y >> 16);
#endif
  }
  STOMP_INLINE void add(const U8& codes, const int8_t* four) {
    const I8 x = quad(four);
    const U16 c = (U16)codes;
    const I16 a = (I16)x;
    sums += pairs((I16)(c & 255), (I16)((U16)a << 8) >> 8) +
        pairs((I16)(c >> 8), a >> 8);
  }
  STOMP_INLINE I32 total() const { return sums; }
};

#endif

} // namespace stomp::cpu::STOMP_KERNEL_ISA

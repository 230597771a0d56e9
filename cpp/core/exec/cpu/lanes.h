// Fixed-width lanes for the kernels, in the vector types that GCC and Clang
// share. Each kernels_*.cc is compiled once per instruction set, into the
// namespace STOMP_KERNEL_ISA; nothing here may leave that namespace.
//
// These files include no header with functions the linker could merge across
// instruction sets, and call none: a copy compiled for AVX-512 must not end up
// serving a machine without it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "exec/cpu/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef STOMP_KERNEL_ISA
#define STOMP_KERNEL_ISA portable
#endif

#if defined(__clang__)
#define STOMP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define STOMP_UNROLL _Pragma("GCC unroll 16")
#endif

namespace stomp::cpu::STOMP_KERNEL_ISA {

// Widest registers of the instruction set.
#if defined(__AVX512BW__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

inline constexpr int kLanes = kVectorBytes / 4;

template <int... I>
struct Numbers {};

/// 0 to n - 1.
template <int n, int... I>
struct NumbersUpTo : NumbersUpTo<n - 1, n - 1, I...> {};
template <int... I>
struct NumbersUpTo<0, I...> {
  using All = Numbers<I...>;
};
template <int n>
using UpTo = typename NumbersUpTo<n>::All;

typedef float F32 __attribute__((vector_size(kVectorBytes)));
typedef int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));
typedef int16_t I16 __attribute__((vector_size(kVectorBytes)));
typedef uint16_t U16 __attribute__((vector_size(kVectorBytes)));
typedef int8_t I8 __attribute__((vector_size(kVectorBytes)));
typedef uint8_t U8 __attribute__((vector_size(kVectorBytes)));
typedef uint16_t H16 __attribute__((vector_size(kVectorBytes / 2)));
typedef int8_t Q8 __attribute__((vector_size(kVectorBytes / 4)));
typedef uint8_t UQ8 __attribute__((vector_size(kVectorBytes / 4)));
typedef uint64_t U64 __attribute__((vector_size(kVectorBytes)));

template <class V>
STOMP_INLINE V load(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V>
STOMP_INLINE void store(void* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof v);
}

template <class V, class T>
STOMP_INLINE V splat(T x) {
  return V{} + x;
}

STOMP_INLINE F32 splat(float x) {
  // Not F32{} + x, which would lose the sign of a zero.
  return x - F32{};
}

/// a * b + c, rounded once. Where the instruction set has no such operation
/// each lane goes through the C library, which every one of them agrees with.
STOMP_INLINE F32 fma(const F32& a, const F32& b, const F32& c) {
#if defined(__AVX512F__)
  return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
  return (F32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  F32 out;
  for (int i = 0; i < kLanes; i++) {
    out[i] = __builtin_fmaf(a[i], b[i], c[i]);
  }
  return out;
#endif
}

/// kLanes values of 16 bits.
STOMP_INLINE U32 from_u16(const void* p) {
#if defined(__ARM_NEON)
  // GCC 12 converts half a register piece by piece.
  return (U32)vmovl_u16((uint16x4_t)load<H16>(p));
#else
  return __builtin_convertvector(load<H16>(p), U32);
#endif
}

/// kLanes f16 values, exactly.
STOMP_INLINE F32 from_f16(const uint16_t* p) {
#if defined(__AVX512F__)
  // Not _mm512_cvtph_ps, for which GCC 12 warns of its own header.
  return (F32)_mm512_maskz_cvtph_ps(0xffff, load<__m256i>(p));
#elif defined(__F16C__)
  return (F32)_mm256_cvtph_ps(load<__m128i>(p));
#elif defined(__aarch64__)
  return (F32)vcvt_f32_f16((float16x4_t)load<H16>(p));
#else
  const U32 h = from_u16(p);
  const U32 sign = (h & 0x8000u) << 16;
  const U32 magnitude = (h & 0x7fffu) << 13;
  const U32 exponent = magnitude & 0x0f800000u;
  const U32 rebias = splat<U32>(0x38000000u);
  const U32 normal =
      magnitude + rebias + (exponent == 0x0f800000u ? rebias : splat<U32>(0u));
  const F32 tiny =
      (F32)(magnitude + 0x38800000u) - (F32)splat<U32>(0x38800000u);
  return (F32)(sign | (exponent == 0u ? (U32)tiny : normal));
#endif
}

/// kLanes int8 values.
STOMP_INLINE F32 from_i8(const int8_t* p) {
  // Not by __builtin_convertvector alone, which GCC 12 does piece by piece.
#if defined(__AVX512F__)
  const auto wide = (I32)_mm512_maskz_cvtepi8_epi32(0xffff, load<__m128i>(p));
#elif defined(__AVX2__)
  const auto wide = (I32)_mm256_cvtepi8_epi32(
      _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__ARM_NEON)
  const int8x8_t four = vcreate_s8(load<uint32_t>(p));
  const auto wide = (I32)vmovl_s16(vget_low_s16(vmovl_s8(four)));
#else
  const I32 wide = __builtin_convertvector(load<Q8>(p), I32);
#endif
  return __builtin_convertvector(wide, F32);
}

/// kLanes codes of 4 bits: the low or the high halves of so many bytes.
STOMP_INLINE F32 from_halves(const uint8_t* p, bool high) {
#if defined(__AVX512F__)
  const auto wide = (U32)_mm512_maskz_cvtepu8_epi32(0xffff, load<__m128i>(p));
#elif defined(__AVX2__)
  const auto wide = (U32)_mm256_cvtepu8_epi32(
      _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__ARM_NEON)
  const uint8x8_t four = vcreate_u8(load<uint32_t>(p));
  const auto wide = (U32)vmovl_u16(vget_low_u16(vmovl_u8(four)));
#else
  const U32 wide = __builtin_convertvector(load<UQ8>(p), U32);
#endif
  const U32 code = wide >> (high ? 4u : 0u) & 15u;
  return __builtin_convertvector((I32)code, F32);
}

/// kLanes codes of 4 bits, two in each byte.
STOMP_INLINE F32 from_pairs(const uint8_t* p) {
#if defined(__AVX512F__)
  const auto wide = (U64)_mm512_maskz_cvtepu8_epi64(
      0xff, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  const auto wide =
      (U64)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(load<int32_t>(p)));
#else
  const U64 wide = {p[0], p[1]};
#endif
  const auto code = (I32)((wide | wide << 28) & 0x0000000f0000000fu);
  return __builtin_convertvector(code, F32);
}

/// Brings what lies at `p` closer: its pages the processor does not foresee.
STOMP_INLINE void fetch(const void* p, int bytes) {
  constexpr int kLine = 64;
  for (int i = 0; i < bytes; i += kLine) {
    __builtin_prefetch(static_cast<const char*>(p) + i);
  }
}

/// Sixteen floats, however many registers that takes: the unit in which
/// everything is summed.
struct Wide {
  static constexpr int kParts = 16 / kLanes;
  F32 part[kParts];

  STOMP_INLINE static Wide zero() {
    Wide w;
    for (F32& p : w.part) {
      p = F32{};
    }
    return w;
  }
  STOMP_INLINE static Wide at(const float* p) {
    Wide w;
    for (int i = 0; i < kParts; i++) {
      w.part[i] = load<F32>(p + i * kLanes);
    }
    return w;
  }
};

/// Calls f(part of a, part of b, ...) for each register.
template <class F, class... W>
STOMP_INLINE Wide each(F f, const W&... w) {
  Wide out;
  STOMP_UNROLL
  for (int i = 0; i < Wide::kParts; i++) {
    out.part[i] = f(w.part[i]...);
  }
  return out;
}

/// Lane i becomes lane i + N, around the end.
template <int N, class V, int... I>
STOMP_INLINE V turned(const V& v, Numbers<I...>) {
  return __builtin_shufflevector(v, v, ((I + N) % kLanes)...);
}

/// All lanes by f(V, V), which is one operation in each lane: halves folded
/// onto each other until one lane is left.
template <class V, class F, int N = kLanes / 2>
STOMP_INLINE auto folded(const V& v, F f) {
  if constexpr (N == 0) {
    return v[0];
  } else {
    return folded<V, F, N / 2>(f(v, turned<N>(v, UpTo<kLanes>{})), f);
  }
}

/// The sum of sixteen lanes: halves folded onto each other, four times.
STOMP_INLINE float sum(const Wide& w) {
  F32 part[Wide::kParts];
  __builtin_memcpy(part, &w, sizeof part);
  STOMP_UNROLL
  for (int n = Wide::kParts / 2; n > 0; n /= 2) {
    STOMP_UNROLL
    for (int i = 0; i < n; i++) {
      part[i] += part[i + n];
    }
  }
  return folded(
      part[0], [](const F32& a, const F32& b) __attribute__((always_inline)) {
        return a + b;
      });
}

/// e^x within 2 units in the last place; 0 below -64, e^88 above 88, NaN for
/// NaN, and exactly 1 for 0. No lane ever holds a denormal.
STOMP_INLINE F32 exp(const F32& value) {
  const F32 x = value > 88.0f ? splat(88.0f) : value;
  // Adding 1.5 * 2^23 rounds to an integer, which the low bits then hold.
  const F32 magic = splat(12582912.0f);
  const F32 shifted = fma(x, splat(1.44269504f), magic);
  const F32 n = shifted - magic;
  const F32 power = (F32)(((I32)shifted - (0x4b400000 - 127)) << 23);
  // ln 2 in two parts, the first short enough for n times it to be exact.
  const F32 r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), x));
  // (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], interpolated at Chebyshev
  // nodes: within 1e-8 before rounding.
  F32 p = splat(1.392625083e-3f);
  p = fma(p, r, splat(8.363232884e-3f));
  p = fma(p, r, splat(4.166655421e-2f));
  p = fma(p, r, splat(1.666657667e-1f));
  p = fma(p, r, splat(0.5f));
  p = fma(p * r, r, r) + 1.0f;
  return value < -64.0f ? F32{} : p * power;
}

/// A feed-forward's gate and up, see model/activation.h. What is no number
/// stays none.
template <Activation A>
STOMP_INLINE F32 activated(const F32& gate, const F32& up) {
  if constexpr (A == Activation::kSilu) {
    return gate / (exp(-gate) + 1.0f) * up;
  } else if constexpr (A == Activation::kGeluTanh) {
    // (1 + tanh(y)) / 2 is sigmoid(2 y), y = sqrt(2 / pi) (g + 0.044715 g^3).
    const F32 y =
        gate * fma(gate * gate, splat(0.071354816273f), splat(1.595769121606f));
    return gate / (exp(-y) + 1.0f) * up;
  } else {
    const F32 g = gate > 7.0f ? splat(7.0f) : gate;
    const F32 low = up < -7.0f ? splat(-7.0f) : up;
    const F32 u = low > 7.0f ? splat(7.0f) : low;
    return g / (exp(g * -1.702f) + 1.0f) * (u + 1.0f);
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

// Keys and values as the cache keeps them: f16 or codes. See lanes.h for how
// this is compiled.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

STOMP_INLINE uint16_t f16_of(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Half an ulp less one, plus the last kept bit, rounds to even.
  const uint32_t normal =
      (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  float denormal;
  __builtin_memcpy(&denormal, &magnitude, sizeof denormal);
  denormal += 0.5f;
  uint32_t tiny;
  __builtin_memcpy(&tiny, &denormal, sizeof tiny);
  uint32_t out = magnitude < 0x38800000u ? tiny - 0x3f000000u : normal;
  out = magnitude >= 0x47800000u ? 0x7c00u : out;
  out = magnitude > 0x7f800000u ? 0x7e00u : out;
  return static_cast<uint16_t>(((bits >> 16) & 0x8000u) | out);
}

float f32_of(uint16_t half) {
  uint16_t lanes[kLanes] = {half};
  return from_f16(lanes)[0];
}

/// Largest magnitude of n values, compared as integers: a NaN is above all.
uint32_t largest_bits(const float* x, int n) {
  int32_t top = 0;
  for (int i = 0; i < n; i++) {
    int32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    top = bits > top ? bits : top;
  }
  return static_cast<uint32_t>(top);
}

/// To the nearest integer within [least, most].
STOMP_INLINE int32_t code_of(float x, int32_t least, int32_t most) {
  // Adding 1.5 * 2^23 rounds, and the low bits of the sum hold the result.
  const float shifted = x + 12582912.0f;
  int32_t code;
  __builtin_memcpy(&code, &shifted, sizeof code);
  code -= 0x4b400000;
  code = code > most ? most : code;
  return code < least ? least : code;
}

STOMP_INLINE int group_at(int first, int n) {
  return n - first < kKvGroup ? n - first : kKvGroup;
}

// Below, codes are of no use: the scale would be next to nothing in f16.
constexpr float kLeastTop = 0x1p-17f;
constexpr uint32_t kHalfInfinity = 0x477ff000; // what f16 rounds to infinity
constexpr uint16_t kHalfNan = 0x7e00;

} // namespace

void to_f16(const float* x, int n, uint16_t* out) {
  for (int i = 0; i < n; i++) {
    out[i] = f16_of(x[i]);
  }
}

void quantise_kv8(
    const float* x,
    int n,
    int8_t* codes,
    uint16_t* scales,
    int stride) {
  for (int first = 0; first < n; first += kKvGroup, scales += stride) {
    const int some = group_at(first, n);
    const uint32_t bits = largest_bits(x + first, some);
    float top;
    __builtin_memcpy(&top, &bits, sizeof top);
    // As it will be read: the largest value is then a whole code.
    *scales = f16_of(top);
    float read = f32_of(*scales);
    if (read < kLeastTop) {
      *scales = 0;
      read = 0;
    }
    const float inverse = read > 0 ? static_cast<float>(kKvCodes) / read : 0.0f;
    for (int i = first; i < first + some; i++) {
      codes[i] =
          static_cast<int8_t>(code_of(x[i] * inverse, -kKvCodes, kKvCodes));
    }
  }
}

namespace {

struct Range {
  float least;
  float most;
};

Range range_of(const float* x, int n) {
  Range range{x[0], x[0]};
  for (int i = 1; i < n; i++) {
    range.least = x[i] < range.least ? x[i] : range.least;
    range.most = x[i] > range.most ? x[i] : range.most;
  }
  return range;
}

} // namespace

void quantise_kv4(
    const float* x,
    int n,
    uint8_t* codes,
    uint16_t* scales,
    uint16_t* biases,
    int stride) {
  for (int first = 0; first < n; first += kKvGroup) {
    const int some = group_at(first, n);
    const Range range = range_of(x + first, some);
    // Both as they will be read: what one loses the next makes up for.
    *biases = f16_of(range.least);
    const float bias = f32_of(*biases);
    const float width = range.most > bias ? range.most - bias : 0.0f;
    *scales = f16_of(width / static_cast<float>(kKvSmallCodes));
    if (largest_bits(x + first, some) >= kHalfInfinity) {
      *scales = *biases = kHalfNan;
    }
    const float scale = f32_of(*scales);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (int i = first; i < first + some; i += 2) {
      const int32_t low = code_of((x[i] - bias) * inverse, 0, kKvSmallCodes);
      const int32_t high =
          code_of((x[i + 1] - bias) * inverse, 0, kKvSmallCodes);
      codes[i / 2] = static_cast<uint8_t>(low | high << 4);
    }
    scales += stride;
    biases += stride;
  }
}

namespace {

/// Lane i plus and minus lane i ^ Step, in the place of the two.
template <int Step, int... I>
STOMP_INLINE F32 crossed(const F32& x, Numbers<I...>) {
  const F32 signs = {(I & Step ? -1.0f : 1.0f)...};
  return __builtin_shufflevector(x, x, (I ^ Step)...) + x * signs;
}

/// All steps within a register, the widest first.
template <int Step = kLanes / 2>
STOMP_INLINE F32 crossed_all(const F32& x) {
  if constexpr (Step == 0) {
    return x;
  } else {
    return crossed_all<Step / 2>(crossed<Step>(x, UpTo<kLanes>{}));
  }
}

/// A Hadamard matrix, unscaled, times n values, n a power of two.
void cross(float* x, int n) {
  const bool wide = n >= 16;
  for (int step = n / 2; step >= (wide ? kLanes : 1); step /= 2) {
    for (int i = 0; i < n; i += 2 * step) {
      for (int j = i; j < i + step; j++) {
        const float a = x[j];
        const float b = x[j + step];
        x[j] = a + b;
        x[j + step] = a - b;
      }
    }
  }
  for (int i = 0; wide && i < n; i += kLanes) {
    store(x + i, crossed_all(load<F32>(x + i)));
  }
}

} // namespace

void spread(float* head, int n) {
  const int lowest_bit = n & -n;
  const int size = lowest_bit < kKvGroup ? lowest_bit : kKvGroup;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
  for (int i = 0; i < n; i += size) {
    cross(head + i, size);
  }
  for (int i = 0; i < n; i++) {
    head[i] *= scale;
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

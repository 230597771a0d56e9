// Kernels over one row of activations. See lanes.h for how this is compiled.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

constexpr int kWide = 16;

/// Calls f(i, n) for the whole stretches of sixteen, then for the rest.
template <class Whole, class Rest>
STOMP_INLINE void stretches(int n, Whole whole, Rest rest) {
  int i = 0;
  for (; i + kWide <= n; i += kWide) {
    whole(i);
  }
  if (i < n) {
    rest(i, n - i);
  }
}

/// n < 16 values, then zeros.
STOMP_INLINE Wide at_most(const float* p, int n) {
  float lane[kWide] = {};
  for (int i = 0; i < n; i++) {
    lane[i] = p[i];
  }
  return Wide::at(lane);
}

STOMP_INLINE void put(float* p, const Wide& w) {
  __builtin_memcpy(p, &w, sizeof w);
}

STOMP_INLINE void put(float* p, const Wide& w, int n) {
  __builtin_memcpy(p, &w, n * sizeof(float));
}

STOMP_INLINE Wide silu(const Wide& gate, const Wide& up) {
  return each(
      [](const F32& g, const F32& u)
          __attribute__((always_inline)) { return g / (exp(-g) + 1.0f) * u; },
      gate,
      up);
}

STOMP_INLINE Wide plus(const Wide& a, const Wide& b) {
  return each(
      [](const F32& x, const F32& y)
          __attribute__((always_inline)) { return x + y; },
      a,
      b);
}

/// Largest magnitude of a group. Compared as integers, where a NaN is larger
/// than infinity and so is never lost.
STOMP_INLINE float largest(const float* x) {
  I32 top{};
  STOMP_UNROLL
  for (int i = 0; i < kGroup; i += kLanes) {
    const I32 magnitude = load<I32>(x + i) & 0x7fffffff;
    top = magnitude > top ? magnitude : top;
  }
  int32_t lane[kLanes];
  store(lane, top);
  int32_t bits = 0;
  for (int32_t v : lane) {
    bits = v > bits ? v : bits;
  }
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// Codes of one group; returns their sum. In unsigned integers, which may wrap:
/// the codes of a group that holds no number mean nothing.
STOMP_INLINE int quantise_group(const float* x, float inverse, int16_t* codes) {
  U32 total{};
  STOMP_UNROLL
  for (int i = 0; i < kGroup; i += kLanes) {
    // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits of
    // the result then hold.
    const F32 shifted = load<F32>(x + i) * inverse + 12582912.0f;
    const U32 code = (U32)shifted - 0x4b400000u;
    total += code;
    store(codes + i, __builtin_convertvector(code, H16));
  }
  uint32_t lane[kLanes];
  store(lane, total);
  uint32_t sum = 0;
  for (uint32_t v : lane) {
    sum += v;
  }
  return static_cast<int>(sum);
}

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

} // namespace

void rms_norm(const float* x, const float* w, int n, float eps, float* out) {
  Wide squares = Wide::zero();
  const auto take = [&](const Wide& v) __attribute__((always_inline)) {
    squares = each(
        [](const F32& s, const F32& a)
            __attribute__((always_inline)) { return s + a * a; },
        squares,
        v);
  };
  stretches(
      n,
      [&](int i) { take(Wide::at(x + i)); },
      [&](int i, int rest) { take(at_most(x + i, rest)); });
  const float mean = sum(squares) / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(mean + eps);
  for (int i = 0; i < n; i++) {
    out[i] = x[i] * scale * w[i];
  }
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
  stretches(
      n,
      [&](int i) { put(out + i, silu(Wide::at(gate + i), Wide::at(up + i))); },
      [&](int i, int rest) {
        put(out + i,
            silu(at_most(gate + i, rest), at_most(up + i, rest)),
            rest);
      });
}

void add(float* x, const float* y, int n) {
  stretches(
      n,
      [&](int i) { put(x + i, plus(Wide::at(x + i), Wide::at(y + i))); },
      [&](int i, int rest) {
        put(x + i, plus(at_most(x + i, rest), at_most(y + i, rest)), rest);
      });
}

void quantise_row(const float* x, const QuantisedRows& out) {
  constexpr float kLargestCode = 32767;
  auto* codes = reinterpret_cast<int16_t*>(out.codes);
  for (int g = 0; g < out.cols / kGroup; g++) {
    const float top = largest(x + g * kGroup);
    const float scale = top / kLargestCode;
    // Below the smallest normal number the quotient would overflow: such a
    // group is zero for every purpose.
    const bool zero = top < 1e-30f;
    const float inverse = zero ? 0.0f : kLargestCode / top;
    const int total =
        quantise_group(x + g * kGroup, inverse, codes + g * kGroup);
    out.scales[g] = zero ? 0.0f : scale;
    out.sums[g] = zero ? 0.0f : scale * static_cast<float>(total);
  }
}

void to_f16(const float* x, int n, uint16_t* out) {
  for (int i = 0; i < n; i++) {
    out[i] = f16_of(x[i]);
  }
}

namespace {

/// The largest values seen, lane by lane, and whether there was a NaN.
struct Top {
  Wide value;
  I32 nan{};

  STOMP_INLINE Top() {
    for (F32& part : value.part) {
      part = splat(-__builtin_inff());
    }
  }
  STOMP_INLINE void take(const Wide& v) {
    STOMP_UNROLL
    for (int p = 0; p < Wide::kParts; p++) {
      F32& best = value.part[p];
      best = v.part[p] > best ? v.part[p] : best;
      nan |= v.part[p] != v.part[p]; // NOLINT(misc-redundant-expression)
    }
  }
  /// NaN if there was one.
  STOMP_INLINE float result() const {
    float lanes[kWide];
    put(lanes, value);
    float best = lanes[0];
    for (const float v : lanes) {
      best = v > best ? v : best;
    }
    int32_t bad = 0;
    for (int lane = 0; lane < kLanes; lane++) {
      bad |= nan[lane];
    }
    return bad ? __builtin_nanf("") : best;
  }
};

} // namespace

ArgMax arg_max(const float* x, int n) {
  Top top;
  int i = 0;
  for (; i + kWide <= n; i += kWide) {
    top.take(Wide::at(x + i));
  }
  for (; i < n; i++) {
    top.take(each([&](const F32&) { return splat(x[i]); }, top.value));
  }
  const float value = top.result();
  if (!__builtin_isfinite(value)) {
    return {value, -1};
  }
  int index = 0;
  while (x[index] != value) {
    index++;
  }
  return {value, index};
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

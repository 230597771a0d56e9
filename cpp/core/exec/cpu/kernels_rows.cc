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

template <Activation A>
STOMP_INLINE Wide activated_wide(const Wide& gate, const Wide& up) {
  return each(
      [](const F32& g, const F32& u)
          __attribute__((always_inline)) { return activated<A>(g, u); },
      gate,
      up);
}

template <Activation A>
void activate_row(const float* gate, const float* up, int n, float* out) {
  stretches(
      n,
      [&](int i) {
        put(out + i, activated_wide<A>(Wide::at(gate + i), Wide::at(up + i)));
      },
      [&](int i, int rest) {
        put(out + i,
            activated_wide<A>(at_most(gate + i, rest), at_most(up + i, rest)),
            rest);
      });
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
  const int32_t bits = folded(
      top, [](const I32& a, const I32& b) __attribute__((always_inline)) {
        return a > b ? a : b;
      });
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

/// Codes of one group; returns their sum. In unsigned integers, which may wrap:
/// the codes of a group that holds no number mean nothing.
STOMP_INLINE int quantise_group(const float* x, float inverse, int8_t* codes) {
  U32 total{};
  STOMP_UNROLL
  for (int i = 0; i < kGroup; i += kLanes) {
    // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits of
    // the result then hold.
    const F32 shifted = load<F32>(x + i) * inverse + 12582912.0f;
    const U32 code = (U32)shifted - 0x4b400000u;
    total += code;
    store(codes + i, __builtin_convertvector(code, Q8));
  }
  return static_cast<int>(folded(
      total, [](const U32& a, const U32& b) __attribute__((always_inline)) {
        return a + b;
      }));
}

} // namespace

void rms_norm(const float* x, const float* w, int n, float eps, float* out) {
  Wide squares = Wide::zero();
  const auto take = [&](const Wide& v) __attribute__((always_inline)) {
    squares = each(
        [](const F32& s, const F32& a)
            __attribute__((always_inline)) { return fma(a, a, s); },
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

void activate(
    Activation activation,
    const float* gate,
    const float* up,
    int n,
    float* out) {
  switch (activation) {
    case Activation::kSilu:
      return activate_row<Activation::kSilu>(gate, up, n, out);
    case Activation::kGeluTanh:
      return activate_row<Activation::kGeluTanh>(gate, up, n, out);
    case Activation::kClampedSwiglu:
      return activate_row<Activation::kClampedSwiglu>(gate, up, n, out);
  }
}

void quantise_row(const float* x, const QuantisedRows& out) {
  constexpr float kLargestCode = 127;
  QuantisedRows to = out;
  for (int k = 0; k < out.cols; k += kGroup, to = to.next_group()) {
    const float top = largest(x + k);
    // Below the smallest normal number the quotient would overflow: such a
    // group is zero for every purpose.
    const bool zero = top < 1e-30f;
    const float scale = zero ? 0.0f : top / kLargestCode;
    const float inverse = zero ? 0.0f : kLargestCode / top;
    const int total = quantise_group(x + k, inverse, to.codes);
    to.scales[0] = scale;
    to.sums[0] = scale * static_cast<float>(total);
  }
}

namespace {

/// Every lane's neighbour.
STOMP_INLINE F32 swapped(const F32& x) {
  const U64 pairs = (U64)x;
  return (F32)(pairs << 32 | pairs >> 32);
}

void rotate_neighbours(float* x, const RopeTurns& turns, float scale) {
  int i = 0;
  for (; i + kLanes <= turns.head_dim; i += kLanes) {
    const F32 own = load<F32>(x + i);
    const F32 other = swapped(own) * load<F32>(turns.sines + i);
    store(x + i, fma(own, load<F32>(turns.cosines + i), other) * scale);
  }
  for (; i < turns.head_dim; i += 2) {
    const float a = x[i];
    const float b = x[i + 1];
    const float* c = turns.cosines + i;
    const float* s = turns.sines + i;
    x[i] = __builtin_fmaf(a, c[0], b * s[0]) * scale;
    x[i + 1] = __builtin_fmaf(b, c[1], a * s[1]) * scale;
  }
}

void rotate_halves(float* x, const RopeTurns& turns, float scale) {
  const int half = turns.head_dim / 2;
  const float* c = turns.cosines;
  const float* s = turns.sines;
  int i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const F32 a = load<F32>(x + i);
    const F32 b = load<F32>(x + i + half);
    const F32 a_other = b * load<F32>(s + i);
    const F32 b_other = a * load<F32>(s + i + half);
    store(x + i, fma(a, load<F32>(c + i), a_other) * scale);
    store(x + i + half, fma(b, load<F32>(c + i + half), b_other) * scale);
  }
  for (; i < half; i++) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = __builtin_fmaf(a, c[i], b * s[i]) * scale;
    x[i + half] = __builtin_fmaf(b, c[i + half], a * s[i + half]) * scale;
  }
}

} // namespace

void rotate(float* head, const RopeTurns& turns, float scale) {
  (turns.interleaved ? rotate_neighbours : rotate_halves)(head, turns, scale);
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

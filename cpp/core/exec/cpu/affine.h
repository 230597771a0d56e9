// The scales and biases of a block of quantised weights. Inside
// STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

/// Scales and biases of kLanes columns.
struct Affine {
  F32 scale;
  F32 bias;
};

STOMP_INLINE F32
affine_lanes(const QuantisedLayout& layout, const std::byte* p, int column) {
  if (layout.f32_scales) {
    return load<F32>(p + 4 * column);
  }
  return from_f16(reinterpret_cast<const uint16_t*>(p) + column);
}

/// Of columns [column, column + kLanes) of the group at `p`.
STOMP_INLINE Affine
affine_at(const QuantisedLayout& layout, const std::byte* p, int column) {
  const F32 scale = affine_lanes(layout, p, column);
  if (!layout.biases) {
    return {scale, scale * -static_cast<float>(layout.centre)};
  }
  const int all = kBlockColumns * (layout.f32_scales ? 4 : 2);
  return {scale, affine_lanes(layout, p + all, column)};
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

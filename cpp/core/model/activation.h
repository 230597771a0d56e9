// What a feed-forward makes of its gate and up projections. Included by
// kernels that are compiled for one instruction set: nothing but the names.
#pragma once

#include <cstdint>

namespace stomp {

enum class Activation : uint8_t {
  kSilu,          // gate * sigmoid(gate) * up
  kGeluTanh,      // the tanh form of gelu(gate), times up
  kClampedSwiglu, // GPT-OSS: both clamped, gate * sigmoid(1.702 gate) * (up +
                  // 1)
};

} // namespace stomp

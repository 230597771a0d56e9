// As much of CUDA as cuda/ uses, for a C++ compiler: threads are fibres of the
// emulator (metal/emulator.h), warps its SIMD-groups.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "emulator.h"

#define __device__

struct __half {
  uint16_t bits;
};
struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __half2float(__half x) {
  return stomp::f16_to_f32(x.bits);
}
inline __half __float2half_rn(float x) {
  return {stomp::f32_to_f16(x)};
}
inline float __bfloat162float(__nv_bfloat16 x) {
  return stomp::bf16_to_f32(x.bits);
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  return {stomp::f32_to_bf16(x)};
}

using std::exp2f;
using std::fmaxf;
using std::min;

inline void __syncthreads(
    const emulator::Where& where = emulator::Where::current()) {
  emulator::barrier(where);
}

inline float __shfl_xor_sync(
    unsigned mask,
    float value,
    int bits,
    const emulator::Where& where = emulator::Where::current()) {
  if (mask != 0xffffffffu) {
    throw emulator::Fault("not all lanes are named");
  }
  const std::byte* all = emulator::exchange(&value, sizeof value, where);
  const unsigned other = emulator::current_lane() ^ static_cast<unsigned>(bits);
  std::memcpy(&value, all + other * emulator::kLaneBytes, sizeof value);
  return value;
}

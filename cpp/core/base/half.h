// f16 and bf16 to and from f32, in integer arithmetic and selects, so that
// loops over them vectorise and the result does not depend on the processor's
// flush-to-zero mode. Pure; any thread.
//
// Both directions follow IEEE 754: denormals, infinities and signed zeros are
// exact, rounding is to nearest, ties to even; a NaN stays a NaN, made quiet.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace stomp {

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & 0x0f800000u;
  // Re-bias the exponent by 112; by 112 more where it was all ones.
  const uint32_t normal =
      magnitude + 0x38000000u + (exponent == 0x0f800000u ? 0x38000000u : 0u);
  // 2^-14 + mantissa - 2^-14 normalises a denormal without reading one.
  const float tiny = std::bit_cast<float>(magnitude + 0x38800000u) -
      std::bit_cast<float>(0x38800000u);
  const uint32_t bits = exponent == 0 ? std::bit_cast<uint32_t>(tiny) : normal;
  const uint32_t quiet = magnitude > 0x0f800000u ? 0x00400000u : 0u;
  return std::bit_cast<float>(sign | bits | quiet);
}

inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Adding half an ulp less one, plus the last kept bit, rounds to even; a
  // carry into the exponent is right, up to infinity at 65520.
  const uint32_t normal =
      (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14 the sum with 0.5 leaves the rounded mantissa in the low bits.
  const uint32_t tiny =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
      0x3f000000u;
  const uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x01ffu);
  uint32_t out = magnitude < 0x38800000u ? tiny : normal;
  out = magnitude >= 0x47800000u ? 0x7c00u : out;
  out = magnitude > 0x7f800000u ? nan : out;
  return static_cast<uint16_t>(sign | out);
}

inline float bf16_to_f32(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x0040u;
  return static_cast<uint16_t>(
      (bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

} // namespace stomp

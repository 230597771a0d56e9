// What all kernels share: the function constants, and how an element is found
// and read. A head is read in chunks of 4 elements, which is 8 bytes of f16, a
// word of 8-bit codes, half a word of 4-bit codes, and never two groups of
// codes.
#pragma once

#include <metal_stdlib>

#include "paged_layout.h"

using namespace metal;

// The host fixes these when it makes a pipeline (metal_launch.h). What depends
// on them is computed in functions: nothing else at file scope may.
constant int head_dim [[function_constant(0)]];     // multiple of 16, <= 256
constant int block_tokens [[function_constant(1)]]; // of a block
constant int kv_bits [[function_constant(2)]];      // 8, 4: codes; 16: elements
constant int kv_group [[function_constant(3)]];   // elements a scale: 64 or 32
constant int tile_heads [[function_constant(4)]]; // query heads read K together
constant bool windowed [[function_constant(5)]];
constant bool has_sinks [[function_constant(6)]];

constexpr constant int kChunk = 4; // elements
constexpr constant int kLanes = 32;
// Attention gives a key or a query 8 lanes, of which each has every 8th chunk.
constexpr constant int kParts = 8;
constexpr constant int kKeysAtOnce = kLanes / kParts;
constexpr constant int kMaxPartChunks = 256 / kChunk / kParts;
constexpr constant int kMaxTileHeads = 4;
// Below every score, finite: pipelines may be compiled to assume that there are
// no infinities.
constexpr constant float kLowest = -3.0e38f;

/// The planes of K or V, (slots, kv_heads, width) each; scales and biases are
/// there for codes alone.
template <typename T>
struct KvPlanes {
  const device T* elements;
  const device half* scales;
  const device half* biases;
};

inline int head_chunks() {
  return head_dim / kChunk;
}

/// Four codes, first lowest.
inline uint4 read_codes(const device void* codes, size_t chunk) {
  if (kv_bits == 8) {
    const uint word = static_cast<const device uint*>(codes)[chunk];
    return uint4(word, word >> 8, word >> 16, word >> 24) & 0xffu;
  }
  const uint word = static_cast<const device ushort*>(codes)[chunk];
  return uint4(word, word >> 4, word >> 8, word >> 12) & 0xfu;
}

/// A chunk of the head in row `row` = slot * kv_heads + head of the planes.
template <typename T>
inline float4 read_chunk(KvPlanes<T> planes, size_t row, int chunk) {
  const size_t at = row * head_chunks() + chunk;
  if (kv_bits == 16) {
    return float4(
        reinterpret_cast<const device vec<T, 4>*>(planes.elements)[at]);
  }
  const size_t group = row * (head_dim / kv_group) + chunk * kChunk / kv_group;
  const float4 codes = float4(read_codes(planes.elements, at));
  return codes * float(planes.scales[group]) + float(planes.biases[group]);
}

/// The slot of the token at `offset` from the first block's first.
inline size_t slot_of(const device int* blocks, int offset) {
  return size_t(blocks[offset / block_tokens]) * block_tokens +
      offset % block_tokens;
}

/// The sum over the lanes that differ in `bits` of their number, in all of
/// them, the same to the bit.
inline float4 lane_sum(float4 x, ushort lowest, ushort highest) {
  for (ushort bit = lowest; bit <= highest; bit *= 2) {
    x += simd_shuffle_xor(x, bit);
  }
  return x;
}

// What a C++ compiler has to be told in words of its own: threadgroup memory by
// its index, and that the host knows a kernel by a name for each type.
#ifdef __METAL_VERSION__
#define PAGED_SHARED(index) [[threadgroup(index)]]
#define PAGED_KERNEL(name, kernel_of, ...)                                 \
  template [[host_name(name)]] [[kernel]] decltype(kernel_of<__VA_ARGS__>) \
      kernel_of<__VA_ARGS__>;
#endif

#define PAGED_KERNEL_FOR_ELEMENTS(name, kernel_of) \
  PAGED_KERNEL(name "_f16", kernel_of, half)       \
  PAGED_KERNEL(name "_bf16", kernel_of, bfloat)    \
  PAGED_KERNEL(name "_f32", kernel_of, float)

// What the kernels share: the shape they are compiled for, and how an element
// is found and read. A head is read in chunks of 8 elements: 16 bytes of 16-bit
// elements, two words of 8-bit codes, one of 4-bit codes, and never two groups
// of codes.
#pragma once

#include "paged_layout.h"

namespace paged {

constexpr int kChunk = 8; // elements
constexpr int kLanes = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
// A key has 8 lanes, of which each has every 8th chunk.
constexpr int kParts = 8;
constexpr int kKeysAtOnce = kLanes / kParts;
// Below every score, and finite: the difference of two is a number.
constexpr float kLowest = -3.0e38f;
// Scores are kept as exponents of 2, which the hardware has a function for.
constexpr float kLog2e = 1.44269504f;

/// What a kernel is compiled for. Array sizes are its own constants, `most_`,
/// so that arrays become registers; tests have a shape that is fixed later.
template <
    int HeadDim,
    int BlockTokens,
    int KvBits,
    int KvGroup,
    int TileHeads,
    bool HasSinks>
struct Shape {
  static constexpr int head_dim = HeadDim; // a multiple of 16, <= 256
  static constexpr int block_tokens = BlockTokens;
  static constexpr int kv_bits = KvBits;       // 8, 4: codes; 16: elements
  static constexpr int kv_group = KvGroup;     // elements that share a scale
  static constexpr int tile_heads = TileHeads; // read K and V together
  static constexpr bool has_sinks = HasSinks;
  static constexpr int most_heads = TileHeads;
  static constexpr int most_chunks =
      (HeadDim / kChunk + kParts - 1) / kParts; // of a lane
};

/// What a thread knows of itself.
struct Place {
  int x; // of its block
  int y;
  int z;
  int thread; // in its block
  int threads;

  __device__ int lane() const { return thread % kLanes; }
  __device__ int warp() const { return thread / kLanes; }
  __device__ int warps() const { return threads / kLanes; }
};

/// The planes of K or of V, (slots, kv_heads, width) each; scales and biases
/// are there for codes alone.
struct KvPlanes {
  const void* elements; // T, or codes in words of 32 bits, first lowest
  const __half* scales;
  const __half* biases;
};

/// So many elements that one instruction may move them.
template <typename T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Vector {
  T at[N];
};

struct Chunk {
  float at[kChunk];
};

__device__ inline float number(float x) {
  return x;
}

__device__ inline float number(__half x) {
  return __half2float(x);
}

__device__ inline float number(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

__device__ inline void round_to(float& to, float x) {
  to = x;
}

__device__ inline void round_to(__half& to, float x) {
  to = __float2half_rn(x);
}

__device__ inline void round_to(__nv_bfloat16& to, float x) {
  to = __float2bfloat16_rn(x);
}

/// A chunk as it is read: loads are begun for K and V before either is needed.
template <typename T>
struct Raw {
  Vector<T, kChunk> elements;
  Vector<unsigned, 2> codes;
  __half scale;
  __half bias;
};

/// Of the head in row `row` = slot * kv_heads + head.
template <typename T, typename S>
__device__ inline Raw<T> load_chunk(KvPlanes planes, size_t row, int chunk) {
  Raw<T> raw;
  const size_t at = row * (S::head_dim / kChunk) + chunk;
  if (S::kv_bits == 16) {
    raw.elements = static_cast<const Vector<T, kChunk>*>(planes.elements)[at];
    return raw;
  }
  if (S::kv_bits == 8) {
    raw.codes = static_cast<const Vector<unsigned, 2>*>(planes.elements)[at];
  } else {
    raw.codes.at[0] = static_cast<const unsigned*>(planes.elements)[at];
  }
  const size_t group =
      row * (S::head_dim / S::kv_group) + chunk * kChunk / S::kv_group;
  raw.scale = planes.scales[group];
  raw.bias = planes.biases[group];
  return raw;
}

/// Code i of a chunk.
template <typename S, typename T>
__device__ inline unsigned code_of(const Raw<T>& raw, int i) {
  if (S::kv_bits == 8) {
    return raw.codes.at[i / 4] >> (i % 4 * 8) & 0xffu;
  }
  return raw.codes.at[0] >> (i * 4) & 0xfu;
}

template <typename S, typename T>
__device__ inline Chunk numbers_of(const Raw<T>& raw) {
  Chunk chunk;
  if (S::kv_bits == 16) {
#pragma unroll
    for (int i = 0; i < kChunk; i++) {
      chunk.at[i] = number(raw.elements.at[i]);
    }
    return chunk;
  }
  const float scale = number(raw.scale);
  const float bias = number(raw.bias);
#pragma unroll
  for (int i = 0; i < kChunk; i++) {
    chunk.at[i] = float(code_of<S>(raw, i)) * scale + bias;
  }
  return chunk;
}

/// The slot of the token at `offset` from the first block's first.
template <typename S>
__device__ inline size_t slot_of(const int* blocks, int offset) {
  return size_t(blocks[offset / S::block_tokens]) * S::block_tokens +
      offset % S::block_tokens;
}

/// The sum over the lanes that differ in the bits `lowest` to `highest` of
/// their number, in all of them, the same to the bit.
__device__ inline float lane_sum(float x, int lowest, int highest) {
#pragma unroll
  for (int bit = lowest; bit <= highest; bit *= 2) {
    x += __shfl_xor_sync(kAllLanes, x, bit);
  }
  return x;
}

__device__ inline float lane_max(float x, int lowest, int highest) {
#pragma unroll
  for (int bit = lowest; bit <= highest; bit *= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, bit));
  }
  return x;
}

} // namespace paged

// New rows of K or V into the pool, in place: a SIMD-group writes one head of
// one row, as it is or as affine codes (MLX's `quantize`, mode "affine").
#include "paged_kernel.h"

/// Where a group's codes begin and how far apart they are.
struct CodeScale {
  float scale;
  float bias;
};

/// As MLX's CPU device does it: the end of [low, high] that is farther from 0
/// gets a code that stands for it exactly, and the scale is as large as that
/// allows.
inline CodeScale code_scale(float low, float high) {
  const float top = kv_bits == 8 ? 255.0f : 15.0f;
  const bool low_is_edge = metal::abs(low) > metal::abs(high);
  const float size = metal::max((high - low) / top, 1e-7f);
  const float scale = low_is_edge ? size : -size;
  const float edge = low_is_edge ? low : high;
  const float steps = metal::rint(edge / scale);
  if (steps == 0.0f) {
    return {scale, 0.0f};
  }
  return {edge / steps, edge};
}

/// The smallest and the largest of a group, which lies in neighbouring lanes.
inline float2 group_range(float4 x) {
  float low = metal::min(metal::min(x[0], x[1]), metal::min(x[2], x[3]));
  float high = metal::max(metal::max(x[0], x[1]), metal::max(x[2], x[3]));
  for (ushort bit = 1; bit < kv_group / kChunk; bit *= 2) {
    low = metal::min(low, simd_shuffle_xor(low, bit));
    high = metal::max(high, simd_shuffle_xor(high, bit));
  }
  return float2(low, high);
}

inline void write_codes(device void* codes, size_t chunk, uint4 code) {
  if (kv_bits == 8) {
    static_cast<device uint*>(codes)[chunk] =
        code[0] | code[1] << 8 | code[2] << 16 | code[3] << 24;
  } else {
    static_cast<device ushort*>(codes)[chunk] =
        ushort(code[0] | code[1] << 4 | code[2] << 8 | code[3] << 12);
  }
}

template <typename T>
[[kernel]] void kv_append(
    const device T* rows [[buffer(0)]],    // (rows, kv_heads, head_dim)
    const device int* slots [[buffer(1)]], // (rows)
    device T* elements [[buffer(2)]],      // (slots, kv_heads, ...), or codes
    device half* scales [[buffer(3)]],
    device half* biases [[buffer(4)]],
    constant paged::AppendParams& params [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const int unit = int(group.x * simds + simd);
  if (unit >= params.rows * params.kv_heads) {
    return;
  }
  const int row = unit / params.kv_heads;
  const int head = unit % params.kv_heads;
  const device T* from =
      rows + size_t(row) * params.row_stride + head * head_dim;
  const size_t to = size_t(slots[row]) * params.kv_heads + head;
  const int chunks = head_chunks();
  // All lanes go round equally often: they look at each other's elements.
  for (int first = 0; first < chunks; first += kLanes) {
    const int chunk = first + int(lane);
    const bool there = chunk < chunks;
    const vec<T, 4> x = reinterpret_cast<const device vec<T, 4>*>(
        from)[there ? chunk : chunks - 1];
    if (kv_bits == 16) {
      if (there) {
        reinterpret_cast<device vec<T, 4>*>(elements)[to * chunks + chunk] = x;
      }
      continue;
    }
    // Scales are f16, so are the elements that they are found from.
    const float4 halves = float4(vec<half, 4>(float4(x)));
    const float2 range = group_range(halves);
    const CodeScale how = code_scale(range[0], range[1]);
    const float4 steps = metal::rint((halves - how.bias) / how.scale);
    const float top = kv_bits == 8 ? 255.0f : 15.0f;
    if (there) {
      const float4 code =
          metal::min(metal::max(steps, float4(0.0f)), float4(top));
      write_codes(elements, to * chunks + chunk, uint4(code));
    }
    const int within = chunk * kChunk;
    if (there && within % kv_group == 0) {
      const size_t at = to * (head_dim / kv_group) + within / kv_group;
      scales[at] = half(how.scale);
      biases[at] = half(how.bias);
    }
  }
}

PAGED_KERNEL_FOR_ELEMENTS("kv_append", kv_append)

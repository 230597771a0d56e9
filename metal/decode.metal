// Attention of single rows over the paged cache, split over the context ("flash
// decoding"): paged_decode leaves a partial result of each split, and
// paged_combine puts those of a row together.
#include "paged_kernel.h"

/// What a lane holds of the tile's heads: of those chunks that are its own, and
/// of those keys that its part of the SIMD-group has seen.
struct Partial {
  float4 top;   // by head: largest score
  float4 total; // of the weights, exp(score - top)
  float4 out[kMaxTileHeads][kMaxPartChunks]; // weighted sum of values
};

/// Scores of one key, by head; lanes of a part together have the whole product.
template <typename T>
inline float4 key_scores(
    KvPlanes<T> keys,
    size_t row,
    const threadgroup float4* queries,
    int part_lane) {
  float4 scores = 0.0f;
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < head_chunks()) {
      const float4 key = read_chunk(keys, row, chunk);
#pragma unroll
      for (int h = 0; h < kMaxTileHeads; h++) {
        if (h < tile_heads) {
          scores[h] += metal::dot(key, queries[h * head_chunks() + chunk]);
        }
      }
    }
  }
  return lane_sum(scores, 1, kParts / 2);
}

template <typename T>
inline void add_value(
    thread Partial& partial,
    KvPlanes<T> values,
    size_t row,
    float4 shrink,
    float4 weight,
    int part_lane) {
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < head_chunks()) {
      const float4 value = read_chunk(values, row, chunk);
#pragma unroll
      for (int h = 0; h < kMaxTileHeads; h++) {
        if (h < tile_heads) {
          partial.out[h][i] =
              partial.out[h][i] * shrink[h] + value * weight[h];
        }
      }
    }
  }
}

/// The parts of a SIMD-group have seen different keys: all of it to all lanes.
inline void join_parts(thread Partial& partial) {
  float4 top = partial.top;
  for (ushort bit = kParts; bit < kLanes; bit *= 2) {
    top = metal::max(top, simd_shuffle_xor(top, bit));
  }
  const float4 shrink = metal::exp(partial.top - top);
  partial.top = top;
  partial.total = lane_sum(partial.total * shrink, kParts, kLanes / 2);
#pragma unroll
  for (int h = 0; h < kMaxTileHeads; h++) {
#pragma unroll
    for (int i = 0; i < kMaxPartChunks; i++) {
      if (h < tile_heads && i * kParts < head_chunks()) {
        partial.out[h][i] =
            lane_sum(partial.out[h][i] * shrink[h], kParts, kLanes / 2);
      }
    }
  }
}

/// A threadgroup takes a row (z), the query heads of a tile (y), which share a
/// KV head, and a split of the row's context (x).
template <typename T>
[[kernel]] void paged_decode(
    const device T* queries [[buffer(0)]], // (N, n_heads, head_dim)
    const device T* keys [[buffer(1)]],
    const device half* key_scales [[buffer(2)]],
    const device half* key_biases [[buffer(3)]],
    const device T* values [[buffer(4)]],
    const device half* value_scales [[buffer(5)]],
    const device half* value_biases [[buffer(6)]],
    const device paged::DecodeRow* rows [[buffer(7)]],
    const device int* block_ids [[buffer(8)]],
    device float4* partial_out [[buffer(9)]], // (rows, n_heads, splits, dim)
    device float2* partial_sum [[buffer(10)]], // (rows, n_heads, splits)
    constant paged::AttendParams& params [[buffer(11)]],
    threadgroup float4* shared_queries PAGED_SHARED(0), // (heads, dim)
    threadgroup float4* shared_out PAGED_SHARED(1), // (simds, heads, dim)
    threadgroup float4* shared_sum PAGED_SHARED(2), // (simds, 2)
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const paged::DecodeRow row = rows[group.z];
  const int split = int(group.x);
  const int begin = row.first + split * params.split_tokens;
  const int end = metal::min(begin + params.split_tokens, row.end);
  if (begin >= end) {
    return; // a split that only longer rows have
  }
  const int ratio = params.n_heads / params.kv_heads;
  const int tiles = (ratio + tile_heads - 1) / tile_heads;
  const int kv_head = int(group.y) / tiles;
  const int tile_first = int(group.y) % tiles * tile_heads;
  const int heads = metal::min(tile_heads, ratio - tile_first);
  const int first_head = kv_head * ratio + tile_first;
  const int chunks = head_chunks();
  const int threads = int(simds) * kLanes;

  // (heads, dim) of this row; what a tile lacks in heads is 0.
  const device vec<T, 4>* query = reinterpret_cast<const device vec<T, 4>*>(
      queries + size_t(row.query) * params.query_stride +
      size_t(first_head) * head_dim);
  for (int i = int(thread_index); i < tile_heads * chunks; i += threads) {
    const bool there = i < heads * chunks;
    shared_queries[i] = there ? float4(query[i]) * params.scale : float4(0.0f);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  const KvPlanes<T> k = {keys, key_scales, key_biases};
  const KvPlanes<T> v = {values, value_scales, value_biases};
  const int part = int(lane) / kParts;
  const int part_lane = int(lane) % kParts;
  Partial partial = {float4(kLowest), float4(0.0f), {}};
  for (int at = begin + int(simd) * kKeysAtOnce; at < end;
       at += int(simds) * kKeysAtOnce) {
    const int token = at + part;
    const bool there = token < end;
    const int offset = (there ? token : end - 1) - row.base;
    const size_t slot =
        slot_of(block_ids + row.blocks, offset) * params.kv_heads + kv_head;
    const float4 scores = key_scores(k, slot, shared_queries, part_lane);
    const float4 top =
        there ? metal::max(partial.top, scores) : partial.top;
    const float4 shrink = metal::exp(partial.top - top);
    const float4 weight = there ? metal::exp(scores - top) : float4(0.0f);
    partial.top = top;
    partial.total = partial.total * shrink + weight;
    add_value(partial, v, slot, shrink, weight, part_lane);
  }
  join_parts(partial);

  if (part == 0) {
#pragma unroll
    for (int h = 0; h < kMaxTileHeads; h++) {
#pragma unroll
      for (int i = 0; i < kMaxPartChunks; i++) {
        const int chunk = part_lane + i * kParts;
        if (h < tile_heads && chunk < chunks) {
          shared_out[(int(simd) * tile_heads + h) * chunks + chunk] =
              partial.out[h][i];
        }
      }
    }
  }
  if (lane == 0) {
    shared_sum[2 * simd] = partial.top;
    shared_sum[2 * simd + 1] = partial.total;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  for (int i = int(thread_index); i < heads * chunks; i += threads) {
    const int h = i / chunks;
    float top = kLowest;
    for (int s = 0; s < int(simds); s++) {
      top = metal::max(top, shared_sum[2 * s][h]);
    }
    float4 out = 0.0f;
    float total = 0.0f;
    for (int s = 0; s < int(simds); s++) {
      const float shrink = metal::exp(shared_sum[2 * s][h] - top);
      out += shared_out[s * tile_heads * chunks + i] * shrink;
      total += shared_sum[2 * s + 1][h] * shrink;
    }
    const size_t at =
        (size_t(group.z) * params.n_heads + first_head + h) * params.splits +
        split;
    partial_out[at * chunks + i % chunks] = out;
    if (i % chunks == 0) {
      partial_sum[at] = float2(top, total);
    }
  }
}

PAGED_KERNEL_FOR_ELEMENTS("paged_decode", paged_decode)

/// A SIMD-group takes a query head (x) of a row (y).
template <typename T>
[[kernel]] void paged_combine(
    const device float4* partial_out [[buffer(0)]],
    const device float2* partial_sum [[buffer(1)]],
    const device paged::DecodeRow* rows [[buffer(2)]],
    const device T* sinks [[buffer(3)]], // (n_heads)
    device T* out [[buffer(4)]],         // (N, n_heads, head_dim)
    constant paged::AttendParams& params [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const paged::DecodeRow row = rows[group.y];
  const int head = int(group.x);
  const int splits =
      (row.end - row.first + params.split_tokens - 1) / params.split_tokens;
  const size_t first =
      (size_t(group.y) * params.n_heads + head) * params.splits;

  float top = has_sinks ? float(sinks[head]) : kLowest;
  const float sink = top;
  for (int s = int(lane); s < splits; s += kLanes) {
    top = metal::max(top, partial_sum[first + s][0]);
  }
  top = simd_max(top);
  float total = 0.0f;
  for (int s = int(lane); s < splits; s += kLanes) {
    const float2 sum = partial_sum[first + s];
    total += sum[1] * metal::exp(sum[0] - top);
  }
  total = simd_sum(total);
  if (has_sinks) {
    total += metal::exp(sink - top);
  }

  const int chunks = head_chunks();
  device vec<T, 4>* to = reinterpret_cast<device vec<T, 4>*>(
      out + (size_t(row.query) * params.n_heads + head) * head_dim);
  for (int chunk = int(lane); chunk < chunks; chunk += kLanes) {
    float4 sum = 0.0f;
    for (int s = 0; s < splits; s++) {
      sum += partial_out[(first + s) * chunks + chunk] *
          metal::exp(partial_sum[first + s][0] - top);
    }
    // A row that sees nothing is 0.
    to[chunk] = vec<T, 4>(total > 0.0f ? sum / total : float4(0.0f));
  }
}

PAGED_KERNEL_FOR_ELEMENTS("paged_combine", paged_combine)

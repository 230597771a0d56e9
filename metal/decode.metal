// Attention of single rows over the paged cache, split over the context ("flash
// decoding"): paged_decode leaves a partial result of each split, and
// paged_combine puts those of a row together.
#include "paged_kernel.h"

/// What a lane holds of the tile's heads: of those chunks that are its own, and
/// of those keys that its part of the SIMD-group has seen.
struct Partial {
  float4 top;                                // by head: largest score
  float4 total;                              // of the weights, exp(score - top)
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
          partial.out[h][i] = partial.out[h][i] * shrink[h] + value * weight[h];
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

/// What a threadgroup takes: positions [begin, end) of a row's context, and
/// query heads that share a KV head.
struct DecodeTile {
  paged::DecodeRow row;
  int begin;
  int end;
  int kv_head;
  int first_head;
  int heads;
};

/// By the threadgroup's split (x), tile of heads (y) and row (z).
inline DecodeTile tile_of(
    paged::DecodeRow row,
    constant paged::AttendParams& params,
    uint3 group) {
  DecodeTile tile;
  tile.row = row;
  tile.begin = row.first + int(group.x) * params.split_tokens;
  tile.end = metal::min(tile.begin + params.split_tokens, row.end);
  const int ratio = params.n_heads / params.kv_heads;
  const int tiles = (ratio + tile_heads - 1) / tile_heads;
  tile.kv_head = int(group.y) / tiles;
  const int first = int(group.y) % tiles * tile_heads;
  tile.first_head = tile.kv_head * ratio + first;
  tile.heads = metal::min(tile_heads, ratio - first);
  return tile;
}

/// The tile's queries, scaled, as (heads, dim); 0 for heads that it lacks.
template <typename T>
inline void stage_queries(
    const device T* queries,
    DecodeTile tile,
    constant paged::AttendParams& params,
    threadgroup float4* shared_queries,
    int index,
    int threads) {
  const device vec<T, 4>* from = reinterpret_cast<const device vec<T, 4>*>(
      queries + size_t(tile.row.query) * params.query_stride +
      size_t(tile.first_head) * head_dim);
  const int there = tile.heads * head_chunks();
  for (int i = index; i < tile_heads * head_chunks(); i += threads) {
    shared_queries[i] =
        i < there ? float4(from[i]) * params.scale : float4(0.0f);
  }
}

/// One key of each part of the SIMD-group, the first of them at `at`.
template <typename T>
inline void attend_keys(
    thread Partial& partial,
    KvPlanes<T> keys,
    KvPlanes<T> values,
    const device int* blocks,
    const threadgroup float4* queries,
    DecodeTile tile,
    int kv_heads,
    int at,
    int lane) {
  // Known to be small, so that chunks no head of this size has fall away.
  const int part_lane = lane & (kParts - 1);
  const int token = at + lane / kParts;
  // A part without a key of its own looks at the last one and drops it.
  const bool there = token < tile.end;
  const int offset = (there ? token : tile.end - 1) - tile.row.base;
  const size_t row = slot_of(blocks, offset) * kv_heads + tile.kv_head;
  const float4 scores = key_scores(keys, row, queries, part_lane);
  const float4 top = there ? metal::max(partial.top, scores) : partial.top;
  const float4 shrink = metal::exp(partial.top - top);
  const float4 weight = there ? metal::exp(scores - top) : float4(0.0f);
  partial.top = top;
  partial.total = partial.total * shrink + weight;
  add_value(partial, values, row, shrink, weight, part_lane);
}

/// What a SIMD-group has come to, for the others: out (heads, dim), and sum,
/// the largest scores and the totals.
inline void share_partial(
    thread const Partial& partial,
    threadgroup float4* out,
    threadgroup float4* sum,
    int lane) {
  if (lane >= kParts) {
    return; // all parts hold the same
  }
#pragma unroll
  for (int h = 0; h < kMaxTileHeads; h++) {
#pragma unroll
    for (int i = 0; i < kMaxPartChunks; i++) {
      const int chunk = lane + i * kParts;
      if (h < tile_heads && chunk < head_chunks()) {
        out[h * head_chunks() + chunk] = partial.out[h][i];
      }
    }
  }
  if (lane == 0) {
    sum[0] = partial.top;
    sum[1] = partial.total;
  }
}

/// Chunk i of what all SIMD-groups have come to; its head's largest score and
/// total in `stats`.
inline float4 join_simds(
    const threadgroup float4* shared_out,
    const threadgroup float4* shared_sum,
    int i,
    int simds,
    thread float2& stats) {
  const int h = i / head_chunks();
  float top = kLowest;
  for (int s = 0; s < simds; s++) {
    top = metal::max(top, shared_sum[2 * s][h]);
  }
  float4 out = 0.0f;
  float total = 0.0f;
  for (int s = 0; s < simds; s++) {
    const float shrink = metal::exp(shared_sum[2 * s][h] - top);
    out += shared_out[s * tile_heads * head_chunks() + i] * shrink;
    total += shared_sum[2 * s + 1][h] * shrink;
  }
  stats = float2(top, total);
  return out;
}

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
    device float4* partial_out [[buffer(9)]],  // (rows, n_heads, splits, dim)
    device float2* partial_sum [[buffer(10)]], // (rows, n_heads, splits)
    constant paged::AttendParams& params [[buffer(11)]],
    threadgroup float4* shared_queries PAGED_SHARED(0), // (heads, dim)
    threadgroup float4* shared_out PAGED_SHARED(1),     // (simds, heads, dim)
    threadgroup float4* shared_sum PAGED_SHARED(2),     // (simds, 2)
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const DecodeTile tile = tile_of(rows[group.z], params, group);
  if (tile.begin >= tile.end) {
    return; // a split that only longer rows have
  }
  const int index = int(thread_index);
  const int threads = int(simds) * kLanes;
  const int chunks = head_chunks();
  stage_queries(queries, tile, params, shared_queries, index, threads);
  threadgroup_barrier(mem_flags::mem_threadgroup);

  const KvPlanes<T> k = {keys, key_scales, key_biases};
  const KvPlanes<T> v = {values, value_scales, value_biases};
  Partial partial = {float4(kLowest), float4(0.0f), {}};
  for (int at = tile.begin + int(simd) * kKeysAtOnce; at < tile.end;
       at += int(simds) * kKeysAtOnce) {
    attend_keys(
        partial,
        k,
        v,
        block_ids + tile.row.blocks,
        shared_queries,
        tile,
        params.kv_heads,
        at,
        int(lane));
  }
  join_parts(partial);
  share_partial(
      partial,
      shared_out + int(simd) * tile_heads * chunks,
      shared_sum + 2 * int(simd),
      int(lane));
  threadgroup_barrier(mem_flags::mem_threadgroup);

  for (int i = index; i < tile.heads * chunks; i += threads) {
    float2 stats;
    const float4 out = join_simds(shared_out, shared_sum, i, int(simds), stats);
    const int head = tile.first_head + i / chunks;
    const size_t at =
        (size_t(group.z) * params.n_heads + head) * params.splits + group.x;
    partial_out[at * chunks + i % chunks] = out;
    if (i % chunks == 0) {
      partial_sum[at] = stats;
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

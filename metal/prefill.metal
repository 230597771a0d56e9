// Attention of many rows of a sequence over the paged cache, the rows' own keys
// included: tiles of queries against tiles of keys, with an online softmax.
#include "paged_kernel.h"

/// What a lane holds of its query: the chunks that are its own.
struct Query {
  float4 q[kMaxPartChunks];
  float4 out[kMaxPartChunks];
  float top;
  float total;
};

/// Keys that are staged at once, a multiple of 4: (tile_keys, head_dim) f32 of
/// K, and of V, are to fit 16 KB together.
inline int tile_keys() {
  return head_dim <= 128 ? 16 : 8;
}

/// Scores of four keys that are staged one after another.
inline float4 staged_scores(
    thread const Query& query,
    const threadgroup float4* keys,
    int part_lane) {
  const int chunks = head_chunks();
  float4 scores = 0.0f;
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < chunks) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        scores[j] += metal::dot(query.q[i], keys[j * chunks + chunk]);
      }
    }
  }
  return lane_sum(scores, 1, kParts / 2);
}

/// The four keys are positions `at` and on, of which the query sees
/// [first, end).
inline void attend_staged(
    thread Query& query,
    const threadgroup float4* keys,
    const threadgroup float4* values,
    int at,
    int first,
    int end,
    int part_lane) {
  float4 scores = staged_scores(query, keys, part_lane);
  float top = query.top;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    if (at + j < first || at + j >= end) {
      scores[j] = kLowest;
    }
    top = metal::max(top, scores[j]);
  }
  const float shrink = metal::exp(query.top - top);
  float4 weight = metal::exp(scores - top);
#pragma unroll
  for (int j = 0; j < 4; j++) {
    // Where nothing was seen yet, top is lowest, too.
    if (scores[j] == kLowest) {
      weight[j] = 0.0f;
    }
  }
  query.top = top;
  query.total = query.total * shrink +
      ((weight[0] + weight[1]) + (weight[2] + weight[3]));
  const int chunks = head_chunks();
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < chunks) {
      float4 out = query.out[i] * shrink;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        out += values[j * chunks + chunk] * weight[j];
      }
      query.out[i] = out;
    }
  }
}

/// The first position that row `row` of the span sees.
inline int first_seen(paged::PromptSpan span, int row, int window) {
  const int position = span.length - span.rows + row;
  return windowed ? metal::max(position + 1 - window, 0) : 0;
}

/// A tile of keys, `at` and on, as (tile_keys, dim); 0 from `end` on.
template <typename T>
inline void stage(
    KvPlanes<T> planes,
    const device int* blocks,
    int at,
    int end,
    int kv_heads,
    int kv_head,
    threadgroup float4* staged,
    int index,
    int threads) {
  const int chunks = head_chunks();
  for (int i = index; i < tile_keys() * chunks; i += threads) {
    const int token = at + i / chunks;
    float4 x = 0.0f;
    if (token < end) {
      x = read_chunk(
          planes, slot_of(blocks, token) * kv_heads + kv_head, i % chunks);
    }
    staged[i] = x;
  }
}

/// A threadgroup takes a tile of pairs of row and query head (x) that share a
/// KV head (y); 8 lanes take a pair.
template <typename T>
[[kernel]] void paged_prefill(
    const device T* queries [[buffer(0)]], // (N, n_heads, head_dim)
    const device T* keys [[buffer(1)]],
    const device half* key_scales [[buffer(2)]],
    const device half* key_biases [[buffer(3)]],
    const device T* values [[buffer(4)]],
    const device half* value_scales [[buffer(5)]],
    const device half* value_biases [[buffer(6)]],
    const device paged::PromptSpan* spans [[buffer(7)]],
    const device paged::PromptTile* tiles [[buffer(8)]],
    const device int* block_ids [[buffer(9)]],
    const device T* sinks [[buffer(10)]], // (n_heads)
    device T* out [[buffer(11)]],         // (N, n_heads, head_dim)
    constant paged::AttendParams& params [[buffer(12)]],
    threadgroup float4* staged_keys PAGED_SHARED(0), // (tile_keys, dim)
    threadgroup float4* staged_values PAGED_SHARED(1),
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const paged::PromptTile tile = tiles[group.x];
  const paged::PromptSpan span = spans[tile.span];
  const int kv_head = int(group.y);
  const int ratio = params.n_heads / params.kv_heads;
  const int last_pair = span.rows * ratio - 1;
  const int threads = int(simds) * kLanes;
  const int tile_last = metal::min(tile.pair + threads / kParts - 1, last_pair);
  const int pair = tile.pair + int(thread_index) / kParts;
  // Lanes without a pair of their own do the last one's work and drop it.
  const int own = metal::min(pair, tile_last);
  const int row = own / ratio;
  const int head = kv_head * ratio + own % ratio;
  const int first = first_seen(span, row, params.window) - span.base;
  const int end = span.length - span.rows + row + 1 - span.base;

  const int chunks = head_chunks();
  const int part_lane = int(lane) & (kParts - 1);
  const device vec<T, 4>* from = reinterpret_cast<const device vec<T, 4>*>(
      queries + size_t(span.query + row) * params.query_stride +
      size_t(head) * head_dim);
  Query query = {{}, {}, kLowest, 0.0f};
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < chunks) {
      query.q[i] = float4(from[chunk]) * params.scale;
    }
  }

  const KvPlanes<T> k = {keys, key_scales, key_biases};
  const KvPlanes<T> v = {values, value_scales, value_biases};
  // Positions from the first block's first token on.
  const device int* blocks = block_ids + span.blocks;
  const int tile_end =
      span.length - span.rows + tile_last / ratio + 1 - span.base;
  for (int at = first_seen(span, tile.pair / ratio, params.window) - span.base;
       at < tile_end;
       at += tile_keys()) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    stage(
        k,
        blocks,
        at,
        tile_end,
        params.kv_heads,
        kv_head,
        staged_keys,
        int(thread_index),
        threads);
    stage(
        v,
        blocks,
        at,
        tile_end,
        params.kv_heads,
        kv_head,
        staged_values,
        int(thread_index),
        threads);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (int j = 0; j < tile_keys(); j += 4) {
      attend_staged(
          query,
          staged_keys + j * chunks,
          staged_values + j * chunks,
          at + j,
          first,
          end,
          part_lane);
    }
  }

  float shrink = 1.0f;
  if (has_sinks) {
    const float sink = float(sinks[head]);
    const float top = metal::max(query.top, sink);
    shrink = metal::exp(query.top - top);
    query.total = query.total * shrink + metal::exp(sink - top);
  }
  if (pair > tile_last) {
    return;
  }
  device vec<T, 4>* to = reinterpret_cast<device vec<T, 4>*>(
      out + (size_t(span.query + row) * params.n_heads + head) * head_dim);
#pragma unroll
  for (int i = 0; i < kMaxPartChunks; i++) {
    const int chunk = part_lane + i * kParts;
    if (chunk < chunks) {
      to[chunk] = vec<T, 4>(query.out[i] * (shrink / query.total));
    }
  }
}

PAGED_KERNEL_FOR_ELEMENTS("paged_prefill", paged_prefill)

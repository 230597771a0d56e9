// Attention of single rows over the paged cache, split over the context ("flash
// decoding"): decode() leaves a partial result of each split, and combine()
// (combine.cuh) puts those of a row together.
#pragma once

#include "paged_kernel.cuh"

namespace paged {

/// A block's work: query heads of a row that share a KV head, over a split of
/// the row's context.
struct Tile {
  DecodeRow row;
  int begin; // positions
  int end;
  int kv_head;
  int first_head;
  int heads; // of the tile's, those that there are
};

/// What a lane holds of the tile's heads: of those chunks that are its own, and
/// of those keys that its part of the warp has seen.
template <typename S>
struct Partial {
  float top[S::most_heads];                 // largest score
  float total[S::most_heads];               // of the weights, 2^(score - top)
  Chunk out[S::most_heads][S::most_chunks]; // weighted sum of values
};

/// A lane's chunks of the tile's queries, times the scale.
template <typename S>
struct Queries {
  Chunk at[S::most_heads][S::most_chunks];
};

template <typename S>
__device__ inline int head_chunks() {
  return S::head_dim / kChunk;
}

template <typename S>
__device__ inline Tile
tile_of(const DecodeRow& row, const AttendParams& params, const Place& place) {
  const int ratio = params.n_heads / params.kv_heads;
  const int tiles = (ratio + S::tile_heads - 1) / S::tile_heads;
  const int first = place.y % tiles * S::tile_heads;
  Tile tile;
  tile.row = row;
  tile.begin = row.first + place.x * params.split_tokens;
  tile.end = min(tile.begin + params.split_tokens, row.end);
  tile.kv_head = place.y / tiles;
  tile.first_head = tile.kv_head * ratio + first;
  tile.heads = min(S::tile_heads, ratio - first);
  return tile;
}

/// Chunk `chunk` of a head, where rows are 8-byte aligned at least.
template <typename T>
__device__ inline Chunk query_chunk(const T* head, int chunk, float scale) {
  const auto* from = reinterpret_cast<const Vector<T, 4>*>(head) + chunk * 2;
  Chunk numbers;
#pragma unroll
  for (int i = 0; i < kChunk; i++) {
    numbers.at[i] = number(from[i / 4].at[i % 4]) * scale;
  }
  return numbers;
}

/// What a tile lacks in heads is 0.
template <typename T, typename S>
__device__ inline void load_queries(
    Queries<S>& queries,
    const T* from,
    const Tile& tile,
    const AttendParams& params,
    int part_lane) {
  const T* row = from + size_t(tile.row.query) * params.query_stride +
      size_t(tile.first_head) * S::head_dim;
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
#pragma unroll
    for (int c = 0; c < S::most_chunks; c++) {
      const int chunk = part_lane + c * kParts;
      queries.at[h][c] = Chunk{};
      if (h < tile.heads && chunk < head_chunks<S>()) {
        queries.at[h][c] = query_chunk(
            row + size_t(h) * S::head_dim, chunk, params.scale * kLog2e);
      }
    }
  }
}

template <typename S>
__device__ inline void clear(Partial<S>& partial) {
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    partial.top[h] = kLowest;
    partial.total[h] = 0.0f;
#pragma unroll
    for (int c = 0; c < S::most_chunks; c++) {
      partial.out[h][c] = Chunk{};
    }
  }
}

/// A lane's chunks of one key or value.
template <typename T, typename S>
struct RawHead {
  Raw<T> at[S::most_chunks];
};

template <typename T, typename S>
__device__ inline void
load_head(RawHead<T, S>& head, KvPlanes planes, size_t row, int part_lane) {
#pragma unroll
  for (int c = 0; c < S::most_chunks; c++) {
    const int chunk = part_lane + c * kParts;
    if (chunk < head_chunks<S>()) {
      head.at[c] = load_chunk<T, S>(planes, row, chunk);
    }
  }
}

/// Scores of a key by head; lanes of a part together have the whole product.
template <typename T, typename S>
__device__ inline void score_key(
    float (&scores)[S::most_heads],
    const RawHead<T, S>& key,
    const Queries<S>& queries,
    int part_lane) {
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    scores[h] = 0.0f;
  }
#pragma unroll
  for (int c = 0; c < S::most_chunks; c++) {
    if (part_lane + c * kParts < head_chunks<S>()) {
      const Chunk chunk = numbers_of<S>(key.at[c]);
#pragma unroll
      for (int h = 0; h < S::most_heads; h++) {
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          scores[h] += chunk.at[i] * queries.at[h][c].at[i];
        }
      }
    }
  }
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    if (h < S::tile_heads) {
      scores[h] = lane_sum(scores[h], 1, kParts / 2);
    }
  }
}

/// Takes one more token in: `scores` become weights, and what there is shrinks.
/// `there`: whether the part has a token.
template <typename T, typename S>
__device__ inline void take_in(
    Partial<S>& partial,
    float (&scores)[S::most_heads],
    const RawHead<T, S>& value,
    bool there,
    int part_lane) {
  float shrink[S::most_heads];
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    const float top = there ? fmaxf(partial.top[h], scores[h]) : partial.top[h];
    shrink[h] = exp2f(partial.top[h] - top);
    scores[h] = there ? exp2f(scores[h] - top) : 0.0f;
    partial.top[h] = top;
    partial.total[h] = partial.total[h] * shrink[h] + scores[h];
  }
#pragma unroll
  for (int c = 0; c < S::most_chunks; c++) {
    if (part_lane + c * kParts < head_chunks<S>()) {
      const Chunk chunk = numbers_of<S>(value.at[c]);
#pragma unroll
      for (int h = 0; h < S::most_heads; h++) {
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          float& out = partial.out[h][c].at[i];
          out = out * shrink[h] + chunk.at[i] * scores[h];
        }
      }
    }
  }
}

__device__ inline void join_chunk(Chunk& chunk, float shrink) {
#pragma unroll
  for (int i = 0; i < kChunk; i++) {
    chunk.at[i] = lane_sum(chunk.at[i] * shrink, kParts, kLanes / 2);
  }
}

/// The parts of a warp have seen different keys: all of it to all lanes.
template <typename S>
__device__ inline void join_parts(Partial<S>& partial) {
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    if (h >= S::tile_heads) {
      continue; // the host's shape has room for more
    }
    const float top = lane_max(partial.top[h], kParts, kLanes / 2);
    const float shrink = exp2f(partial.top[h] - top);
    partial.top[h] = top;
    partial.total[h] = lane_sum(partial.total[h] * shrink, kParts, kLanes / 2);
#pragma unroll
    for (int c = 0; c < S::most_chunks; c++) {
      if (c * kParts < head_chunks<S>()) {
        join_chunk(partial.out[h][c], shrink);
      }
    }
  }
}

/// What a warp has seen, to where all warps of the block find it.
template <typename S>
__device__ inline void publish(
    const Partial<S>& partial,
    float* shared_out, // (warps, tile_heads, head_dim)
    float* shared_sum, // (warps, tile_heads, 2)
    const Place& place) {
  const int first = place.warp() * S::tile_heads;
#pragma unroll
  for (int h = 0; h < S::most_heads; h++) {
    if (h >= S::tile_heads) {
      continue;
    }
    if (place.lane() == 0) {
      shared_sum[(first + h) * 2] = partial.top[h];
      shared_sum[(first + h) * 2 + 1] = partial.total[h];
    }
#pragma unroll
    for (int c = 0; c < S::most_chunks; c++) {
      const int chunk = place.lane() + c * kParts;
      if (place.lane() < kParts && chunk < head_chunks<S>()) {
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          shared_out[(first + h) * S::head_dim + chunk * kChunk + i] =
              partial.out[h][c].at[i];
        }
      }
    }
  }
}

/// Element `i` of (tile_heads, head_dim), joined over the warps, to `out`; with
/// the first of a head its top and its total to `sum`.
template <typename S>
__device__ inline void join_warps(
    float* out,
    float* sum,
    int i,
    const float* shared_out,
    const float* shared_sum,
    int warps) {
  const int h = i / S::head_dim;
  float top = kLowest;
  for (int w = 0; w < warps; w++) {
    top = fmaxf(top, shared_sum[(w * S::tile_heads + h) * 2]);
  }
  float value = 0.0f;
  float total = 0.0f;
  for (int w = 0; w < warps; w++) {
    const int at = w * S::tile_heads + h;
    const float shrink = exp2f(shared_sum[at * 2] - top);
    value += shared_out[at * S::head_dim + i % S::head_dim] * shrink;
    total += shared_sum[at * 2 + 1] * shrink;
  }
  out[i % S::head_dim] = value;
  if (i % S::head_dim == 0) {
    sum[0] = top;
    sum[1] = total;
  }
}

/// Everything a block reads and writes.
template <typename T>
struct DecodeBuffers {
  const T* queries; // (N, n_heads, head_dim)
  KvPlanes keys;
  KvPlanes values;
  const DecodeRow* rows;
  const int* block_ids;
  float* partial_out; // (rows, n_heads, splits, head_dim)
  float* partial_sum; // (rows, n_heads, splits, 2)
};

/// A warp's share of the tile's context: every warps-th four tokens.
template <typename T, typename S>
__device__ inline void attend(
    Partial<S>& partial,
    const Queries<S>& queries,
    const DecodeBuffers<T>& buffers,
    const Tile& tile,
    int kv_heads,
    const Place& place) {
  const int part_lane = place.lane() % kParts;
  const int stride = place.warps() * kKeysAtOnce;
  for (int at = tile.begin + place.warp() * kKeysAtOnce; at < tile.end;
       at += stride) {
    const int token = at + place.lane() / kParts;
    const bool there = token < tile.end;
    const int offset = (there ? token : tile.end - 1) - tile.row.base;
    const size_t row =
        slot_of<S>(buffers.block_ids + tile.row.blocks, offset) * kv_heads +
        tile.kv_head;
    RawHead<T, S> key;
    RawHead<T, S> value;
    load_head(key, buffers.keys, row, part_lane);
    load_head(value, buffers.values, row, part_lane);
    float scores[S::most_heads];
    score_key(scores, key, queries, part_lane);
    take_in(partial, scores, value, there, part_lane);
  }
}

/// A block takes a row (z), the query heads of a tile (y), which share a KV
/// head, and a split of the row's context (x).
template <typename T, typename S>
__device__ inline void decode(
    const DecodeBuffers<T>& buffers,
    const AttendParams& params,
    float* shared_out, // (warps, tile_heads, head_dim)
    float* shared_sum, // (warps, tile_heads, 2)
    const Place& place) {
  const Tile tile = tile_of<S>(buffers.rows[place.z], params, place);
  if (tile.begin >= tile.end) {
    return; // a split that only longer rows have
  }
  Queries<S> queries;
  load_queries(queries, buffers.queries, tile, params, place.lane() % kParts);
  Partial<S> partial;
  clear(partial);
  attend(partial, queries, buffers, tile, params.kv_heads, place);
  join_parts(partial);
  publish(partial, shared_out, shared_sum, place);
  __syncthreads();
  for (int i = place.thread; i < tile.heads * S::head_dim; i += place.threads) {
    const int head = tile.first_head + i / S::head_dim;
    const size_t at =
        (size_t(place.z) * params.n_heads + head) * params.splits + place.x;
    join_warps<S>(
        buffers.partial_out + at * S::head_dim,
        buffers.partial_sum + at * 2,
        i,
        shared_out,
        shared_sum,
        place.warps());
  }
}

} // namespace paged

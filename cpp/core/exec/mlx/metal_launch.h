// What to ask of Metal to run the kernels of metal/: names, function constants,
// grids, parameters, tables. Plain arithmetic on the host, no Metal and no MLX;
// any thread.
//
// A launch is done so:
//   1. the pipeline of `function` with `constants` (index i of the list is
//      function constant i, see function_constants());
//   2. buffer i is the one that `buffers[i]` names; the last is always the
//      kernel's `params`, given by value;
//   3. threadgroup memory i is threadgroup_bytes[i] long;
//   4. `groups` threadgroups of `threads` threads (one-dimensional) each.
// Buffers that a shape has no use for are bound none the less, to anything:
// scales and biases where the cache keeps elements, sinks where there are none.
// The library (metal_sources.h) is to be compiled in safe math mode, MLX's
// default: codes are found by divisions that have to be exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "exec/mlx/step_plan.h"
#include "paged_layout.h"

namespace stomp::mlx_exec::metal {

/// Of rows, queries, results and sinks, and of the cache without codes.
enum class Element { kF16, kBf16, kF32 };

/// What a layer's planes are like; K and V have heads of one size.
struct CacheShape {
  Element element = Element::kF16;
  int kv_heads = 0;
  int head_dim = 0;
  int block_tokens = 0;
  int bits = 16;  // of a code: 8 or 4; 16: elements, of whatever size
  int group = 64; // elements that share a scale: 64 or 32; of codes only
};

/// Whether the kernels are made for such a cache; REQUIRED of all below.
bool supports(const CacheShape& cache);

struct Constants {
  int head_dim = 0;
  int block_tokens = 0;
  int kv_bits = 16;
  int kv_group = 0;
  int tile_heads = 0;
  bool windowed = false;
  bool has_sinks = false;
};

struct FunctionConstant {
  const char* name;
  int value; // of an int, or of a bool
  bool is_bool;
};

/// By index, as Metal wants them: all of them for every kernel.
std::array<FunctionConstant, 7> function_constants(const Constants& constants);

struct Groups {
  int x = 1;
  int y = 1;
  int z = 1;
};

using BufferNames = std::span<const char* const>;

struct Launch {
  std::string function;
  Constants constants;
  Groups groups;
  int threads = 0; // a multiple of 32
  std::vector<int> threadgroup_bytes;
  BufferNames buffers; // in order
};

/// Differs wherever function or constants do: a name to keep a pipeline by.
std::string pipeline_key(const Launch& launch);

template <typename Params>
struct Planned {
  Launch launch;
  Params params;
};

/// Rows of K or of V to slots of its planes.
/// Buffers: rows, slots, elements, scales, biases, params.
/// REQUIRES: rows > 0; row_stride a multiple of 4; slots distinct.
Planned<paged::AppendParams>
plan_append(const CacheShape& cache, int rows, int row_stride);

/// Blocks to other blocks within one plane of `token_bytes` a token.
/// Buffers: moves, plane, params.
/// REQUIRES: moves not empty; no block is the target of two, or of one and the
/// source of another; token_bytes even.
Planned<paged::CopyParams> plan_copy(
    const CacheShape& cache,
    size_t token_bytes,
    std::span<const paged::BlockMove> moves);

/// Tokens as a plane keeps them, `token_bytes` each, to slots of it.
/// Buffers: rows, slots, plane, params.
/// REQUIRES: rows > 0; token_bytes even; slots distinct.
Planned<paged::CopyParams>
plan_put(const CacheShape& cache, size_t token_bytes, int rows);

/// Tokens [begin, begin + tokens) of those in a list of blocks to
/// out (kv_heads, tokens, head_dim), as elements.
/// Buffers: elements, scales, biases, blocks, out, params.
/// REQUIRES: tokens > 0.
Planned<paged::GatherParams>
plan_gather(const CacheShape& cache, int begin, int tokens);

/// What attends, the same for all layers of a group.
struct Attention {
  CacheShape cache;
  int n_heads = 0;      // a multiple of kv_heads
  int query_stride = 0; // elements from row to row, a multiple of 4
  int window = 0;       // 0: none
  bool sinks = false;
  float scale = 1;

  int ratio() const { return n_heads / cache.kv_heads; }
};

/// Spans of so many rows attend row by row, in plan_decode(): to split their
/// context is worth more than to read it once for all of them.
inline constexpr int kMostDecodeRows = 4;

/// The rows of a step in one group of layers, as both kernels read them.
struct AttendTables {
  std::vector<paged::DecodeRow> rows;
  std::vector<paged::PromptSpan> spans;
  std::vector<paged::PromptTile> tiles;
  std::vector<int32_t> block_ids; // of all spans

  bool any_decode() const { return !rows.empty(); }
  bool any_prefill() const { return !spans.empty(); }
};

/// `ratio`: query heads that share a KV head. A span with more rows than
/// `most_decode_rows` is a prompt.
AttendTables attend_tables(
    std::span<const Span> spans,
    int group,
    int ratio,
    int most_decode_rows = kMostDecodeRows);

/// Attention of the tables' rows, two launches with the same parameters.
/// Buffers of decode: queries, keys, key_scales, key_biases, values,
/// value_scales, value_biases, rows, block_ids, partial_out, partial_sum,
/// params; of combine: partial_out, partial_sum, rows, sinks, out, params.
/// partial_out (rows, n_heads, splits, head_dim) and partial_sum (rows,
/// n_heads, splits, 2) are f32 that combine reads only where decode wrote.
struct DecodePlan {
  Launch decode;
  Launch combine;
  paged::AttendParams params{};
  size_t partial_out_bytes = 0;
  size_t partial_sum_bytes = 0;
};

/// `split_tokens`: context of a split; 0: what choose_split_tokens() says.
/// A row's result depends on its own sequence and on the split's size alone, to
/// the bit. REQUIRES: rows not empty.
DecodePlan plan_decode(
    const Attention& attention,
    std::span<const paged::DecodeRow> rows,
    int split_tokens = 0);

/// A power of two from 256 on: fewer tokens the longer the longest context is
/// in comparison to the work there is without splits.
int choose_split_tokens(int longest, int groups_without_splits);

/// Attention of the tables' spans, one launch.
/// Buffers: queries, keys, key_scales, key_biases, values, value_scales,
/// value_biases, spans, tiles, block_ids, sinks, out, params.
/// A row's result depends on its own sequence and on which rows of it are in
/// its tile; on other sequences it does not, to the bit. REQUIRES: tiles not
/// empty.
Planned<paged::AttendParams> plan_prefill(
    const Attention& attention,
    int tiles);

} // namespace stomp::mlx_exec::metal

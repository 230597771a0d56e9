// See metal_launch.h.
#include "exec/mlx/metal_launch.h"

#include <algorithm>

namespace stomp::mlx_exec::metal {

namespace {

constexpr int kLanes = 32;
constexpr int kFloatBytes = 4;
constexpr int kMostHeadDim = 256;

// Threads of a threadgroup.
constexpr int kUnitThreads = 128; // of kernels with a unit a SIMD-group
constexpr int kCopyThreads = 256;
constexpr int kDecodeThreads = 128;
constexpr int kPrefillThreads = 256;
constexpr int kTilePairs = kPrefillThreads / 8; // 8 lanes a pair

constexpr int kCopyUnitsOfThread = 8;

// What keeps a large GPU busy, and how far a context is cut for it at most.
constexpr int kEnoughGroups = 256;
constexpr int kMostSplits = 64;
constexpr int kLeastSplitTokens = 256;

constexpr const char* kAppendBuffers[] =
    {"rows", "slots", "elements", "scales", "biases", "params"};
constexpr const char* kCopyBuffers[] = {"moves", "plane", "params"};
constexpr const char* kPutBuffers[] = {"rows", "slots", "plane", "params"};
constexpr const char* kGatherBuffers[] =
    {"elements", "scales", "biases", "blocks", "out", "params"};
constexpr const char* kDecodeBuffers[] = {
    "queries",
    "keys",
    "key_scales",
    "key_biases",
    "values",
    "value_scales",
    "value_biases",
    "rows",
    "block_ids",
    "partial_out",
    "partial_sum",
    "params"};
constexpr const char* kCombineBuffers[] =
    {"partial_out", "partial_sum", "rows", "sinks", "out", "params"};
constexpr const char* kPrefillBuffers[] = {
    "queries",
    "keys",
    "key_scales",
    "key_biases",
    "values",
    "value_scales",
    "value_biases",
    "spans",
    "tiles",
    "block_ids",
    "sinks",
    "out",
    "params"};

int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}

std::string of_element(const char* kernel, Element element) {
  constexpr const char* suffixes[] = {"_f16", "_bf16", "_f32"};
  return std::string(kernel) + suffixes[static_cast<int>(element)];
}

Constants constants_of(const CacheShape& cache) {
  return {
      .head_dim = cache.head_dim,
      .block_tokens = cache.block_tokens,
      .kv_bits = cache.bits,
      .kv_group = cache.group};
}

/// Query heads of a tile: as even as the most that registers hold allows.
int tile_heads(const Attention& attention) {
  const int most = attention.cache.head_dim <= 128 ? 4 : 2;
  const int tiles = ceil_div(attention.ratio(), most);
  return ceil_div(attention.ratio(), tiles);
}

Constants constants_of(const Attention& attention) {
  Constants constants = constants_of(attention.cache);
  constants.tile_heads = tile_heads(attention);
  constants.windowed = attention.window > 0;
  constants.has_sinks = attention.sinks;
  return constants;
}

paged::AttendParams params_of(const Attention& attention) {
  return {
      .n_heads = attention.n_heads,
      .kv_heads = attention.cache.kv_heads,
      .query_stride = attention.query_stride,
      .window = attention.window,
      .splits = 0,
      .split_tokens = 0,
      .scale = attention.scale};
}

/// A SIMD-group for each unit.
Groups groups_of_units(int units) {
  return {ceil_div(units, kUnitThreads / kLanes), 1, 1};
}

/// Threads copy `items` pieces of up to `most_tokens` tokens, in the largest
/// unit that divides what a token takes.
Planned<paged::CopyParams> plan_units(
    const CacheShape& cache,
    const char* kernel,
    BufferNames buffers,
    size_t token_bytes,
    int most_tokens,
    int items) {
  const int unit = token_bytes % 16 == 0 ? 16 : token_bytes % 4 == 0 ? 4 : 2;
  const int token_units = static_cast<int>(token_bytes) / unit;
  const int groups = std::max(
      1,
      ceil_div(most_tokens * token_units, kCopyThreads * kCopyUnitsOfThread));
  return {
      {.function = kernel + std::to_string(unit),
       .constants = constants_of(cache),
       .groups = {groups, items, 1},
       .threads = kCopyThreads,
       .threadgroup_bytes = {},
       .buffers = buffers},
      {.token_units = token_units, .stride = groups * kCopyThreads}};
}

bool supports_codes(const CacheShape& cache) {
  return (cache.bits == 8 || cache.bits == 4) &&
      (cache.group == 64 || cache.group == 32) &&
      cache.head_dim % cache.group == 0;
}

int longest_of(std::span<const paged::DecodeRow> rows) {
  int longest = 1;
  for (const paged::DecodeRow& row : rows) {
    longest = std::max(longest, row.end - row.first);
  }
  return longest;
}

void add_rows(AttendTables& tables, const Span& span, const SpanKeys& keys) {
  const int blocks = static_cast<int>(tables.block_ids.size());
  for (int i = 0; i < span.size; i++) {
    const int end = span.length - span.size + i + 1;
    const int first = keys.window > 0 ? std::max(end - keys.window, 0) : 0;
    tables.rows.push_back(
        {.query = span.first + i,
         .blocks = blocks,
         .base = keys.begin,
         .first = first,
         .end = end});
  }
}

void add_span(
    AttendTables& tables,
    const Span& span,
    const SpanKeys& keys,
    int ratio) {
  const int number = static_cast<int>(tables.spans.size());
  tables.spans.push_back(
      {.query = span.first,
       .rows = span.size,
       .length = span.length,
       .blocks = static_cast<int>(tables.block_ids.size()),
       .base = keys.begin});
  for (int pair = 0; pair < span.size * ratio; pair += kTilePairs) {
    tables.tiles.push_back({number, pair});
  }
}

} // namespace

bool supports(const CacheShape& cache) {
  const bool elements = cache.head_dim > 0 && cache.head_dim <= kMostHeadDim &&
      cache.head_dim % 16 == 0 && cache.block_tokens > 0;
  return elements && (cache.bits == 16 || supports_codes(cache));
}

std::array<FunctionConstant, 7> function_constants(const Constants& c) {
  return {{
      {"head_dim", c.head_dim, false},
      {"block_tokens", c.block_tokens, false},
      {"kv_bits", c.kv_bits, false},
      {"kv_group", c.kv_group, false},
      {"tile_heads", c.tile_heads, false},
      {"windowed", c.windowed, true},
      {"has_sinks", c.has_sinks, true},
  }};
}

std::string pipeline_key(const Launch& launch) {
  std::string key = launch.function;
  for (const FunctionConstant& constant :
       function_constants(launch.constants)) {
    key += "_" + std::to_string(constant.value);
  }
  return key;
}

Planned<paged::AppendParams>
plan_append(const CacheShape& cache, int rows, int row_stride) {
  return {
      {.function = of_element("kv_append", cache.element),
       .constants = constants_of(cache),
       .groups = groups_of_units(rows * cache.kv_heads),
       .threads = kUnitThreads,
       .threadgroup_bytes = {},
       .buffers = kAppendBuffers},
      {.rows = rows, .kv_heads = cache.kv_heads, .row_stride = row_stride}};
}

Planned<paged::CopyParams> plan_copy(
    const CacheShape& cache,
    size_t token_bytes,
    std::span<const paged::BlockMove> moves) {
  int most_tokens = 0;
  for (const paged::BlockMove& move : moves) {
    most_tokens = std::max(most_tokens, move.tokens);
  }
  return plan_units(
      cache,
      "block_copy_",
      kCopyBuffers,
      token_bytes,
      most_tokens,
      static_cast<int>(moves.size()));
}

Planned<paged::CopyParams>
plan_put(const CacheShape& cache, size_t token_bytes, int rows) {
  return plan_units(cache, "rows_put_", kPutBuffers, token_bytes, 1, rows);
}

Planned<paged::GatherParams>
plan_gather(const CacheShape& cache, int begin, int tokens) {
  return {
      {.function = of_element("block_gather", cache.element),
       .constants = constants_of(cache),
       .groups = groups_of_units(tokens * cache.kv_heads),
       .threads = kUnitThreads,
       .threadgroup_bytes = {},
       .buffers = kGatherBuffers},
      {.begin = begin, .tokens = tokens, .kv_heads = cache.kv_heads}};
}

AttendTables attend_tables(
    std::span<const Span> spans,
    int group,
    int ratio,
    int most_decode_rows) {
  AttendTables tables;
  for (const Span& span : spans) {
    const SpanKeys& keys = span.keys[group];
    if (span.size <= most_decode_rows) {
      add_rows(tables, span, keys);
    } else {
      add_span(tables, span, keys, ratio);
    }
    tables.block_ids.insert(
        tables.block_ids.end(), keys.blocks.begin(), keys.blocks.end());
  }
  return tables;
}

int choose_split_tokens(int longest, int groups_without_splits) {
  const int splits =
      std::clamp(kEnoughGroups / groups_without_splits, 1, kMostSplits);
  int tokens = kLeastSplitTokens;
  while (ceil_div(longest, tokens) > splits) {
    tokens *= 2;
  }
  return tokens;
}

DecodePlan plan_decode(
    const Attention& attention,
    std::span<const paged::DecodeRow> rows,
    int split_tokens) {
  const Constants constants = constants_of(attention);
  const int n_rows = static_cast<int>(rows.size());
  const int heads = constants.tile_heads;
  const int tiles =
      attention.cache.kv_heads * ceil_div(attention.ratio(), heads);
  const int longest = longest_of(rows);
  DecodePlan plan;
  plan.params = params_of(attention);
  plan.params.split_tokens = split_tokens > 0
      ? split_tokens
      : choose_split_tokens(longest, n_rows * tiles);
  plan.params.splits = ceil_div(longest, plan.params.split_tokens);
  const int simds = kDecodeThreads / kLanes;
  const int tile_bytes = heads * attention.cache.head_dim * kFloatBytes;
  plan.decode = {
      .function = of_element("paged_decode", attention.cache.element),
      .constants = constants,
      .groups = {plan.params.splits, tiles, n_rows},
      .threads = kDecodeThreads,
      .threadgroup_bytes =
          {tile_bytes, simds * tile_bytes, simds * 2 * 4 * kFloatBytes},
      .buffers = kDecodeBuffers};
  plan.combine = {
      .function = of_element("paged_combine", attention.cache.element),
      .constants = constants,
      .groups = {attention.n_heads, n_rows, 1},
      .threads = kLanes,
      .threadgroup_bytes = {},
      .buffers = kCombineBuffers};
  const size_t sums = size_t(n_rows) * attention.n_heads * plan.params.splits;
  plan.partial_out_bytes = sums * attention.cache.head_dim * kFloatBytes;
  plan.partial_sum_bytes = sums * 2 * kFloatBytes;
  return plan;
}

Planned<paged::AttendParams> plan_prefill(
    const Attention& attention,
    int tiles) {
  const int head_dim = attention.cache.head_dim;
  // As tile_keys() in metal/prefill.metal has it.
  const int staged = (head_dim <= 128 ? 16 : 8) * head_dim * kFloatBytes;
  return {
      {.function = of_element("paged_prefill", attention.cache.element),
       .constants = constants_of(attention),
       .groups = {tiles, attention.cache.kv_heads, 1},
       .threads = kPrefillThreads,
       .threadgroup_bytes = {staged, staged},
       .buffers = kPrefillBuffers},
      params_of(attention)};
}

} // namespace stomp::mlx_exec::metal

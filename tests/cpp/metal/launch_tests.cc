// Launch plans: what is supported, how a context is split, what the tables say.
#include "check.h"
#include "exec/mlx/metal_launch.h"

using namespace stomp::mlx_exec;
using metal::CacheShape;
using metal::Element;

namespace {

CacheShape shape(int head_dim, int bits = 16, int group = 64) {
  return {Element::kF16, 2, head_dim, 16, bits, group};
}

Span span(int first, int rows, int length, SpanKeys keys) {
  return {first, rows, length, {std::move(keys)}};
}

} // namespace

TEST("metal: heads of 16 to 256 in steps of 16 are supported, others not") {
  for (int dim = -16; dim <= 512; dim += 8) {
    CHECK_EQUAL(
        metal::supports(shape(dim)), dim >= 16 && dim <= 256 && dim % 16 == 0);
  }
}

TEST("metal: codes are supported where whole groups make a head") {
  CHECK(metal::supports(shape(64, 8, 64)));
  CHECK(metal::supports(shape(96, 4, 32)));
  CHECK(!metal::supports(shape(96, 4, 64)));
  CHECK(!metal::supports(shape(80, 8, 32)));
  CHECK(!metal::supports(shape(64, 6, 64)));
  CHECK(!metal::supports(shape(128, 8, 128)));
}

TEST("metal: a context is split for few rows, for many it is left whole") {
  CHECK_EQUAL(metal::choose_split_tokens(100, 1), 256);
  CHECK_EQUAL(metal::choose_split_tokens(8192, 8), 256);
  CHECK_EQUAL(metal::choose_split_tokens(8192, 64), 2048);
  CHECK_EQUAL(metal::choose_split_tokens(8192, 1000), 8192);
  // At most 64 splits, however long.
  CHECK_EQUAL(metal::choose_split_tokens(1 << 20, 1), 1 << 14);
}

TEST("metal: rows of short spans attend alone, longer spans in tiles") {
  const std::vector<Span> spans = {
      span(0, 1, 40, {.blocks = {7, 3, 5}}),
      span(1, 20, 30, {.blocks = {2, 4}}),
      span(
          21,
          2,
          50,
          {.first = 39, .begin = 32, .window = 10, .blocks = {9, 1}}),
  };
  const metal::AttendTables tables = metal::attend_tables(spans, 0, 3);
  CHECK_EQUAL(tables.rows.size(), 3u);
  CHECK_EQUAL(tables.rows[0].end, 40);
  CHECK_EQUAL(tables.rows[0].first, 0);
  CHECK_EQUAL(tables.rows[1].query, 21);
  CHECK_EQUAL(tables.rows[1].blocks, 5);
  CHECK_EQUAL(tables.rows[1].base, 32);
  CHECK_EQUAL(tables.rows[1].first, 39);
  CHECK_EQUAL(tables.rows[1].end, 49);
  CHECK_EQUAL(tables.rows[2].first, 40);
  CHECK_EQUAL(tables.rows[2].end, 50);
  CHECK_EQUAL(tables.spans.size(), 1u);
  CHECK_EQUAL(tables.spans[0].blocks, 3);
  // 20 rows of 3 heads, 32 pairs a tile.
  CHECK_EQUAL(tables.tiles.size(), 2u);
  CHECK_EQUAL(tables.tiles[1].pair, 32);
  CHECK(tables.block_ids == std::vector<int32_t>({7, 3, 5, 2, 4, 9, 1}));
}

TEST("metal: no plan asks for more than 32 KB of threadgroup memory") {
  for (int dim = 16; dim <= 256; dim += 16) {
    for (int ratio : {1, 2, 3, 4, 5, 8, 16}) {
      metal::Attention attention;
      attention.cache = shape(dim);
      attention.n_heads = ratio * attention.cache.kv_heads;
      const std::vector<paged::DecodeRow> rows(1);
      const auto prefill = metal::plan_prefill(attention, 1).launch;
      for (const metal::Launch& launch :
           {metal::plan_decode(attention, rows).decode, prefill}) {
        int bytes = 0;
        for (int part : launch.threadgroup_bytes) {
          CHECK_EQUAL(part % 16, 0);
          bytes += part;
        }
        CHECK(bytes < 32 << 10);
      }
    }
  }
}

TEST("metal: pipelines that differ have keys that differ") {
  const std::string key =
      metal::pipeline_key(metal::plan_gather(shape(64), 0, 1).launch);
  CHECK_EQUAL(key, "block_gather_f16_64_16_16_64_0_0_0");
  // Of other rows it is the same pipeline.
  CHECK_EQUAL(
      key, metal::pipeline_key(metal::plan_gather(shape(64), 5, 40).launch));
  CHECK(
      key !=
      metal::pipeline_key(metal::plan_gather(shape(64, 8), 0, 1).launch));
}

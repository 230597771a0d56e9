#include "cache/cache_spec.h"

#include <numeric>

#include "base/error.h"
#include "cache_fixtures.h"
#include "check.h"
#include "model/config.h"

using namespace stomp;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

size_t bytes_at_rest(const ModelCacheSpec& spec, int group, int tokens) {
  return spec.blocks_at_rest(group, tokens) * spec.block_bytes(group);
}

size_t bytes_of(const ModelCacheSpec& spec, const std::vector<int>& blocks) {
  size_t bytes = 0;
  for (size_t g = 0; g < blocks.size(); g++) {
    bytes += blocks[g] * spec.block_bytes(static_cast<int>(g));
  }
  return bytes;
}

ModelConfig llama_config() {
  ModelConfig config;
  config.family = "llama";
  config.n_layers = 30;
  config.n_heads = 9;
  config.n_kv_heads = 3;
  config.head_dim = 64;
  config.max_context = 8192;
  return config;
}

} // namespace

TEST("cache spec: Gemma 3 12B at 8K is 512 MB global and 320 MB sliding") {
  const ModelCacheSpec spec = gemma3_12b_spec(256);
  CHECK_EQUAL(spec.groups[0].layers.size(), 8u);
  CHECK_EQUAL(spec.groups[1].layers.size(), 40u);
  CHECK_EQUAL(spec.token_layer_bytes(), 8192u);
  CHECK_EQUAL(spec.blocks_at_rest(0, 8192), 32);
  CHECK_EQUAL(spec.blocks_at_rest(1, 8192), 4);
  CHECK_EQUAL(spec.blocks_in_use(0, 8192), 32);
  CHECK_EQUAL(spec.blocks_in_use(1, 8192), 5);
  CHECK_EQUAL(bytes_at_rest(spec, 0, 8192), 512 * kMiB);
  CHECK_EQUAL(bytes_at_rest(spec, 1, 8192), 320 * kMiB);
}

TEST("cache spec: smaller blocks hold the same tokens in the same bytes") {
  const ModelCacheSpec spec = gemma3_12b_spec(64);
  CHECK_EQUAL(spec.blocks_at_rest(0, 8192), 128);
  CHECK_EQUAL(spec.blocks_at_rest(1, 8192), 16);
  CHECK_EQUAL(spec.blocks_in_use(1, 8192), 17);
  CHECK_EQUAL(bytes_at_rest(spec, 0, 8192), 512 * kMiB);
  CHECK_EQUAL(bytes_at_rest(spec, 1, 8192), 320 * kMiB);
}

TEST("cache spec: the 15-layer hybrid") {
  const ModelCacheSpec spec = hybrid15_spec(256);
  CHECK_EQUAL(spec.block_bytes(0), 5 * 256 * size_t{8192});
  CHECK_EQUAL(spec.block_bytes(1), 10 * 256 * size_t{8192});
  CHECK_EQUAL(spec.blocks_at_rest(0, 2000), 8);
  CHECK_EQUAL(spec.blocks_at_rest(1, 2000), 4);
  CHECK_EQUAL(spec.blocks_in_use(1, 2000), 5);
  CHECK_EQUAL(spec.blocks_in_use(1, 1024), 4);
  CHECK_EQUAL(spec.blocks_in_use(1, 1025), 5);
  CHECK_EQUAL(spec.blocks_at_rest(1, 300), 2);
  CHECK_EQUAL(spec.blocks_at_rest(1, 0), 0);
}

TEST("cache spec: a window never covers more blocks than are in use") {
  ModelCacheSpec spec = hybrid15_spec(16);
  for (const int window : {1, 15, 16, 17, 31, 100, 128}) {
    spec.groups[1].window = window;
    for (int tokens = 1; tokens < 400; tokens++) {
      // One token further back than needed, as a sequence keeps them.
      const int kept =
          spec.blocks_covering(tokens) - spec.first_block(1, tokens - 1);
      CHECK(kept >= 1);
      CHECK(kept <= spec.blocks_in_use(1, tokens));
      if (tokens % 16 == 0) {
        CHECK(kept <= spec.blocks_at_rest(1, tokens));
      }
      // The token at position `tokens` attends to window - 1 before it.
      const int first = spec.first_block(1, tokens) * 16;
      CHECK(first <= std::max(0, tokens - (window - 1)));
      CHECK(first + 16 > tokens - (window - 1));
      CHECK_EQUAL(spec.first_block(0, tokens), 0);
    }
  }
}

TEST("cache spec: a llama model is one global group of all layers") {
  const ModelCacheSpec spec = make_cache_spec(llama_config(), 64, {2});
  CHECK_EQUAL(spec.groups.size(), 1u);
  CHECK(spec.groups[0].kind == AttentionKind::kGlobal);
  std::vector<int> layers(30);
  std::iota(layers.begin(), layers.end(), 0);
  CHECK(spec.groups[0].layers == layers);
  CHECK_EQUAL(spec.token_layer_bytes(), 3u * 128 * 2);
  CHECK_EQUAL(spec.block_bytes(0), 30u * 64 * 768);
  CHECK_EQUAL(
      make_cache_spec(llama_config(), 16, {4}).block_bytes(0), 30u * 16 * 1536);
}

TEST("cache spec: codes take their bits, and 2 bytes a scale and bias") {
  const ModelCacheSpec halves = make_cache_spec(llama_config(), 64, {2});
  CHECK_EQUAL(halves.token_layer_bytes(), 3u * 2 * 128);
  CHECK_EQUAL(halves.block_bytes(0), 30u * 64 * 768);
  const ModelCacheSpec codes = make_cache_spec(llama_config(), 64, {2, 8, 64});
  CHECK_EQUAL(codes.token_layer_bytes(), 3u * 2 * (64 + 2));
  CHECK_EQUAL(codes.block_bytes(0), 30u * 64 * 396);
  const ModelCacheSpec small =
      make_cache_spec(llama_config(), 64, {2, 4, 64, true});
  CHECK_EQUAL(small.token_layer_bytes(), 3u * 2 * (32 + 4));
  CHECK_EQUAL(
      make_cache_spec(llama_config(), 64, {4, 4, 32, true}).token_layer_bytes(),
      3u * 2 * (32 + 8));
  ModelConfig config = llama_config();
  config.head_dim = 130; // two groups and a part of one
  CHECK_EQUAL(
      make_cache_spec(config, 64, {2, 8, 64}).token_layer_bytes(),
      3u * 2 * (130 + 3 * 2));
  CHECK_EQUAL(
      make_cache_spec(config, 64, {2, 4, 64, true}).token_layer_bytes(),
      3u * 2 * (65 + 3 * 4));
  // The same budget holds nearly twice as many.
  const std::vector<int> many = plan_pool(codes, 512 * kMiB, 8192);
  const std::vector<int> few = plan_pool(halves, 512 * kMiB, 8192);
  CHECK_EQUAL(few[0], 364);  // of 1474560 bytes
  CHECK_EQUAL(many[0], 706); // of 760320 bytes
}

TEST("cache spec: block and element sizes out of range are refused") {
  for (const int block_tokens : {-64, 0, 8, 24, 63, 1040, 1 << 30}) {
    CHECK_ERROR(
        make_cache_spec(llama_config(), block_tokens, {2}),
        Code::kInvalidRequest);
  }
  for (const int element_bytes : {0, 1, 3, 8}) {
    CHECK_ERROR(
        make_cache_spec(llama_config(), 64, {element_bytes}),
        Code::kInvalidRequest);
  }
  for (const int kv_bits : {-8, 0, 1, 2, 6, 12, 32}) {
    CHECK_ERROR(
        make_cache_spec(llama_config(), 64, {2, kv_bits}),
        Code::kInvalidRequest);
  }
  make_cache_spec(llama_config(), 1024, {4});
}

TEST("pool plan: fills the budget and never exceeds it") {
  const ModelCacheSpec specs[] = {
      make_cache_spec(llama_config(), 64, {2}),
      gemma3_12b_spec(64),
      hybrid15_spec(256)};
  for (const ModelCacheSpec& spec : specs) {
    size_t block = 0;
    for (size_t g = 0; g < spec.groups.size(); g++) {
      block = std::max(block, spec.block_bytes(static_cast<int>(g)));
    }
    for (const size_t mib : {333u, 1000u, 4096u, 70001u}) {
      const std::vector<int> blocks = plan_pool(spec, mib * kMiB, 8192);
      const size_t bytes = bytes_of(spec, blocks);
      CHECK(bytes <= mib * kMiB);
      CHECK(bytes + spec.groups.size() * block >= mib * kMiB);
    }
  }
}

TEST("pool plan: groups share in proportion to one long sequence") {
  const ModelCacheSpec spec = gemma3_12b_spec(64);
  const std::vector<int> blocks = plan_pool(spec, 16384 * kMiB, 8192);
  const double sequences = blocks[0] / 128.0;
  CHECK(sequences > 15);
  CHECK(std::abs(blocks[1] / 17.0 - sequences) < 0.1);
}

TEST("pool plan: a sliding group has room for the tokens of a step, too") {
  const ModelCacheSpec spec = gemma3_12b_spec(64);
  const std::vector<int> blocks = plan_pool(spec, 700 * kMiB, 8192, 512);
  CHECK_EQUAL(blocks[1], 16 + 8 + 1);
  CHECK(blocks[0] > blocks[1]);
}

/// config.json of google/gemma-3-12b-it, of which the figures are these.
constexpr const char* kGemma12B = R"({"model_type":"gemma3","text_config":{
  "hidden_size":3840,"intermediate_size":15360,"model_type":"gemma3_text",
  "num_attention_heads":16,"num_hidden_layers":48,"num_key_value_heads":8,
  "rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024}})";

TEST("cache spec: Gemma 3 12B by its configuration") {
  const stomp::ModelConfig config = stomp::config_from_hf_json(kGemma12B);
  for (const int block : {64, 256}) {
    const ModelCacheSpec spec = make_cache_spec(config, block, {2});
    const ModelCacheSpec known = gemma3_12b_spec(block);
    CHECK_EQUAL(spec.n_layers, 48);
    CHECK_EQUAL(spec.n_kv_heads, 8);
    CHECK_EQUAL(spec.key_dim, 256);
    CHECK_EQUAL(spec.value_dim, 256);
    CHECK_EQUAL(spec.groups.size(), 2u);
    CHECK_EQUAL(spec.groups[1].window, 1024);
    for (int g = 0; g < 2; g++) {
      CHECK(spec.groups[g].kind == known.groups[g].kind);
      CHECK(spec.groups[g].layers == known.groups[g].layers);
    }
    const auto mib = [&](int g) {
      return spec.blocks_at_rest(g, 8192) * spec.block_bytes(g) / kMiB;
    };
    CHECK_EQUAL(mib(0), 512u);
    CHECK_EQUAL(mib(1), 320u);
  }
}

TEST("pool plan: a small budget shortens the context, not the window") {
  const ModelCacheSpec spec = gemma3_12b_spec(64);
  const std::vector<int> blocks = plan_pool(spec, 500 * kMiB, 8192);
  CHECK_EQUAL(blocks[1], 17);
  CHECK(blocks[0] > 17);
  CHECK(blocks[0] < 128);
}

TEST("pool plan: a budget below two blocks a group is refused") {
  const ModelCacheSpec spec = gemma3_12b_spec(64);
  const size_t least = 2 * (spec.block_bytes(0) + spec.block_bytes(1));
  CHECK_ERROR(plan_pool(spec, least - 1, 8192), Code::kInvalidRequest);
  CHECK_ERROR(plan_pool(spec, 0, 8192), Code::kInvalidRequest);
  const std::vector<int> blocks = plan_pool(spec, least, 8192);
  CHECK_EQUAL(blocks[0], 2);
  CHECK_EQUAL(blocks[1], 2);
  CHECK_THROWS(plan_pool(spec, least, 0), std::invalid_argument);
}

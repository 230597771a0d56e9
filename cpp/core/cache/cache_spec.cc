#include "cache/cache_spec.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "model/config.h"

namespace stomp {

namespace {

constexpr int kMinBlockTokens = 16;
constexpr int kMaxBlockTokens = 1024;
// A pool with less could not even copy a block on write.
constexpr int kMinBlocks = 2;
constexpr int kMaxBlocks = std::numeric_limits<int>::max();

int ceil_div(int a, int b) {
  return a / b + (a % b != 0);
}

/// What one sequence of `context` tokens asks of each group.
std::vector<int>
sequence_blocks(const ModelCacheSpec& spec, int context, int step) {
  std::vector<int> blocks(spec.groups.size());
  for (size_t g = 0; g < blocks.size(); g++) {
    blocks[g] = std::max(
        kMinBlocks, spec.blocks_in_use(static_cast<int>(g), context, step));
  }
  return blocks;
}

size_t bytes_of(const ModelCacheSpec& spec, const std::vector<int>& blocks) {
  size_t bytes = 0;
  for (size_t g = 0; g < blocks.size(); g++) {
    bytes += blocks[g] * spec.block_bytes(static_cast<int>(g));
  }
  return bytes;
}

/// The longest context, up to max_context, of which one sequence fits; 0 when
/// the smallest pool does not.
int longest_context(
    const ModelCacheSpec& spec,
    size_t budget_bytes,
    int max_context,
    int step) {
  int low = 0;
  int high = max_context;
  while (low < high) {
    const int middle = high - (high - low) / 2;
    if (bytes_of(spec, sequence_blocks(spec, middle, step)) <= budget_bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/// The layers that see everything, then those with a window.
std::vector<LayerGroup> layer_groups(const ModelConfig& config) {
  LayerGroup global;
  LayerGroup sliding;
  sliding.kind = AttentionKind::kSliding;
  sliding.window = config.window;
  for (int l = 0; l < config.n_layers; l++) {
    (config.slides(l) ? sliding : global).layers.push_back(l);
  }
  std::vector<LayerGroup> groups;
  for (LayerGroup& group : {std::ref(global), std::ref(sliding)}) {
    if (!group.layers.empty()) {
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

} // namespace

size_t KvFormat::element_bytes_of(int dim) const {
  return coded() ? (static_cast<size_t>(dim) * bits + 7) / 8
                 : static_cast<size_t>(dim) * element_bytes;
}

int KvFormat::groups_of(int dim) const {
  return coded() ? ceil_div(dim, group) : 0;
}

size_t KvFormat::head_bytes(int dim) const {
  return element_bytes_of(dim) +
      static_cast<size_t>(groups_of(dim)) * sizeof(uint16_t) * (biases ? 2 : 1);
}

bool KvFormat::same_as(const KvFormat& other) const {
  if (bits != other.bits) {
    return false;
  }
  return coded() ? group == other.group && biases == other.biases
                 : element_bytes == other.element_bytes;
}

size_t ModelCacheSpec::token_layer_bytes() const {
  return static_cast<size_t>(n_kv_heads) *
      (kv.head_bytes(key_dim) + kv.head_bytes(value_dim));
}

size_t ModelCacheSpec::block_bytes(int group) const {
  return groups.at(group).layers.size() * token_layer_bytes() *
      static_cast<size_t>(block_tokens);
}

int ModelCacheSpec::blocks_covering(int tokens) const {
  return ceil_div(tokens, block_tokens);
}

int ModelCacheSpec::blocks_at_rest(int group, int tokens) const {
  const LayerGroup& layers = groups.at(group);
  const int all = blocks_covering(tokens);
  return layers.kind == AttentionKind::kGlobal
      ? all
      : std::min(all, blocks_covering(layers.window));
}

int ModelCacheSpec::blocks_in_use(int group, int tokens, int step) const {
  const LayerGroup& layers = groups.at(group);
  const int all = blocks_covering(tokens);
  return layers.kind == AttentionKind::kGlobal
      ? all
      : std::min(all, blocks_covering(layers.window + step - 1) + 1);
}

int ModelCacheSpec::first_block(int group, int tokens) const {
  const LayerGroup& layers = groups.at(group);
  return layers.kind == AttentionKind::kGlobal
      ? 0
      : std::max(0, tokens + 1 - layers.window) / block_tokens;
}

void check_kv_bits(int bits) {
  if (bits != 16 && bits != 8 && bits != 4) {
    throw Error(
        Code::kInvalidRequest,
        "the cache keeps 16, 8 or 4 bits of an element, not " +
            std::to_string(bits),
        {{"kv_bits", std::to_string(bits)}});
  }
}

ModelCacheSpec make_cache_spec(
    const ModelConfig& config,
    int block_tokens,
    const KvFormat& kv) {
  if (block_tokens < kMinBlockTokens || block_tokens > kMaxBlockTokens ||
      block_tokens % 16 != 0) {
    throw Error(
        Code::kInvalidRequest,
        "block tokens must be a multiple of 16 from 16 to 1024, not " +
            std::to_string(block_tokens),
        {{"block_tokens", std::to_string(block_tokens)}});
  }
  if (kv.element_bytes != 2 && kv.element_bytes != 4) {
    throw Error(
        Code::kInvalidRequest,
        "the cache stores elements of 2 or 4 bytes, not " +
            std::to_string(kv.element_bytes),
        {{"element_bytes", std::to_string(kv.element_bytes)}});
  }
  check_kv_bits(kv.bits);
  ModelCacheSpec spec;
  spec.n_layers = config.n_layers;
  spec.n_kv_heads = config.n_kv_heads;
  spec.key_dim = config.head_dim;
  spec.value_dim = config.head_dim;
  spec.block_tokens = block_tokens;
  spec.kv = kv;
  spec.groups = layer_groups(config);
  return spec;
}

std::vector<int> plan_pool(
    const ModelCacheSpec& spec,
    size_t budget_bytes,
    int max_context,
    int step) {
  if (max_context < 1 || step < 1 || spec.groups.empty() ||
      spec.block_bytes(0) == 0) {
    throw std::invalid_argument("plan_pool: nothing to plan for");
  }
  const int context = longest_context(spec, budget_bytes, max_context, step);
  if (context == 0) {
    const size_t least =
        bytes_of(spec, std::vector<int>(spec.groups.size(), kMinBlocks));
    throw Error(
        Code::kInvalidRequest,
        "a cache budget of " + std::to_string(budget_bytes) +
            " bytes holds no pool for this model: give it at least " +
            std::to_string(least) + " bytes, or use smaller blocks",
        {{"budget_bytes", std::to_string(budget_bytes)},
         {"least_bytes", std::to_string(least)}});
  }
  std::vector<int> blocks = sequence_blocks(spec, context, step);
  const size_t one = std::max<size_t>(1, bytes_of(spec, blocks));
  const size_t sequences = budget_bytes / one;
  const double part = static_cast<double>(budget_bytes % one) / one;
  size_t left = budget_bytes % one;
  for (size_t g = 0; g < blocks.size(); g++) {
    const size_t bytes = spec.block_bytes(static_cast<int>(g));
    const size_t more =
        std::min(static_cast<size_t>(blocks[g] * part), left / bytes);
    left -= more * bytes;
    const size_t all = blocks[g] * sequences + more;
    blocks[g] = static_cast<int>(std::min<size_t>(all, kMaxBlocks));
  }
  return blocks;
}

} // namespace stomp

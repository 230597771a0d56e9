// How a model's KV cache is cut into blocks: pure arithmetic, no state.
#pragma once

#include <cstddef>
#include <vector>

namespace stomp {

struct ModelConfig;

enum class AttentionKind { kGlobal, kSliding };

/// Layers with one attention kind; one block id covers all of them.
struct LayerGroup {
  AttentionKind kind = AttentionKind::kGlobal;
  int window = 0;          // tokens; sliding groups only
  std::vector<int> layers; // model layer numbers, ascending
};

/// Elements of a head's key or value that share a scale, when quantised.
inline constexpr int kKvGroup = 64;

struct ModelCacheSpec {
  int n_layers = 0;
  int n_kv_heads = 0;
  int key_dim = 0; // per head
  int value_dim = 0;
  int block_tokens = 64; // multiple of 16, 16..1024
  int element_bytes = 2; // 2: f16, 4: f32; as blocks leave the executor
  // In the pool: 16 is as element_bytes; 8 is a code for each element and an
  // f16 scale for each kKvGroup of a head.
  int kv_bits = 16;
  std::vector<LayerGroup> groups;

  /// Bytes of one token in one layer, K and V, outside of the pool.
  size_t token_layer_bytes() const;
  /// The same in the pool.
  size_t pool_token_layer_bytes() const;
  /// Bytes of one block of a group in the pool: all its layers, K and V.
  size_t block_bytes(int group) const;
  /// Blocks that `tokens` tokens hold at rest: ceil(tokens / block) for global
  /// groups, at most ceil(window / block) for sliding ones.
  int blocks_at_rest(int group, int tokens) const;
  /// The same while up to `step` tokens are appended at once: in a sliding
  /// group what they fill, and one more that turns over.
  int blocks_in_use(int group, int tokens, int step = 1) const;
  /// Blocks that cover `tokens` tokens, window or not: ceil(tokens / block).
  int blocks_covering(int tokens) const;
  /// Number of the first block that the token after `tokens` tokens attends
  /// to: 0 in a global group, in a sliding one the block of position
  /// tokens + 1 - window (the window counts the token itself).
  int first_block(int group, int tokens) const;
};

/// Throws kInvalidRequest when block_tokens or kv_bits is out of range.
ModelCacheSpec make_cache_spec(
    const ModelConfig& config,
    int block_tokens,
    int element_bytes,
    int kv_bits = 16);

/// Blocks per group that fit `budget_bytes`, in proportion to what one
/// sequence of `max_context` tokens needs that grows by up to `step` tokens at
/// once. A pool smaller than that bounds the
/// context; throws kInvalidRequest when it cannot hold two blocks per group.
std::vector<int> plan_pool(
    const ModelCacheSpec& spec,
    size_t budget_bytes,
    int max_context,
    int step = 1);

} // namespace stomp

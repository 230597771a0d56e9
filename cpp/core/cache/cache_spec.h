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

/// How the elements of keys and values are kept, in the pool and on disk: as
/// floating-point numbers, or as codes with a scale for each group of a head,
/// and perhaps a bias.
struct KvFormat {
  int element_bytes = 2; // of 16 bits: f16; 4: f32 in their place
  int bits = 16;         // of an element: 16, or a code's 8 or 4
  int group = 64;        // elements that share an f16 scale; of codes only
  bool biases = false;   // and an f16 bias; of codes only

  bool coded() const { return bits < 16; }
  /// Bytes of one head's elements or codes. Codes of 4 bits are two a byte.
  size_t element_bytes_of(int dim) const;
  /// Scales of one head; 0 without codes.
  int groups_of(int dim) const;
  /// All bytes of one head: elements or codes, scales, biases.
  size_t head_bytes(int dim) const;
  /// Whether what is kept in one is understood as the other.
  bool same_as(const KvFormat& other) const;
};

struct ModelCacheSpec {
  int n_layers = 0;
  int n_kv_heads = 0;
  int key_dim = 0; // per head
  int value_dim = 0;
  int block_tokens = 64; // multiple of 16, 16..1024
  KvFormat kv;
  std::vector<LayerGroup> groups;

  /// Bytes of one token in one layer, K and V.
  size_t token_layer_bytes() const;
  /// Bytes of one block of a group: all its layers, K and V.
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

/// Throws kInvalidRequest unless there are caches of so many bits an element.
void check_kv_bits(int bits);

/// Throws kInvalidRequest when block_tokens or a width of `kv` is out of range.
ModelCacheSpec make_cache_spec(
    const ModelConfig& config,
    int block_tokens,
    const KvFormat& kv);

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

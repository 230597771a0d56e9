// The bytes of the KV cache. One user: the engine thread; workers may read and
// write places of different tokens at once.
//
// One buffer per layer group, block after block; within a block, layer after
// layer of the group, KV head after KV head: K, then V, of block_tokens tokens,
// f16. K lies in tiles of kTileTokens tokens, (head_dim, kTileTokens), so that
// scores of neighbouring positions are neighbouring lanes; V is (block_tokens,
// head_dim).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "cache/block_table.h"
#include "cache/cache_spec.h"

namespace stomp::cpu {

class KvPool {
 public:
  KvPool() = default;
  /// Reserves address space only. Throws kInvalidRequest when the spec is not
  /// for this executor or the system refuses.
  KvPool(const ModelCacheSpec& spec, const std::vector<int>& blocks_per_group);

  const ModelCacheSpec& spec() const { return spec_; }
  size_t bytes() const;
  /// The group a layer belongs to.
  int group_of(int layer) const { return places_[layer].group; }

  /// Where K and V of one token's head begin: its tile's K and, in the tile,
  /// its column; its row of V. REQUIRES: the table has the position's block.
  struct Place {
    uint16_t* k_tile; // (head_dim, kTileTokens)
    int column;
    uint16_t* v_row; // (head_dim)
  };
  Place at(const BlockTable& table, int layer, int kv_head, int position);

  /// K and V of the tile that begins at `position`, a multiple of kTileTokens;
  /// null where the table has no block.
  struct Tile {
    const uint16_t* k = nullptr;
    const uint16_t* v = nullptr; // (kTileTokens, head_dim)
  };
  Tile tile(const BlockTable& table, int layer, int kv_head, int position)
      const;

  void copy(const BlockCopy& copy);
  /// See Executor::read_block and write_block.
  void read(int group, BlockId id, int n_tokens, std::span<std::byte> bytes)
      const;
  void
  write(int group, BlockId id, int n_tokens, std::span<const std::byte> bytes);

 private:
  struct LayerPlace {
    int group = -1;
    int index = 0; // in the group
  };

  size_t head_elements() const; // K and V of one head in a block
  size_t block_elements(int group) const;
  uint16_t* head(int group, BlockId id, int layer_index, int kv_head);
  const uint16_t* head(int group, BlockId id, int layer_index, int kv_head)
      const;
  void check(int group, BlockId id, int n_tokens, size_t bytes) const;

  ModelCacheSpec spec_;
  std::vector<LayerPlace> places_;  // by layer
  std::vector<int> capacity_;       // by group, blocks
  std::vector<PageBuffer> buffers_; // by group
};

} // namespace stomp::cpu

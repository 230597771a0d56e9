// The bytes of the KV cache. One user: the engine thread; workers may read and
// write places of different tokens at once.
//
// One buffer per layer group, block after block; within a block, layer after
// layer of the group, KV head after KV head: K, then V, of block_tokens tokens,
// as f16 or as int8 codes. K lies in tiles of kTileTokens tokens, (head_dim,
// kTileTokens), so that scores of neighbouring positions are neighbouring
// lanes; V is (block_tokens, head_dim). Codes are followed by what they are
// multiples of: (groups, block_tokens) f16 of K, then of V, see
// AttentionPiece::k_tops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "cache/block_table.h"
#include "cache/cache_spec.h"
#include "exec/cpu/kernels.h"

namespace stomp::cpu {

class KvPool {
 public:
  KvPool() = default;
  /// Reserves address space only. Throws kInvalidRequest when the spec is not
  /// for this executor or the system refuses.
  KvPool(
      const ModelCacheSpec& spec,
      const std::vector<int>& blocks_per_group,
      const Kernels& kernels);

  const ModelCacheSpec& spec() const { return spec_; }
  size_t bytes() const;
  /// The group a layer belongs to.
  int group_of(int layer) const { return places_[layer].group; }

  /// Stores one token's key and value of one head, (head_dim) each. Any
  /// thread. REQUIRES: the table has the position's block.
  void append(
      const BlockTable& table,
      int layer,
      int kv_head,
      int position,
      const float* k,
      const float* v);

  /// Makes tile `i` of `piece` the one that begins at `position`, a multiple
  /// of kTileTokens; null where the table has no block.
  void find_tile(
      const BlockTable& table,
      int layer,
      int kv_head,
      int position,
      AttentionPiece& piece,
      int i) const;
  /// What all pieces have in common.
  AttentionPiece empty_piece() const;

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
  /// K and V of one head in a block.
  struct Head {
    std::byte* k;
    std::byte* v;
    uint16_t* k_tops; // null for f16
    uint16_t* v_tops;
  };

  bool codes() const { return spec_.kv_bits == 8; }
  size_t element_bytes() const { return codes() ? 1 : 2; }
  int top_groups() const; // 0 for f16
  size_t head_bytes() const;
  size_t block_bytes(int group) const;
  Head head(int group, BlockId id, int layer_index, int kv_head) const;
  void put(const Head& head, int token, const float* k, const float* v);
  void get_codes(const Head& head, int token, uint16_t* k, uint16_t* v) const;
  void read_halves(
      const Head& from,
      int n,
      uint16_t* k,
      uint16_t* v,
      size_t row) const;
  void read_codes(const Head& from, int n, uint16_t* k, uint16_t* v, size_t row)
      const;
  void write_halves(
      const Head& to,
      int n,
      const uint16_t* k,
      const uint16_t* v,
      size_t row);
  void write_codes(
      const Head& to,
      int n,
      const uint16_t* k,
      const uint16_t* v,
      size_t row);
  void check(int group, BlockId id, int n_tokens, size_t bytes) const;

  ModelCacheSpec spec_;
  const Kernels* kernels_ = nullptr;
  std::vector<LayerPlace> places_;  // by layer
  std::vector<int> capacity_;       // by group, blocks
  std::vector<PageBuffer> buffers_; // by group
};

} // namespace stomp::cpu

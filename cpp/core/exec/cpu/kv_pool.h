// The bytes of the KV cache. One user: the engine thread; workers may read and
// write places of different tokens at once.
//
// One buffer per layer group, block after block; within a block, layer after
// layer of the group, KV head after KV head: K, then V, of block_tokens tokens,
// as f16 or as codes. K lies in tiles of kTileTokens tokens, (head_dim,
// kTileTokens), so that scores of neighbouring positions are neighbouring
// lanes; V is (block_tokens, head_dim). Codes are followed by their scales and,
// if they have any, biases, (groups, block_tokens) f16 each: of K, then of V.
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

/// How this executor keeps elements of so many bits.
KvFormat kv_format(int bits);

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
  /// Whether keys are kept spread (Kernels::spread), so that 4 bits suffice:
  /// append() takes them and queries meet them so.
  bool spreads_keys() const { return element_ == KvElement::kCode4; }
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
    uint16_t* k_scales; // null for f16
    uint16_t* v_scales;
  };

  bool codes() const { return element_ != KvElement::kF16; }
  size_t half_bytes(int n_tokens) const;
  size_t head_bytes() const;
  size_t block_bytes(int group) const;
  Head head(int group, BlockId id, int layer_index, int kv_head) const;
  void put_halves(const Head& to, int token, const float* k, const float* v);
  void put_codes(const Head& to, int token, const float* k, const float* v);
  void quantise(const float* x, std::byte* codes, uint16_t* scales) const;
  void read_keys(const Head& from, int n, std::byte* rows) const;
  void write_keys(const std::byte* rows, int n, const Head& to);
  size_t scale_place(int n, int token, int kv_head, int row) const;
  void read_scales(const uint16_t* scales, int n, int kv_head, std::byte* to)
      const;
  void write_scales(const std::byte* from, int n, int kv_head, uint16_t* scales)
      const;
  void check(int group, BlockId id, int n_tokens, size_t bytes) const;

  ModelCacheSpec spec_;
  KvElement element_ = KvElement::kF16;
  int row_bytes_ = 0;  // of one token's K or V of one head, without scales
  int scale_rows_ = 0; // scales, and biases if any, of such a row
  const Kernels* kernels_ = nullptr;
  std::vector<LayerPlace> places_;  // by layer
  std::vector<int> capacity_;       // by group, blocks
  std::vector<PageBuffer> buffers_; // by group
};

} // namespace stomp::cpu

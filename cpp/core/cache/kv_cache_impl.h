// The inside of KvCache, in three rooms: kv_cache_adopt.cc makes a sequence
// hold a prefix found in the cache, kv_cache_grow.cc gives it blocks to write,
// kv_cache_index.cc tells the index what was written.
//
// Two things hold between any two calls of KvCache:
//   - a sequence's full block is the one that the index knows for its content,
//     so equal content is held once;
//   - a block that is written has one writer, the sequence with room in it, and
//     is written behind all that others, or the index, rely on.
#pragma once

#include "cache/kv_cache.h"
#include "cache/prefix_index.h"
#include "cache/prefix_match.h"

namespace stomp {

struct KvCache::Impl {
  Impl(ModelCacheSpec model_spec, const std::vector<int>& blocks_per_group);

  // --- adopting a prefix

  /// Makes the sequence's table hold the match and nothing else; returns its
  /// length. The tokens are the caller's to set.
  int take(
      CachedSequence& seq,
      const PrefixMatch& match,
      std::vector<BlockCopy>& copies);
  BlockTable share(
      const CachedSequence& seq,
      const PrefixMatch& match,
      int tokens,
      int blocks);
  BlockTable replace_by_copy(
      CachedSequence& seq,
      const PrefixMatch& match,
      std::vector<BlockCopy>& copies);
  bool append_copy(
      BlockTable& table,
      PrefixIndex::Node source,
      std::vector<BlockCopy>& copies);

  // --- growing

  struct Growth {
    int blocks = 0;           // that the table will have, in every group
    bool writes_tail = false; // behind tokens that others may rely on
    bool fits = true;
    // No block is left for the copy, but nobody else holds the tail: the index
    // forgets it and it is written in place.
    bool take_over = false;
  };

  Growth plan_growth(const CachedSequence& seq, int n) const;
  /// Blocks to append in the group.
  int fresh(const CachedSequence& seq, const Growth& growth, int g) const;
  /// Whether the group's tail must be copied first.
  bool must_copy(const CachedSequence& seq, const Growth& growth, int g) const;
  bool fits(const CachedSequence& seq, const Growth& growth) const;
  void grow(
      CachedSequence& seq,
      const Growth& growth,
      std::vector<BlockCopy>& copies);
  void copy_tail(CachedSequence& seq, int g, std::vector<BlockCopy>& copies);
  /// Whether writing behind the tail's tokens would hurt another holder or what
  /// the index says of the block.
  bool tail_relied_on(const CachedSequence& seq, int g) const;
  bool only_holder_of_tail(const CachedSequence& seq) const;

  /// Blocks of the group that go back to the pool when the sequence does.
  int held_alone(const CachedSequence& seq, int g) const;

  // --- indexing

  /// Enters the full block behind the hashed ones, or swaps it for an equal one
  /// that is known already.
  void index_next_block(CachedSequence& seq);
  /// Enters the partial last block, unless its tokens are known.
  void index_tail(const CachedSequence& seq);
  /// The node of the sequence's first `blocks` full blocks.
  PrefixIndex::Node node_of(const CachedSequence& seq, int blocks);
  /// The index no longer knows this block.
  void forget(int g, BlockId id);
  /// How many leading tokens of the block the index relies on.
  int known_tokens(int g, BlockId id) const;

  // --- tables

  int groups() const { return pool.groups(); }
  BlockTable empty_table() const;
  /// Tokens behind the last full block.
  int tail_tokens(const CachedSequence& seq) const {
    return seq.table.n_tokens % spec.block_tokens;
  }
  /// REQUIRES: tail_tokens() > 0.
  BlockId tail(const CachedSequence& seq, int g) const {
    return seq.table.blocks[g][seq.table.n_tokens / spec.block_tokens];
  }
  /// First block that a sequence of `tokens` tokens keeps: one token further
  /// back than it needs, so that the last one can always be taken back.
  int first_kept(int g, int tokens) const;
  /// Gives the blocks from `number` on back, last ones first, so that a prefix
  /// outlives what follows it.
  void drop_blocks(BlockTable& table, int g, int number);
  void drop_table(BlockTable& table);
  /// Gives back what the windows have moved past, first blocks first: the last
  /// ones may still belong to the window of a shorter prefix.
  void drop_passed(CachedSequence& seq);

  ModelCacheSpec spec;
  BlockPool pool;
  PrefixIndex index;
};

} // namespace stomp

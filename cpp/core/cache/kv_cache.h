// The pool, the prefix index and every block table's life: grow, share, copy
// on write, truncate, release. Decides which block holds what; the executor
// moves the bytes (see BlockCopy). One user: the engine thread.
//
// Content addressing: block i of a sequence is known by
//   h_i = H(h_{i-1}, tokens of block i),  h_{-1} = H(seed),
// the seed being model fingerprint, numerics id and cache salt. A block is
// never written at a position that another holder, or the index, relies on:
// it is copied first.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/block_pool.h"
#include "cache/block_table.h"
#include "cache/cache_spec.h"

namespace stomp {

/// A sequence known to the cache: its tokens and where they lie.
/// tokens.size() == table.n_tokens at all times.
struct CachedSequence {
  uint64_t seed = 0; // of its hash chain, see KvCache::seed
  std::vector<int32_t> tokens;
  BlockTable table;
  std::vector<uint64_t> hashes; // of the full blocks
  // reserve() made positions [table.n_tokens, room) writable; kept by KvCache.
  int room = 0;
};

class KvCache {
 public:
  KvCache(ModelCacheSpec spec, const std::vector<int>& blocks_per_group);
  ~KvCache();

  const ModelCacheSpec& spec() const;
  const BlockPool& pool() const;

  /// Seed of a hash chain for an identity string (model, numerics, salt).
  static uint64_t seed(const std::string& identity);

  /// An empty sequence.
  CachedSequence open(uint64_t seed) const;

  /// How many leading tokens of `prompt` could be reused: by this sequence's
  /// own cache and by the index, capped at prompt.size() - 1 (the last token
  /// must be computed for its logits).
  struct Match {
    int own = 0;    // tokens of the sequence's own cache
    int shared = 0; // tokens reachable through the index
  };
  Match match(const CachedSequence& seq, std::span<const int32_t> prompt) const;

  /// Makes `seq` hold the longest reusable prefix of `prompt`, own or shared,
  /// and nothing else; returns its length. Blocks found through the index are
  /// shared; a partly matching block is copied (appended to `copies`) if a
  /// block can be had, else left out.
  int adopt(
      CachedSequence& seq,
      std::span<const int32_t> prompt,
      std::vector<BlockCopy>& copies);

  /// Blocks of a group that growing `seq` by n tokens will take from the pool,
  /// copies on write included.
  int need(const CachedSequence& seq, int n, int group) const;
  bool can_grow(const CachedSequence& seq, int n) const;
  /// The most that it will have to take at any time while it grows by n tokens
  /// in steps of up to `step`: a sliding group gives back what it passes.
  int need_in_steps(const CachedSequence& seq, int n, int step, int group)
      const;

  /// Makes room for n tokens behind table.n_tokens, all or nothing; false when
  /// the pool cannot. A shared tail block is copied first. table.n_tokens is
  /// unchanged: the tokens count once commit() says they are written. Room that
  /// is there already counts, so a step may be prepared while the one before
  /// is still to be committed: n then covers both.
  bool reserve(CachedSequence& seq, int n, std::vector<BlockCopy>& copies);

  /// Makes room in an empty sequence for n tokens that are brought back from
  /// elsewhere, all or nothing. Of group g the blocks before first[g] are left
  /// out: its window has passed them. commit() says which tokens are there.
  bool reserve_restored(CachedSequence& seq, int n, std::span<const int> first);

  /// From now on growing to this many tokens allocates no memory: reserve() and
  /// commit() have all their tables need. Blocks are not reserved.
  void expect(CachedSequence& seq, int tokens) const;

  /// The executor wrote K and V of these tokens, at positions n_tokens..;
  /// blocks that became full enter the index; blocks that fell out of a
  /// sliding window are released. May put an equal block that is known already
  /// in the place of a new one, so the table counts as changed. REQUIRES:
  /// reserved (else throws std::logic_error).
  void commit(CachedSequence& seq, std::span<const int32_t> tokens);

  /// Forgets tokens from n on (a diverging conversation, an aborted step) and
  /// gives reserved but unused blocks back. Taking back one committed token
  /// always works; going further back than a sliding window's blocks reach,
  /// and than the index still knows, forgets more: table.n_tokens says what is
  /// left.
  void truncate(CachedSequence& seq, int n);

  /// Enters the partial tail block into the index, so that another prompt can
  /// copy it. Called when a turn ends.
  void publish_tail(CachedSequence& seq);

  /// A second holder of the same tokens and blocks: O(blocks), no bytes moved.
  /// What is reserved, or written but not committed, stays with `seq` alone.
  CachedSequence fork(const CachedSequence& seq);

  /// Gives every block back; indexed ones stay cached until reclaimed.
  void release(CachedSequence& seq);

  /// Forgets cached (unreferenced) content; used by "clear caches".
  void drop_cached();

  /// Blocks whose content is known to the index.
  uint64_t indexed_blocks() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace stomp

// How much of a prompt lies in the cache: in a sequence's own table and in the
// index. Reads only. One user: KvCache, on the engine thread.
//
// A prefix of n tokens is valid if every group has its blocks from
// ModelCacheSpec::first_block(n) on, in a global group all of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/cache_spec.h"
#include "cache/kv_cache.h"
#include "cache/prefix_index.h"

namespace stomp {

class PrefixMatch {
 public:
  /// Follows `prompt`, of which `seq` holds the first `own` tokens itself.
  /// `tails`: look for a block to copy behind the last full one, too.
  PrefixMatch(
      const PrefixIndex& index,
      const ModelCacheSpec& spec,
      const CachedSequence& seq,
      int own,
      std::span<const int32_t> prompt,
      bool tails);

  /// The longest valid prefix that is had by sharing blocks; its last block is
  /// partly used only if it is the sequence's own.
  int shared() const { return shared_; }
  /// A longer one that needs a copy of its last block, 0 if there is none.
  int copied() const { return copied_; }
  /// The node to copy the last block from.
  PrefixIndex::Node copy_source() const { return copy_source_; }
  int longest() const { return copied_ > 0 ? copied_ : shared_; }

  /// Where full block number `number` of the prefix lies, kNoBlock if gone.
  BlockId block(int group, int number) const;
  /// Of the full blocks that were followed, at least shared() / block_tokens.
  const std::vector<uint64_t>& hashes() const { return hashes_; }

 private:
  bool follow_block();
  bool global_blocks_exist(int number) const;
  bool windows_exist(int tokens) const;
  void consider_own_tail();
  void consider_children();

  const PrefixIndex& index_;
  const ModelCacheSpec& spec_;
  const CachedSequence& seq_;
  const int own_;
  const std::span<const int32_t> prompt_;

  PrefixIndex::Node last_ = PrefixIndex::kNone; // where the path ends
  std::vector<PrefixIndex::Node> path_; // one per full block; kNone: own only
  std::vector<uint64_t> hashes_;
  std::vector<int> run_; // per group: blocks in a row that end the path
  int shared_ = 0;
  int copied_ = 0;
  PrefixIndex::Node copy_source_ = PrefixIndex::kNone;
};

/// Whether the sequence's own table is valid for its first `tokens` tokens.
bool own_prefix_valid(
    const ModelCacheSpec& spec,
    const CachedSequence& seq,
    int tokens);

} // namespace stomp

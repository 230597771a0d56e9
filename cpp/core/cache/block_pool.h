// Counts block ids and owns no bytes. One writer: the engine thread.
//
// Every id of a group is in exactly one state:
//   free    nobody holds it, its content means nothing;
//   used    reference count >= 1;
//   cached  nobody holds it, but the prefix index still knows its content; it
//           is reclaimed, oldest first, when no free block is left.
// Invariant, per group: free + cached + used = capacity. Every operation takes
// constant time per block. A group or block that does not exist, a release
// without a holder and the like throw std::logic_error: they are bugs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace stomp {

using BlockId = int32_t;
inline constexpr BlockId kNoBlock = -1;

class BlockPool {
 public:
  /// capacity[g] = number of blocks of layer group g.
  explicit BlockPool(std::vector<int> capacity);

  int groups() const;
  int capacity(int group) const;
  int free(int group) const;
  int cached(int group) const;
  int used(int group) const;
  /// What allocate() can still give: free + cached.
  int available(int group) const;

  /// All or nothing: fills `out` with fresh blocks (count 1) or returns false
  /// and changes nothing. Takes free blocks first, then reclaims cached ones.
  bool allocate(int group, std::span<BlockId> out);

  /// One more holder. A cached block comes back to life.
  /// REQUIRES: the block is used or cached (else throws std::logic_error).
  void retain(int group, BlockId id);

  /// One holder less; at zero the block becomes cached if marked so, else
  /// free. A block that nobody holds throws std::logic_error (double free).
  void release(int group, BlockId id);

  /// Number of holders.
  int count(int group, BlockId id) const;

  /// Tells the pool that the prefix index does, or does no longer, know this
  /// block's content. Unmarking a cached block frees it.
  /// REQUIRES: the block is used or cached (else throws std::logic_error).
  void set_indexed(int group, BlockId id, bool indexed);

  /// Called for each cached block just before allocate() hands it out anew; it
  /// is unmarked by then. The callback must not call the pool.
  void on_reclaim(std::function<void(int group, BlockId id)> callback);

  /// Blocks handed out since the start, per group, for statistics.
  uint64_t allocated_total(int group) const;
  uint64_t reclaimed_total(int group) const;

 private:
  // count == 0 and not indexed: free. count == 0 and indexed: cached.
  struct Block {
    int32_t count = 0;
    bool indexed = false;
    BlockId prev = kNoBlock; // older neighbour among the cached
    BlockId next = kNoBlock; // newer neighbour, or next of the free
  };
  struct Group {
    std::vector<Block> blocks;
    BlockId first_free = kNoBlock;
    BlockId oldest = kNoBlock; // ends of the cached list
    BlockId newest = kNoBlock;
    int free = 0;
    int cached = 0;
    int used = 0;
    uint64_t allocated = 0;
    uint64_t reclaimed = 0;
  };

  Group& group_at(int group);
  const Group& group_at(int group) const;
  static Block& block_at(Group& group, BlockId id);
  static void push_free(Group& group, BlockId id);
  static BlockId pop_free(Group& group);
  static void push_cached(Group& group, BlockId id);
  static void unlink_cached(Group& group, BlockId id);
  BlockId reclaim_oldest(int group);

  std::vector<Group> groups_;
  std::function<void(int group, BlockId id)> on_reclaim_;
};

} // namespace stomp

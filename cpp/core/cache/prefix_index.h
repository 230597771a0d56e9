// Which block holds which content: a tree of token blocks, one root per seed.
// One user: KvCache, on the engine thread.
//
// A node is one block's worth of tokens (full) or fewer (a published tail)
// after exactly its parent's prefix. It names the block that holds them in each
// layer group, or kNoBlock where that block was reclaimed. A node is found by
// its hash, and taken only if its parent is the very node asked for and its
// tokens are equal: a collision costs a comparison, never another prompt's
// content.
//
// Room for a node a block is set aside at the start, so that a block that
// becomes full in the middle of an answer costs no allocation.
//
// A node lives as long as it has a block or a child, so nothing is left behind
// when blocks are reclaimed in any order, and recomputing a lost block brings
// the nodes below it back within reach.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "cache/block_pool.h"

namespace stomp {

class PrefixIndex {
 public:
  /// Valid until the node is dropped by detach().
  using Node = int32_t;
  static constexpr Node kNone = -1;

  /// capacity[g] = number of blocks of layer group g.
  PrefixIndex(int block_tokens, const std::vector<int>& capacity);

  /// The root of a seed, kNone if nothing hangs from it.
  Node find_root(uint64_t seed) const;
  Node make_root(uint64_t seed);

  /// The full child with these tokens, kNone if there is none or parent is
  /// kNone. `hash` is chain_hash of the parent's hash and the tokens.
  Node find(Node parent, uint64_t hash, std::span<const int32_t> tokens) const;

  /// find(), or a new node. A new one must be given a block or a child before
  /// the next detach().
  Node find_or_add(Node parent, uint64_t hash, std::span<const int32_t> tokens);

  /// A new node for a tail. REQUIRES: 0 < tokens < block_tokens. As above.
  Node add_tail(Node parent, std::span<const int32_t> tokens);

  struct Overlap {
    Node node = kNone;
    int tokens = 0;
  };
  /// The child that has its blocks in all groups and shares most leading
  /// tokens, at least one.
  Overlap longest_child(Node parent, std::span<const int32_t> tokens) const;

  /// Number of tokens of the node itself.
  int length(Node node) const;
  BlockId block(Node node, int group) const;
  /// The node that knows this block's content, kNone if none does.
  Node owner(int group, BlockId id) const;

  /// REQUIRES: the node has no block in the group, the block no owner.
  void attach(Node node, int group, BlockId id);
  /// Takes the block from its owner, and drops the owner and its ancestors as
  /// far as they are left without block and child.
  void detach(int group, BlockId id);

  /// Blocks that have an owner.
  size_t attached() const { return attached_; }
  /// Nodes, roots included.
  size_t size() const { return size_; }

 private:
  struct Links {
    uint64_t hash = 0; // of a root: its seed
    Node parent = kNone;
    Node first_child = kNone;
    Node next = kNone; // sibling; in an unused slot: the next unused one
    Node prev = kNone;
    Node next_of_bucket = kNone; // full nodes
    int length = 0;              // tokens
    int blocks = 0;              // groups that have one
  };

  std::span<const int32_t> tokens_of(Node node) const;
  bool is_root(Node node) const { return nodes_[node].parent == kNone; }
  Node take_slot();
  Node add(Node parent, uint64_t hash, std::span<const int32_t> tokens);
  void drop(Node node);
  /// Where the chain of full nodes with this hash, among others, begins.
  Node& bucket(uint64_t hash);
  void forget_hash(Node node);

  const int block_tokens_;
  const int n_groups_;
  std::vector<Links> nodes_;
  std::vector<int32_t> tokens_;          // (nodes, block_tokens)
  std::vector<BlockId> blocks_;          // (nodes, n_groups)
  std::vector<std::vector<Node>> owner_; // (n_groups, capacity)
  Node first_unused_ = kNone;
  std::unordered_map<uint64_t, Node> roots_;
  std::vector<Node> buckets_; // a power of two
  size_t attached_ = 0;
  size_t size_ = 0;
};

} // namespace stomp

#include "cache/prefix_index.h"

#include <chrono>
#include <cstdio>
#include <numeric>
#include <random>
#include <set>

#include "cache/chain_hash.h"
#include "check.h"

using namespace stomp;

namespace {

using Node = PrefixIndex::Node;
using Tokens = std::vector<int32_t>;
constexpr Node kNone = PrefixIndex::kNone;

/// A full child with blocks in all of the index's groups.
Node add_full(
    PrefixIndex& index,
    Node parent,
    uint64_t hash,
    const Tokens& tokens,
    BlockId id,
    int groups = 1) {
  const Node node = index.find_or_add(parent, hash, tokens);
  for (int g = 0; g < groups; g++) {
    index.attach(node, g, id);
  }
  return node;
}

} // namespace

TEST("chain hash: agrees with SipHash-2-4 as computed elsewhere") {
  Tokens many(64);
  std::iota(many.begin(), many.end(), 0);
  CHECK_EQUAL(chain_hash(0, {}), 0xf9d48ea0a9ecc8fcu);
  CHECK_EQUAL(chain_hash(1, Tokens{1, 2, 3, -4}), 0x2bc3a0ff709e65cbu);
  CHECK_EQUAL(chain_hash(2, Tokens{5, 6, 7}), 0x1f426e3c6da01f7bu);
  CHECK_EQUAL(chain_hash(0x0123456789abcdef, many), 0x1fcce5e004db7c89u);
  CHECK_EQUAL(identity_hash("model"), 0x9372c470eeadd5ecu); // SHA-256's first
}

TEST("chain hash: order, length, parent and identity all count") {
  std::set<uint64_t> seen;
  int n = 0;
  for (const uint64_t parent : {0u, 1u}) {
    for (const Tokens& tokens :
         {Tokens{1, 2}, Tokens{2, 1}, Tokens{1, 2, 0}, Tokens{1, 2, 0, 0}}) {
      seen.insert(chain_hash(parent, tokens));
      n++;
    }
  }
  for (const char* name : {"", "a", "ab", "a b"}) {
    seen.insert(identity_hash(name));
    n++;
  }
  CHECK_EQUAL(static_cast<int>(seen.size()), n);
}

TEST("prefix index: a full block is found below its own parent only") {
  PrefixIndex index(4, {8});
  const Node root = index.make_root(1);
  CHECK_EQUAL(index.make_root(1), root);
  const Node a = add_full(index, root, 10, {1, 2, 3, 4}, 0);
  const Node b = add_full(index, a, 20, {5, 6, 7, 8}, 1);
  CHECK_EQUAL(index.find(root, 10, Tokens{1, 2, 3, 4}), a);
  CHECK_EQUAL(index.find(a, 20, Tokens{5, 6, 7, 8}), b);
  CHECK_EQUAL(index.find(root, 20, Tokens{5, 6, 7, 8}), kNone);
  CHECK_EQUAL(index.find(kNone, 10, Tokens{1, 2, 3, 4}), kNone);
  CHECK_EQUAL(index.find_or_add(root, 10, Tokens{1, 2, 3, 4}), a);
  CHECK_EQUAL(index.block(b, 0), 1);
  CHECK_EQUAL(index.owner(0, 1), b);
  CHECK_EQUAL(index.owner(0, 2), kNone);
  CHECK_EQUAL(index.length(b), 4);
  CHECK_EQUAL(index.attached(), 2u);
}

TEST("prefix index: a collision of hashes never yields other tokens") {
  PrefixIndex index(4, {8});
  const Node root = index.make_root(1);
  const Node other = index.make_root(2);
  const uint64_t same = 42;
  const Node a = add_full(index, root, same, {1, 1, 1, 1}, 0);
  CHECK_EQUAL(index.find(root, same, Tokens{2, 2, 2, 2}), kNone);
  const Node b = add_full(index, root, same, {2, 2, 2, 2}, 1);
  const Node below = add_full(index, a, same, {2, 2, 2, 2}, 2);
  const Node elsewhere = add_full(index, other, same, {1, 1, 1, 1}, 3);
  CHECK_EQUAL(index.find(root, same, Tokens{1, 1, 1, 1}), a);
  CHECK_EQUAL(index.find(root, same, Tokens{2, 2, 2, 2}), b);
  CHECK_EQUAL(index.find(a, same, Tokens{2, 2, 2, 2}), below);
  CHECK_EQUAL(index.find(other, same, Tokens{1, 1, 1, 1}), elsewhere);
  CHECK_EQUAL(index.find(b, same, Tokens{2, 2, 2, 2}), kNone);

  index.detach(0, 1); // the right one of the three goes
  CHECK_EQUAL(index.find(root, same, Tokens{2, 2, 2, 2}), kNone);
  CHECK_EQUAL(index.find(root, same, Tokens{1, 1, 1, 1}), a);
  CHECK_EQUAL(index.find(a, same, Tokens{2, 2, 2, 2}), below);
}

TEST("prefix index: seeds do not meet") {
  PrefixIndex index(4, {8});
  add_full(index, index.make_root(1), 10, {1, 2, 3, 4}, 0);
  CHECK_EQUAL(index.find_root(2), kNone);
  const Node two = index.make_root(2);
  CHECK_EQUAL(index.find(two, 10, Tokens{1, 2, 3, 4}), kNone);
  CHECK_EQUAL(index.longest_child(two, Tokens{1, 2, 3}).tokens, 0);
}

TEST("prefix index: the child that shares most tokens is the one to copy") {
  PrefixIndex index(4, {8});
  const Node root = index.make_root(1);
  add_full(index, root, 10, {1, 2, 9, 9}, 0);
  const Node tail = index.add_tail(root, Tokens{1, 2, 3});
  index.attach(tail, 0, 1);
  add_full(index, root, 11, {7, 7, 7, 7}, 2);

  const auto overlap = index.longest_child(root, Tokens{1, 2, 3, 4, 5});
  CHECK_EQUAL(overlap.node, tail);
  CHECK_EQUAL(overlap.tokens, 3);
  CHECK_EQUAL(index.longest_child(root, Tokens{1, 2}).tokens, 2);
  CHECK_EQUAL(index.longest_child(root, Tokens{7, 7, 7, 0}).tokens, 3);
  CHECK_EQUAL(index.longest_child(root, Tokens{5}).node, kNone);
  CHECK_EQUAL(index.longest_child(root, Tokens{}).node, kNone);
  CHECK_EQUAL(index.longest_child(kNone, Tokens{1}).node, kNone);
  // A tail is no full block, even where a block ends.
  CHECK_EQUAL(index.find(root, 0, Tokens{1, 2, 3}), kNone);
}

TEST("prefix index: a block missing in one group cannot be copied") {
  PrefixIndex index(4, {8, 8});
  const Node root = index.make_root(1);
  const Node node = add_full(index, root, 10, {1, 2, 3, 4}, 0, 2);
  CHECK_EQUAL(index.longest_child(root, Tokens{1, 2, 3}).node, node);
  index.detach(1, 0);
  CHECK_EQUAL(index.longest_child(root, Tokens{1, 2, 3}).node, kNone);
  CHECK_EQUAL(index.find(root, 10, Tokens{1, 2, 3, 4}), node);
  CHECK_EQUAL(index.block(node, 0), 0);
  CHECK_EQUAL(index.block(node, 1), kNoBlock);
  index.attach(node, 1, 5);
  CHECK_EQUAL(index.longest_child(root, Tokens{1, 2, 3}).node, node);
}

TEST("prefix index: what lost its block stays while something hangs from it") {
  PrefixIndex index(2, {8});
  const Node root = index.make_root(1);
  const Node a = add_full(index, root, 10, {1, 1}, 0);
  const Node b = add_full(index, a, 11, {2, 2}, 1);
  const Node c = add_full(index, b, 12, {3, 3}, 2);
  CHECK_EQUAL(index.size(), 4u);
  index.detach(0, 0);
  index.detach(0, 1);
  CHECK_EQUAL(index.size(), 4u);
  CHECK_EQUAL(index.find(b, 12, Tokens{3, 3}), c);

  // Recomputed, the parent finds its old children.
  CHECK_EQUAL(index.find_or_add(root, 10, Tokens{1, 1}), a);
  index.attach(a, 0, 3);

  index.detach(0, 2); // takes b along, not a
  CHECK_EQUAL(index.size(), 2u);
  index.detach(0, 3); // and the root with the last
  CHECK_EQUAL(index.size(), 0u);
  CHECK_EQUAL(index.attached(), 0u);
  CHECK_EQUAL(index.find_root(1), kNone);
}

TEST("prefix index: siblings leave in any order") {
  for (int first = 0; first < 3; first++) {
    PrefixIndex index(1, {3});
    const Node root = index.make_root(1);
    for (BlockId id = 0; id < 3; id++) {
      add_full(index, root, 10 + id, {id}, id);
    }
    for (int i = 0; i < 3; i++) {
      const BlockId gone = (first + i) % 3;
      index.detach(0, gone);
      for (BlockId id = 0; id < 3; id++) {
        const bool there = index.owner(0, id) != kNone;
        CHECK_EQUAL(
            index.longest_child(index.find_root(1), Tokens{id}).tokens,
            there ? 1 : 0);
      }
    }
    CHECK_EQUAL(index.size(), 0u);
  }
}

TEST("prefix index: a block has one owner, a place one block") {
  PrefixIndex index(2, {4});
  const Node root = index.make_root(1);
  const Node a = add_full(index, root, 10, {1, 1}, 0);
  CHECK_THROWS(index.attach(a, 0, 1), std::logic_error);
  const Node b = index.find_or_add(root, 11, Tokens{2, 2});
  CHECK_THROWS(index.attach(b, 0, 0), std::logic_error);
  CHECK_THROWS(index.detach(0, 3), std::logic_error);
}

TEST("prefix index: slots are used again") {
  PrefixIndex index(2, {1});
  Node highest = 0;
  for (int i = 0; i < 1000; i++) {
    const Node root = index.make_root(i);
    const Node node = add_full(index, root, i, {i, i}, 0);
    highest = std::max({highest, root, node});
    index.detach(0, 0);
  }
  CHECK(highest < 2);
}

TEST("prefix index: what a search among many siblings costs") {
  using Clock = std::chrono::steady_clock;
  const int n = 8192;
  const int block = 64;
  PrefixIndex index(block, {n});
  const Node root = index.make_root(1);
  std::mt19937 random(7);
  Tokens tokens(block);
  for (BlockId id = 0; id < n; id++) {
    for (int32_t& token : tokens) {
      token = static_cast<int32_t>(random() % 50000);
    }
    add_full(index, root, chain_hash(1, tokens), tokens, id);
  }
  const auto start = Clock::now();
  CHECK_EQUAL(index.longest_child(root, tokens).tokens, block);
  const auto middle = Clock::now();
  for (int i = 0; i < 1000; i++) {
    CHECK(index.find(root, chain_hash(1, tokens), tokens) != kNone);
  }
  const auto end = Clock::now();
  std::printf(
      "      longest overlap of %d: %.0f us; hash and find: %.2f us\n",
      n,
      std::chrono::duration<double, std::micro>(middle - start).count(),
      std::chrono::duration<double, std::micro>(end - middle).count() / 1000);
}

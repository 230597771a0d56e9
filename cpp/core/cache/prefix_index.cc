#include "cache/prefix_index.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace stomp {

PrefixIndex::PrefixIndex(int block_tokens, const std::vector<int>& capacity)
    : block_tokens_(block_tokens),
      n_groups_(static_cast<int>(capacity.size())) {
  owner_.reserve(capacity.size());
  size_t most = 1;
  for (const int blocks : capacity) {
    owner_.emplace_back(blocks, kNone);
    most = std::max(most, static_cast<size_t>(std::max(0, blocks)));
  }
  buckets_.assign(std::bit_ceil(most), kNone);
  nodes_.reserve(most);
  tokens_.reserve(most * static_cast<size_t>(std::max(0, block_tokens)));
  blocks_.reserve(most * n_groups_);
}

PrefixIndex::Node PrefixIndex::find_root(uint64_t seed) const {
  const auto it = roots_.find(seed);
  return it == roots_.end() ? kNone : it->second;
}

PrefixIndex::Node PrefixIndex::make_root(uint64_t seed) {
  const Node known = find_root(seed);
  if (known != kNone) {
    return known;
  }
  const Node node = take_slot();
  nodes_[node].hash = seed;
  roots_.emplace(seed, node);
  return node;
}

PrefixIndex::Node PrefixIndex::find(
    Node parent,
    uint64_t hash,
    std::span<const int32_t> tokens) const {
  if (parent == kNone) {
    return kNone;
  }
  for (Node node = buckets_[hash & (buckets_.size() - 1)]; node != kNone;
       node = nodes_[node].next_of_bucket) {
    if (nodes_[node].hash == hash && nodes_[node].parent == parent &&
        std::ranges::equal(tokens_of(node), tokens)) {
      return node;
    }
  }
  return kNone;
}

PrefixIndex::Node PrefixIndex::find_or_add(
    Node parent,
    uint64_t hash,
    std::span<const int32_t> tokens) {
  Node node = find(parent, hash, tokens);
  if (node == kNone) {
    node = add(parent, hash, tokens);
    nodes_[node].next_of_bucket = bucket(hash);
    bucket(hash) = node;
  }
  return node;
}

PrefixIndex::Node PrefixIndex::add_tail(
    Node parent,
    std::span<const int32_t> tokens) {
  return add(parent, 0, tokens);
}

PrefixIndex::Overlap PrefixIndex::longest_child(
    Node parent,
    std::span<const int32_t> tokens) const {
  Overlap best;
  if (parent == kNone) {
    return best;
  }
  for (Node child = nodes_[parent].first_child; child != kNone;
       child = nodes_[child].next) {
    if (nodes_[child].blocks < n_groups_) {
      continue;
    }
    const std::span<const int32_t> own = tokens_of(child);
    const auto [end, rest] = std::ranges::mismatch(own, tokens);
    const int common = static_cast<int>(end - own.begin());
    if (common > best.tokens) {
      best = {child, common};
    }
  }
  return best;
}

int PrefixIndex::length(Node node) const {
  return nodes_[node].length;
}

BlockId PrefixIndex::block(Node node, int group) const {
  return blocks_[static_cast<size_t>(node) * n_groups_ + group];
}

PrefixIndex::Node PrefixIndex::owner(int group, BlockId id) const {
  return owner_[group][id];
}

void PrefixIndex::attach(Node node, int group, BlockId id) {
  BlockId& slot = blocks_[static_cast<size_t>(node) * n_groups_ + group];
  if (slot != kNoBlock || owner_[group][id] != kNone) {
    throw std::logic_error("prefix index: the block's place is taken");
  }
  slot = id;
  owner_[group][id] = node;
  nodes_[node].blocks++;
  attached_++;
}

void PrefixIndex::detach(int group, BlockId id) {
  Node node = owner_[group][id];
  if (node == kNone) {
    throw std::logic_error("prefix index: the block is not known");
  }
  owner_[group][id] = kNone;
  blocks_[static_cast<size_t>(node) * n_groups_ + group] = kNoBlock;
  nodes_[node].blocks--;
  attached_--;
  while (node != kNone && nodes_[node].blocks == 0 &&
         nodes_[node].first_child == kNone) {
    const Node parent = nodes_[node].parent;
    drop(node);
    node = parent;
  }
}

std::span<const int32_t> PrefixIndex::tokens_of(Node node) const {
  return {
      tokens_.data() + static_cast<size_t>(node) * block_tokens_,
      static_cast<size_t>(nodes_[node].length)};
}

PrefixIndex::Node PrefixIndex::take_slot() {
  if (first_unused_ == kNone) {
    first_unused_ = static_cast<Node>(nodes_.size());
    nodes_.emplace_back();
    tokens_.resize(tokens_.size() + block_tokens_);
    blocks_.resize(blocks_.size() + n_groups_, kNoBlock);
  }
  const Node node = first_unused_;
  first_unused_ = nodes_[node].next;
  nodes_[node] = Links{};
  size_++;
  return node;
}

PrefixIndex::Node
PrefixIndex::add(Node parent, uint64_t hash, std::span<const int32_t> tokens) {
  const Node node = take_slot();
  Links& links = nodes_[node];
  links.hash = hash;
  links.parent = parent;
  links.length = static_cast<int>(tokens.size());
  links.next = nodes_[parent].first_child;
  if (links.next != kNone) {
    nodes_[links.next].prev = node;
  }
  nodes_[parent].first_child = node;
  std::ranges::copy(
      tokens, tokens_.begin() + static_cast<ptrdiff_t>(node) * block_tokens_);
  return node;
}

void PrefixIndex::drop(Node node) {
  const Links& links = nodes_[node];
  if (is_root(node)) {
    roots_.erase(links.hash);
  } else {
    if (links.length == block_tokens_) {
      forget_hash(node);
    }
    Node& before = links.prev == kNone ? nodes_[links.parent].first_child
                                       : nodes_[links.prev].next;
    before = links.next;
    if (links.next != kNone) {
      nodes_[links.next].prev = links.prev;
    }
  }
  nodes_[node].next = first_unused_;
  first_unused_ = node;
  size_--;
}

PrefixIndex::Node& PrefixIndex::bucket(uint64_t hash) {
  return buckets_[hash & (buckets_.size() - 1)];
}

void PrefixIndex::forget_hash(Node node) {
  Node* link = &bucket(nodes_[node].hash);
  while (*link != node) {
    link = &nodes_[*link].next_of_bucket;
  }
  *link = nodes_[node].next_of_bucket;
}

} // namespace stomp

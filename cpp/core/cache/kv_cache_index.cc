#include <utility>

#include "cache/chain_hash.h"
#include "cache/kv_cache_impl.h"

namespace stomp {

namespace {

std::span<const int32_t>
tokens_of_block(const CachedSequence& seq, int number, int block_tokens) {
  return std::span(seq.tokens)
      .subspan(static_cast<size_t>(number) * block_tokens, block_tokens);
}

} // namespace

PrefixIndex::Node KvCache::Impl::node_of(
    const CachedSequence& seq,
    int blocks) {
  for (int g = 0; g < groups() && blocks > 0; g++) {
    const BlockId id = seq.table.blocks[g][blocks - 1];
    if (id != kNoBlock && index.owner(g, id) != PrefixIndex::kNone) {
      return index.owner(g, id);
    }
  }
  // With sliding groups alone, nothing may be left of what lies behind.
  PrefixIndex::Node node = index.make_root(seq.seed);
  for (int i = 0; i < blocks; i++) {
    const auto tokens = tokens_of_block(seq, i, spec.block_tokens);
    node = index.find_or_add(node, seq.hashes[i], tokens);
  }
  return node;
}

void KvCache::Impl::index_next_block(CachedSequence& seq) {
  const int number = static_cast<int>(seq.hashes.size());
  const auto tokens = tokens_of_block(seq, number, spec.block_tokens);
  const uint64_t hash =
      chain_hash(number > 0 ? seq.hashes.back() : seq.seed, tokens);
  bool any = false;
  for (int g = 0; g < groups(); g++) {
    const BlockId mine = seq.table.blocks[g][number];
    if (mine != kNoBlock) {
      forget(g, mine); // as a tail
      any = true;
    }
  }
  seq.hashes.push_back(hash);
  if (!any) {
    return; // brought back without what all windows have passed
  }
  const PrefixIndex::Node node =
      index.find_or_add(node_of(seq, number), hash, tokens);
  for (int g = 0; g < groups(); g++) {
    BlockId& mine = seq.table.blocks[g][number];
    if (mine == kNoBlock) {
      continue;
    }
    const BlockId known = index.block(node, g);
    if (known == kNoBlock) {
      index.attach(node, g, mine);
      pool.set_indexed(g, mine, true);
    } else {
      pool.retain(g, known);
      pool.release(g, std::exchange(mine, known));
    }
  }
}

void KvCache::Impl::index_tail(const CachedSequence& seq) {
  const int length = tail_tokens(seq);
  for (int g = 0; g < groups(); g++) {
    if (length == 0 || known_tokens(g, tail(seq, g)) >= length) {
      return;
    }
  }
  for (int g = 0; g < groups(); g++) {
    forget(g, tail(seq, g)); // as a shorter tail
  }
  const int full = seq.table.n_tokens / spec.block_tokens;
  const PrefixIndex::Node parent = node_of(seq, full);
  const auto tokens = std::span(seq.tokens).last(length);
  if (index.longest_child(parent, tokens).tokens == length) {
    return;
  }
  const PrefixIndex::Node node = index.add_tail(parent, tokens);
  for (int g = 0; g < groups(); g++) {
    index.attach(node, g, tail(seq, g));
    pool.set_indexed(g, tail(seq, g), true);
  }
}

void KvCache::Impl::forget(int g, BlockId id) {
  if (index.owner(g, id) != PrefixIndex::kNone) {
    index.detach(g, id);
    pool.set_indexed(g, id, false);
  }
}

int KvCache::Impl::known_tokens(int g, BlockId id) const {
  const PrefixIndex::Node owner = index.owner(g, id);
  return owner == PrefixIndex::kNone ? 0 : index.length(owner);
}

} // namespace stomp

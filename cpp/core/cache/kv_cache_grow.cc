#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "cache/kv_cache_impl.h"

namespace stomp {

namespace {

void check_growth(int tokens, int n) {
  if (n < 0 || n > std::numeric_limits<int>::max() - tokens) {
    throw std::logic_error(
        "KV cache: " + std::to_string(tokens) + " tokens cannot grow by " +
        std::to_string(n));
  }
}

} // namespace

KvCache::Impl::Growth KvCache::Impl::plan_growth(
    const CachedSequence& seq,
    int n) const {
  check_growth(seq.table.n_tokens, n);
  const int offset = tail_tokens(seq);
  // Room in the tail stays this sequence's alone when it is forked: the other
  // must copy, and steps may be writing there.
  const bool writes_tail =
      n > 0 && offset > 0 && seq.room == seq.table.n_tokens;
  Growth growth;
  growth.blocks = spec.blocks_covering(seq.table.n_tokens + n);
  growth.writes_tail = writes_tail;
  growth.fits = fits(seq, growth);
  if (!growth.fits && writes_tail && only_holder_of_tail(seq)) {
    growth.take_over = true;
    growth.fits = fits(seq, growth);
  }
  return growth;
}

int KvCache::Impl::fresh(const CachedSequence& seq, const Growth& growth, int g)
    const {
  const int have = static_cast<int>(seq.table.blocks[g].size());
  return std::max(0, growth.blocks - have);
}

bool KvCache::Impl::must_copy(
    const CachedSequence& seq,
    const Growth& growth,
    int g) const {
  return growth.writes_tail && !growth.take_over && tail_relied_on(seq, g);
}

bool KvCache::Impl::fits(const CachedSequence& seq, const Growth& growth)
    const {
  for (int g = 0; g < groups(); g++) {
    if (fresh(seq, growth, g) + must_copy(seq, growth, g) > pool.available(g)) {
      return false;
    }
  }
  return true;
}

bool KvCache::Impl::tail_relied_on(const CachedSequence& seq, int g) const {
  const BlockId id = tail(seq, g);
  return pool.count(g, id) > 1 || known_tokens(g, id) > tail_tokens(seq);
}

bool KvCache::Impl::only_holder_of_tail(const CachedSequence& seq) const {
  for (int g = 0; g < groups(); g++) {
    if (pool.count(g, tail(seq, g)) > 1) {
      return false;
    }
  }
  return true;
}

int KvCache::Impl::held_alone(const CachedSequence& seq, int g) const {
  const std::vector<BlockId>& blocks = seq.table.blocks[g];
  int n = 0;
  // What a table holds of a group has no gap up to its end.
  for (auto it = blocks.rbegin(); it != blocks.rend() && *it != kNoBlock;
       ++it) {
    n += pool.count(g, *it) == 1;
  }
  return n;
}

void KvCache::Impl::grow(
    CachedSequence& seq,
    const Growth& growth,
    std::vector<BlockCopy>& copies) {
  for (int g = 0; g < groups(); g++) {
    if (growth.take_over) {
      forget(g, tail(seq, g));
    }
    if (must_copy(seq, growth, g)) {
      copy_tail(seq, g, copies);
    }
    const int more = fresh(seq, growth, g);
    std::vector<BlockId>& blocks = seq.table.blocks[g];
    blocks.resize(blocks.size() + more, kNoBlock);
    pool.allocate(g, std::span(blocks).last(more));
  }
}

void KvCache::Impl::copy_tail(
    CachedSequence& seq,
    int g,
    std::vector<BlockCopy>& copies) {
  const BlockId old = tail(seq, g);
  BlockId copy = kNoBlock;
  pool.allocate(g, {&copy, 1});
  copies.push_back({g, old, copy, tail_tokens(seq)});
  seq.table.blocks[g][seq.table.n_tokens / spec.block_tokens] = copy;
  pool.release(g, old);
}

} // namespace stomp

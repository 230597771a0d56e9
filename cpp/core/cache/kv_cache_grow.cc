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
  const int blocks = spec.blocks_covering(seq.table.n_tokens + n);
  Growth growth;
  growth.fresh.resize(groups());
  growth.copy.resize(groups());
  for (int g = 0; g < groups(); g++) {
    const int have = static_cast<int>(seq.table.blocks[g].size());
    growth.fresh[g] = std::max(0, blocks - have);
    growth.copy[g] = writes_tail && tail_relied_on(seq, g);
  }
  growth.fits = fits(growth);
  if (!growth.fits && writes_tail && only_holder_of_tail(seq)) {
    growth.copy.assign(groups(), false);
    growth.fits = growth.take_over = fits(growth);
  }
  return growth;
}

bool KvCache::Impl::fits(const Growth& growth) const {
  for (int g = 0; g < groups(); g++) {
    if (growth.fresh[g] + growth.copy[g] > pool.available(g)) {
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

void KvCache::Impl::grow(
    CachedSequence& seq,
    const Growth& growth,
    std::vector<BlockCopy>& copies) {
  for (int g = 0; g < groups(); g++) {
    if (growth.take_over) {
      forget(g, tail(seq, g));
    }
    if (growth.copy[g]) {
      copy_tail(seq, g, copies);
    }
    std::vector<BlockId>& blocks = seq.table.blocks[g];
    blocks.resize(blocks.size() + growth.fresh[g], kNoBlock);
    pool.allocate(g, std::span(blocks).last(growth.fresh[g]));
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

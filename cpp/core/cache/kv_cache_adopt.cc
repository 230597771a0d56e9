#include <utility>

#include "cache/kv_cache_impl.h"

namespace stomp {

/// A table of its own for the first `blocks` blocks of a match that is to hold
/// `tokens` tokens.
BlockTable KvCache::Impl::share(
    const CachedSequence& seq,
    const PrefixMatch& match,
    int tokens,
    int blocks) {
  BlockTable table = empty_table();
  table.n_tokens = tokens;
  for (int g = 0; g < groups(); g++) {
    table.blocks[g].assign(blocks, kNoBlock);
    for (int i = first_kept(g, tokens); i < blocks; i++) {
      const bool full = (i + 1) * spec.block_tokens <= tokens;
      const BlockId id = full ? match.block(g, i) : seq.table.blocks[g][i];
      if (id != kNoBlock || i >= spec.first_block(g, tokens)) {
        pool.retain(g, id);
        table.blocks[g][i] = id;
      }
    }
  }
  return table;
}

/// Gives the table a copy of the node's first tokens in every group, or leaves
/// it as it is and returns false. REQUIRES: the node's blocks are held.
bool KvCache::Impl::append_copy(
    BlockTable& table,
    PrefixIndex::Node source,
    std::vector<BlockCopy>& copies) {
  for (int g = 0; g < groups(); g++) {
    if (pool.available(g) < 1) {
      return false;
    }
  }
  for (int g = 0; g < groups(); g++) {
    BlockId id = kNoBlock;
    pool.allocate(g, {&id, 1});
    table.blocks[g].push_back(id);
    copies.push_back(
        {g, index.block(source, g), id, table.n_tokens % spec.block_tokens});
  }
  return true;
}

/// The table for match.copied() tokens; empty if no block can be had for the
/// copy. Releases the sequence's old table in any case.
BlockTable KvCache::Impl::replace_by_copy(
    CachedSequence& seq,
    const PrefixMatch& match,
    std::vector<BlockCopy>& copies) {
  const int tokens = match.copied();
  BlockTable table = share(seq, match, tokens, tokens / spec.block_tokens);
  // Held, the source cannot be reclaimed for its own copy.
  std::vector<BlockId> source(groups());
  for (int g = 0; g < groups(); g++) {
    source[g] = index.block(match.copy_source(), g);
    pool.retain(g, source[g]);
  }
  drop_table(seq.table);
  if (!append_copy(table, match.copy_source(), copies)) {
    drop_table(table);
  }
  for (int g = 0; g < groups(); g++) {
    pool.release(g, source[g]);
  }
  return table;
}

int KvCache::Impl::take(
    CachedSequence& seq,
    const PrefixMatch& match,
    std::vector<BlockCopy>& copies) {
  const int shared = match.shared();
  BlockTable table = share(seq, match, shared, spec.blocks_covering(shared));
  if (match.copied() > 0) {
    BlockTable longer = replace_by_copy(seq, match, copies);
    if (longer.n_tokens > 0) {
      std::swap(table, longer);
      drop_table(longer);
    }
  } else {
    drop_table(seq.table);
  }
  seq.table = std::move(table);
  seq.room = seq.table.n_tokens;
  const auto hashes = match.hashes().begin();
  seq.hashes.assign(hashes, hashes + seq.table.n_tokens / spec.block_tokens);
  return seq.table.n_tokens;
}

} // namespace stomp

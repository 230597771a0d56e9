#include "cache/kv_cache.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cache/chain_hash.h"
#include "cache/prefix_index.h"
#include "cache/prefix_match.h"

namespace stomp {

namespace {

using Node = PrefixIndex::Node;

std::span<const int32_t> all_but_last(std::span<const int32_t> prompt) {
  return prompt.first(prompt.empty() ? 0 : prompt.size() - 1);
}

int common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto [end, rest] = std::ranges::mismatch(a, b);
  return static_cast<int>(end - a.begin());
}

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(std::string("KV cache: ") + what);
  }
}

void check_spec(const ModelCacheSpec& spec, size_t pool_groups) {
  require(spec.block_tokens > 0, "a block must hold a token");
  require(
      !spec.groups.empty() && spec.groups.size() == pool_groups,
      "one capacity for each layer group is needed");
  for (const LayerGroup& group : spec.groups) {
    require(
        group.kind == AttentionKind::kGlobal || group.window > 0,
        "a sliding group needs a window");
  }
}

} // namespace

struct KvCache::Impl {
  Impl(ModelCacheSpec model_spec, std::vector<int> blocks_per_group)
      : spec(std::move(model_spec)),
        pool(blocks_per_group),
        index(spec.block_tokens, blocks_per_group) {
    check_spec(spec, blocks_per_group.size());
    pool.on_reclaim([this](int g, BlockId id) { index.detach(g, id); });
  }

  int groups() const { return pool.groups(); }

  std::span<const int32_t> block_tokens(const CachedSequence& seq, int number)
      const {
    return std::span(seq.tokens)
        .subspan(
            static_cast<size_t>(number) * spec.block_tokens, spec.block_tokens);
  }

  BlockTable empty_table() const {
    BlockTable table;
    table.blocks.resize(groups());
    return table;
  }

  /// Last blocks first, so that a prefix outlives what follows it.
  void release_blocks(BlockTable& table) {
    for (int g = 0; g < groups(); g++) {
      drop_blocks_from(table, g, 0);
    }
    table.n_tokens = 0;
  }

  void drop_blocks_from(BlockTable& table, int g, int number) {
    std::vector<BlockId>& blocks = table.blocks[g];
    while (static_cast<int>(blocks.size()) > number) {
      if (blocks.back() != kNoBlock) {
        pool.release(g, blocks.back());
      }
      blocks.pop_back();
    }
  }

  /// The index no longer knows this block.
  void forget(int g, BlockId id) {
    if (index.owner(g, id) != PrefixIndex::kNone) {
      index.detach(g, id);
      pool.set_indexed(g, id, false);
    }
  }

  /// First block that a sequence of `tokens` tokens keeps: one token further
  /// back than it needs, so that the last one can always be taken back.
  int first_kept(int g, int tokens) const {
    return spec.first_block(g, std::max(0, tokens - 1));
  }

  // --- adopting a prefix

  /// A table of its own for the first `blocks` blocks of a match that is to
  /// hold `tokens` tokens.
  BlockTable share(
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

  /// Gives the table a copy of the node's first tokens in every group, or
  /// leaves it as it is and returns false. REQUIRES: the node's blocks are
  /// held.
  bool
  append_copy(BlockTable& table, Node source, std::vector<BlockCopy>& copies) {
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
  BlockTable replace_by_copy(
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
    release_blocks(seq.table);
    if (!append_copy(table, match.copy_source(), copies)) {
      release_blocks(table);
    }
    for (int g = 0; g < groups(); g++) {
      pool.release(g, source[g]);
    }
    return table;
  }

  /// Makes the sequence hold the match and nothing else; returns its length.
  int take(
      CachedSequence& seq,
      const PrefixMatch& match,
      std::vector<BlockCopy>& copies) {
    const int shared = match.shared();
    BlockTable table = share(seq, match, shared, spec.blocks_covering(shared));
    if (match.copied() > 0) {
      BlockTable longer = replace_by_copy(seq, match, copies);
      if (longer.n_tokens > 0) {
        std::swap(table, longer);
        release_blocks(longer);
      }
    } else {
      release_blocks(seq.table);
    }
    seq.table = std::move(table);
    seq.room = seq.table.n_tokens;
    const auto& hashes = match.hashes();
    seq.hashes.assign(
        hashes.begin(),
        hashes.begin() + seq.table.n_tokens / spec.block_tokens);
    return seq.table.n_tokens;
  }

  // --- growing

  struct Growth {
    std::vector<int> fresh; // blocks to append, per group
    std::vector<char> copy; // whether the tail must be copied first
    bool fits = true;
    // No block is left for the copy, but nobody else holds the tail: the index
    // forgets it and it is written in place.
    bool take_over = false;
  };

  /// Whether writing behind `offset` tokens of the block would hurt another
  /// holder or what the index says of it.
  bool relied_on(int g, BlockId id, int offset) const {
    return pool.count(g, id) > 1 || known_tokens(g, id) > offset;
  }

  int known_tokens(int g, BlockId id) const {
    const Node owner = index.owner(g, id);
    return owner == PrefixIndex::kNone ? 0 : index.length(owner);
  }

  BlockId tail(const CachedSequence& seq, int g) const {
    return seq.table.blocks[g][seq.table.n_tokens / spec.block_tokens];
  }

  Growth plan_growth(const CachedSequence& seq, int n) const {
    require(n >= 0, "a sequence grows by zero or more tokens");
    const int tokens = seq.table.n_tokens;
    const int offset = tokens % spec.block_tokens;
    // Room in the tail stays this sequence's alone when it is forked: the
    // other must copy, and steps may be writing there.
    const bool has_room = seq.room > tokens;
    const int blocks = spec.blocks_covering(tokens + n);
    Growth growth;
    growth.fresh.resize(groups());
    growth.copy.resize(groups());
    for (int g = 0; g < groups(); g++) {
      const int have = static_cast<int>(seq.table.blocks[g].size());
      growth.fresh[g] = std::max(0, blocks - have);
      growth.copy[g] = n > 0 && offset > 0 && !has_room &&
          relied_on(g, tail(seq, g), offset);
    }
    growth.fits = fits(growth);
    if (!growth.fits && !has_room && only_holder_of_tail(seq, offset)) {
      growth.copy.assign(groups(), false);
      growth.fits = growth.take_over = fits(growth);
    }
    return growth;
  }

  bool fits(const Growth& growth) const {
    for (int g = 0; g < groups(); g++) {
      if (growth.fresh[g] + growth.copy[g] > pool.available(g)) {
        return false;
      }
    }
    return true;
  }

  bool only_holder_of_tail(const CachedSequence& seq, int offset) const {
    for (int g = 0; g < groups() && offset > 0; g++) {
      if (pool.count(g, tail(seq, g)) > 1) {
        return false;
      }
    }
    return offset > 0;
  }

  void append_fresh(CachedSequence& seq, int g, int n) {
    std::vector<BlockId>& blocks = seq.table.blocks[g];
    blocks.resize(blocks.size() + n, kNoBlock);
    pool.allocate(g, std::span(blocks).last(n));
  }

  void copy_tail(CachedSequence& seq, int g, std::vector<BlockCopy>& copies) {
    const int offset = seq.table.n_tokens % spec.block_tokens;
    const BlockId old = tail(seq, g);
    BlockId& slot = seq.table.blocks[g][seq.table.n_tokens / spec.block_tokens];
    pool.allocate(g, {&slot, 1});
    copies.push_back({g, old, slot, offset});
    pool.release(g, old);
  }

  // --- indexing

  /// The node of the sequence's first `blocks` full blocks.
  Node node_of(const CachedSequence& seq, int blocks) {
    for (int g = 0; g < groups() && blocks > 0; g++) {
      const BlockId id = seq.table.blocks[g][blocks - 1];
      if (id != kNoBlock && index.owner(g, id) != PrefixIndex::kNone) {
        return index.owner(g, id);
      }
    }
    // With sliding groups alone, nothing may be left of what lies behind.
    Node node = index.make_root(seq.seed);
    for (int i = 0; i < blocks; i++) {
      node = index.find_or_add(node, seq.hashes[i], block_tokens(seq, i));
    }
    return node;
  }

  /// Enters the full block behind the hashed ones, or swaps it for an equal one
  /// that is known already.
  void index_next_block(CachedSequence& seq) {
    const int number = static_cast<int>(seq.hashes.size());
    const auto tokens = block_tokens(seq, number);
    const uint64_t hash =
        chain_hash(number > 0 ? seq.hashes.back() : seq.seed, tokens);
    for (int g = 0; g < groups(); g++) {
      forget(g, seq.table.blocks[g][number]); // as a tail
    }
    const Node node = index.find_or_add(node_of(seq, number), hash, tokens);
    for (int g = 0; g < groups(); g++) {
      BlockId& mine = seq.table.blocks[g][number];
      const BlockId known = index.block(node, g);
      if (known == kNoBlock) {
        index.attach(node, g, mine);
        pool.set_indexed(g, mine, true);
      } else {
        pool.retain(g, known);
        pool.release(g, std::exchange(mine, known));
      }
    }
    seq.hashes.push_back(hash);
  }

  void release_passed(CachedSequence& seq) {
    for (int g = 0; g < groups(); g++) {
      std::vector<BlockId>& blocks = seq.table.blocks[g];
      int i = first_kept(g, seq.table.n_tokens) - 1;
      for (; i >= 0 && blocks[i] != kNoBlock; i--) {
        pool.release(g, std::exchange(blocks[i], kNoBlock));
      }
    }
  }

  ModelCacheSpec spec;
  BlockPool pool;
  PrefixIndex index;
  Stats counts;
};

KvCache::KvCache(ModelCacheSpec spec, std::vector<int> blocks_per_group)
    : impl_(std::make_unique<Impl>(
          std::move(spec),
          std::move(blocks_per_group))) {}

KvCache::~KvCache() = default;

const ModelCacheSpec& KvCache::spec() const {
  return impl_->spec;
}

const BlockPool& KvCache::pool() const {
  return impl_->pool;
}

uint64_t KvCache::seed(const std::string& identity) {
  return identity_hash(identity);
}

CachedSequence KvCache::open(uint64_t seed) const {
  CachedSequence seq;
  seq.seed = seed;
  seq.table = impl_->empty_table();
  return seq;
}

KvCache::Match KvCache::match(
    const CachedSequence& seq,
    std::span<const int32_t> prompt) const {
  const auto limit = all_but_last(prompt);
  const int own = common_prefix(seq.tokens, limit);
  Match result;
  result.own = own_prefix_valid(impl_->spec, seq, own) ? own : 0;
  result.shared =
      PrefixMatch(impl_->index, impl_->spec, seq, 0, limit, true).longest();
  return result;
}

int KvCache::adopt(
    CachedSequence& seq,
    std::span<const int32_t> prompt,
    std::vector<BlockCopy>& copies) {
  const auto limit = all_but_last(prompt);
  const int own = common_prefix(seq.tokens, limit);
  const int own_hit = own_prefix_valid(impl_->spec, seq, own) ? own : 0;
  const PrefixMatch match(impl_->index, impl_->spec, seq, own, limit, true);
  const int length = impl_->take(seq, match, copies);
  // The prompt may be a view of the very tokens that it replaces.
  seq.tokens = std::vector<int32_t>(prompt.begin(), prompt.begin() + length);

  Stats& counts = impl_->counts;
  counts.lookups++;
  counts.lookup_tokens += prompt.size();
  counts.own_hit_tokens += std::min(own_hit, length);
  counts.shared_hit_tokens += length - std::min(own_hit, length);
  return length;
}

std::vector<int> KvCache::need(const CachedSequence& seq, int n) const {
  const Impl::Growth growth = impl_->plan_growth(seq, n);
  std::vector<int> blocks = growth.fresh;
  for (size_t g = 0; g < blocks.size(); g++) {
    blocks[g] += growth.copy[g];
  }
  return blocks;
}

bool KvCache::can_grow(const CachedSequence& seq, int n) const {
  return impl_->plan_growth(seq, n).fits;
}

bool KvCache::reserve(
    CachedSequence& seq,
    int n,
    std::vector<BlockCopy>& copies) {
  const Impl::Growth growth = impl_->plan_growth(seq, n);
  if (!growth.fits) {
    return false;
  }
  for (int g = 0; g < impl_->groups(); g++) {
    if (growth.take_over) {
      impl_->forget(g, impl_->tail(seq, g));
    }
    if (growth.copy[g]) {
      impl_->copy_tail(seq, g, copies);
    }
    impl_->append_fresh(seq, g, growth.fresh[g]);
  }
  seq.room = std::max(seq.room, seq.table.n_tokens + n);
  return true;
}

void KvCache::commit(CachedSequence& seq, std::span<const int32_t> tokens) {
  require(
      seq.tokens.size() + tokens.size() <= static_cast<size_t>(seq.room),
      "tokens were committed that nothing was reserved for");
  seq.tokens.insert(seq.tokens.end(), tokens.begin(), tokens.end());
  seq.table.n_tokens = static_cast<int>(seq.tokens.size());
  const size_t full = seq.tokens.size() / impl_->spec.block_tokens;
  while (seq.hashes.size() < full) {
    impl_->index_next_block(seq);
  }
  impl_->release_passed(seq);
}

void KvCache::truncate(CachedSequence& seq, int n) {
  require(n >= 0, "a sequence cannot be cut below zero tokens");
  n = std::min(n, seq.table.n_tokens);
  if (own_prefix_valid(impl_->spec, seq, n)) {
    const int blocks = impl_->spec.blocks_covering(n);
    for (int g = 0; g < impl_->groups(); g++) {
      impl_->drop_blocks_from(seq.table, g, blocks);
    }
    seq.table.n_tokens = n;
    seq.room = n;
    seq.hashes.resize(n / impl_->spec.block_tokens);
  } else {
    std::vector<BlockCopy> none;
    const auto kept = std::span<const int32_t>(seq.tokens).first(n);
    n = impl_->take(
        seq, PrefixMatch(impl_->index, impl_->spec, seq, n, kept, false), none);
  }
  seq.tokens.resize(n);
}

void KvCache::publish_tail(CachedSequence& seq) {
  const int number = seq.table.n_tokens / impl_->spec.block_tokens;
  const int length = seq.table.n_tokens % impl_->spec.block_tokens;
  for (int g = 0; g < impl_->groups(); g++) {
    if (length == 0 || impl_->known_tokens(g, impl_->tail(seq, g)) >= length) {
      return;
    }
  }
  for (int g = 0; g < impl_->groups(); g++) {
    impl_->forget(g, impl_->tail(seq, g)); // a shorter tail of its own
  }
  PrefixIndex& index = impl_->index;
  const Node parent = impl_->node_of(seq, number);
  const auto tokens = std::span<const int32_t>(seq.tokens).last(length);
  if (index.longest_child(parent, tokens).tokens == length) {
    return;
  }
  const Node node = index.add_tail(parent, tokens);
  for (int g = 0; g < impl_->groups(); g++) {
    index.attach(node, g, impl_->tail(seq, g));
    impl_->pool.set_indexed(g, impl_->tail(seq, g), true);
  }
}

CachedSequence KvCache::fork(const CachedSequence& seq) {
  CachedSequence copy = seq;
  copy.room = seq.table.n_tokens;
  const int blocks = impl_->spec.blocks_covering(seq.table.n_tokens);
  for (int g = 0; g < impl_->groups(); g++) {
    copy.table.blocks[g].resize(blocks); // what is only reserved stays behind
    for (const BlockId id : copy.table.blocks[g]) {
      if (id != kNoBlock) {
        impl_->pool.retain(g, id);
      }
    }
  }
  return copy;
}

void KvCache::release(CachedSequence& seq) {
  impl_->release_blocks(seq.table);
  seq.tokens.clear();
  seq.hashes.clear();
  seq.room = 0;
}

void KvCache::drop_cached() {
  for (int g = 0; g < impl_->groups(); g++) {
    for (BlockId id = 0; id < impl_->pool.capacity(g); id++) {
      if (impl_->pool.count(g, id) == 0) {
        impl_->forget(g, id);
      }
    }
  }
}

KvCache::Stats KvCache::stats() const {
  Stats stats = impl_->counts;
  stats.indexed_blocks = impl_->index.attached();
  return stats;
}

} // namespace stomp

#include "cache/kv_cache.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cache/chain_hash.h"
#include "cache/kv_cache_impl.h"

namespace stomp {

namespace {

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

void check_spec(const ModelCacheSpec& spec, int pool_groups) {
  require(spec.block_tokens > 0, "a block must hold a token");
  require(
      !spec.groups.empty() &&
          static_cast<int>(spec.groups.size()) == pool_groups,
      "one capacity for each layer group is needed");
  for (const LayerGroup& group : spec.groups) {
    require(
        group.kind == AttentionKind::kGlobal || group.window > 0,
        "a sliding group needs a window");
  }
}

} // namespace

KvCache::Impl::Impl(
    ModelCacheSpec model_spec,
    const std::vector<int>& blocks_per_group)
    : spec(std::move(model_spec)),
      pool(blocks_per_group),
      index(spec.block_tokens, blocks_per_group) {
  check_spec(spec, pool.groups());
  pool.on_reclaim([this](int g, BlockId id) { index.detach(g, id); });
}

BlockTable KvCache::Impl::empty_table() const {
  BlockTable table;
  table.blocks.resize(groups());
  return table;
}

int KvCache::Impl::first_kept(int g, int tokens) const {
  return spec.first_block(g, std::max(0, tokens - 1));
}

void KvCache::Impl::drop_blocks(BlockTable& table, int g, int number) {
  std::vector<BlockId>& blocks = table.blocks[g];
  while (static_cast<int>(blocks.size()) > number) {
    if (blocks.back() != kNoBlock) {
      pool.release(g, blocks.back());
    }
    blocks.pop_back();
  }
}

void KvCache::Impl::drop_table(BlockTable& table) {
  for (int g = 0; g < groups(); g++) {
    drop_blocks(table, g, 0);
  }
  table.n_tokens = 0;
}

void KvCache::Impl::drop_passed(CachedSequence& seq) {
  for (int g = 0; g < groups(); g++) {
    std::vector<BlockId>& blocks = seq.table.blocks[g];
    const int end = first_kept(g, seq.table.n_tokens);
    int begin = end;
    while (begin > 0 && blocks[begin - 1] != kNoBlock) {
      begin--;
    }
    for (int i = begin; i < end; i++) {
      pool.release(g, std::exchange(blocks[i], kNoBlock));
    }
  }
}

KvCache::KvCache(ModelCacheSpec spec, const std::vector<int>& blocks_per_group)
    : impl_(std::make_unique<Impl>(std::move(spec), blocks_per_group)) {}

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
  const PrefixMatch match(impl_->index, impl_->spec, seq, own, limit, true);
  const int length = impl_->take(seq, match, copies);
  // The prompt may be a view of the very tokens that it replaces.
  seq.tokens = std::vector<int32_t>(prompt.begin(), prompt.begin() + length);
  return length;
}

int KvCache::need(const CachedSequence& seq, int n, int group) const {
  const Impl::Growth growth = impl_->plan_growth(seq, n);
  return impl_->fresh(seq, growth, group) +
      (impl_->must_copy(seq, growth, group) ? 1 : 0);
}

bool KvCache::can_grow(const CachedSequence& seq, int n) const {
  return impl_->plan_growth(seq, n).fits;
}

int KvCache::need_in_steps(
    const CachedSequence& seq,
    int n,
    int step,
    int group) const {
  const int at_once = need(seq, n, group);
  if (impl_->spec.groups[group].kind == AttentionKind::kGlobal) {
    return at_once;
  }
  const int tokens = seq.table.n_tokens + n;
  const int most = impl_->spec.blocks_in_use(group, tokens, step);
  const int copies =
      impl_->must_copy(seq, impl_->plan_growth(seq, n), group) ? 1 : 0;
  return std::min(at_once, most - impl_->held_alone(seq, group) + copies);
}

bool KvCache::reserve_restored(
    CachedSequence& seq,
    int n,
    std::span<const int> first) {
  require(
      seq.room == 0 && first.size() == seq.table.blocks.size(),
      "only an empty sequence is brought back");
  const int blocks = impl_->spec.blocks_covering(n);
  for (int g = 0; g < impl_->groups(); g++) {
    if (blocks - first[g] > impl_->pool.available(g)) {
      return false;
    }
  }
  for (int g = 0; g < impl_->groups(); g++) {
    std::vector<BlockId>& table = seq.table.blocks[g];
    table.assign(blocks, kNoBlock);
    impl_->pool.allocate(g, std::span(table).subspan(first[g]));
  }
  seq.room = n;
  return true;
}

bool KvCache::reserve(
    CachedSequence& seq,
    int n,
    std::vector<BlockCopy>& copies) {
  const Impl::Growth growth = impl_->plan_growth(seq, n);
  if (!growth.fits) {
    return false;
  }
  impl_->grow(seq, growth, copies);
  seq.room = std::max(seq.room, seq.table.n_tokens + n);
  return true;
}

void KvCache::expect(CachedSequence& seq, int tokens) const {
  const int blocks = impl_->spec.blocks_covering(tokens);
  seq.tokens.reserve(tokens);
  seq.hashes.reserve(blocks);
  for (std::vector<BlockId>& table : seq.table.blocks) {
    table.reserve(blocks);
  }
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
  impl_->drop_passed(seq);
}

void KvCache::truncate(CachedSequence& seq, int n) {
  require(n >= 0, "a sequence cannot be cut below zero tokens");
  n = std::min(n, seq.table.n_tokens);
  if (own_prefix_valid(impl_->spec, seq, n)) {
    for (int g = 0; g < impl_->groups(); g++) {
      impl_->drop_blocks(seq.table, g, impl_->spec.blocks_covering(n));
    }
    seq.table.n_tokens = n;
    seq.room = n;
    seq.hashes.resize(n / impl_->spec.block_tokens);
  } else {
    const auto kept = std::span(seq.tokens).first(n);
    const PrefixMatch match(impl_->index, impl_->spec, seq, n, kept, false);
    std::vector<BlockCopy> none;
    n = impl_->take(seq, match, none);
  }
  seq.tokens.resize(n);
}

void KvCache::publish_tail(CachedSequence& seq) {
  impl_->index_tail(seq);
}

CachedSequence KvCache::fork(const CachedSequence& seq) {
  CachedSequence copy = seq;
  copy.room = seq.table.n_tokens; // what is only reserved stays behind
  for (int g = 0; g < impl_->groups(); g++) {
    std::vector<BlockId>& blocks = copy.table.blocks[g];
    blocks.resize(impl_->spec.blocks_covering(seq.table.n_tokens));
    for (const BlockId id : blocks) {
      if (id != kNoBlock) {
        impl_->pool.retain(g, id);
      }
    }
  }
  return copy;
}

void KvCache::release(CachedSequence& seq) {
  impl_->drop_table(seq.table);
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

uint64_t KvCache::indexed_blocks() const {
  return impl_->index.attached();
}

} // namespace stomp

#include "engine/restore.h"

#include <algorithm>

namespace stomp {

namespace {

/// The first block that the file has of each group, past all where it has none.
std::vector<int> first_stored(const AgentFileReader& file) {
  const AgentFileHeader& header = file.header();
  const int blocks =
      header.spec.blocks_covering(static_cast<int>(header.tokens.size()));
  std::vector<int> first(header.spec.groups.size(), blocks);
  for (const StoredBlock& block : file.blocks()) {
    first[block.group] = std::min(first[block.group], block.index);
  }
  return first;
}

} // namespace

Restore::Restore(
    std::unique_ptr<AgentFileReader> file,
    const ModelCacheSpec& spec,
    int tokens)
    : file_(std::move(file)), until_(tokens), first_(first_stored(*file_)) {
  const std::vector<StoredBlock>& blocks = file_->blocks();
  for (int g = 0; g < static_cast<int>(first_.size()); g++) {
    if (first_[g] > spec.first_block(g, tokens)) {
      until_ = 0;
    }
    // One token further back than is needed, so that it can be taken back.
    first_[g] =
        std::max(first_[g], spec.first_block(g, std::max(0, tokens - 1)));
  }
  for (size_t i = 0; i < blocks.size(); i++) {
    if (blocks[i].index >= first_[blocks[i].group] &&
        blocks[i].index < spec.blocks_covering(until_)) {
      order_.push_back(i);
    }
  }
  std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
    return blocks[a].index < blocks[b].index;
  });
}

bool Restore::reserve(KvCache& cache, CachedSequence& seq) const {
  return cache.reserve_restored(seq, until_, first_);
}

int Restore::tokens_before(size_t n, const ModelCacheSpec& spec) const {
  return n == order_.size()
      ? until_
      : file_->blocks()[order_[n]].index * spec.block_tokens;
}

size_t Restore::next_part(const ModelCacheSpec& spec, size_t max_bytes) const {
  size_t end = next_;
  for (size_t bytes = 0; end < order_.size() && bytes < max_bytes; end++) {
    bytes += stored_block_bytes(spec, file_->blocks()[order_[end]]);
  }
  return end;
}

bool Restore::advance(
    Executor& executor,
    KvCache& cache,
    CachedSequence& seq,
    size_t max_bytes) {
  const size_t begin = next_;
  const size_t end = next_part(cache.spec(), max_bytes);
  std::vector<std::optional<Error>> errors(end - begin);
  executor.parallel(static_cast<int>(end - begin), [&](int i) {
    try {
      const size_t number = order_[begin + i];
      const StoredBlock& block = file_->blocks()[number];
      const BlockId id = seq.table.blocks[block.group][block.index];
      executor.write_block(
          block.group, id, block.n_tokens, file_->block(number));
    } catch (const std::exception& e) {
      errors[i] = as_error(e, Code::kCacheCorrupt);
    }
  });
  while (next_ < end && !errors[next_ - begin]) {
    next_++;
  }
  const int done = tokens_before(next_, cache.spec());
  const int had = seq.table.n_tokens;
  cache.commit(seq, std::span(file_->header().tokens).subspan(had, done - had));
  if (next_ < end) {
    error_ = errors[next_ - begin];
    cache.truncate(seq, done); // gives back what was not written
  }
  return next_ < order_.size() && !error_;
}

} // namespace stomp

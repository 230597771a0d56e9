#include "cache/prefix_match.h"

#include "cache/chain_hash.h"

namespace stomp {

PrefixMatch::PrefixMatch(
    const PrefixIndex& index,
    const ModelCacheSpec& spec,
    const CachedSequence& seq,
    int own,
    std::span<const int32_t> prompt,
    bool tails)
    : index_(index),
      spec_(spec),
      seq_(seq),
      own_(own),
      prompt_(prompt),
      last_(index.find_root(seq.seed)),
      run_(spec.groups.size(), 0) {
  do {
    consider_own_tail();
  } while (follow_block());
  if (tails) {
    consider_children();
  }
}

BlockId PrefixMatch::block(int group, int number) const {
  // Past own_ the sequence's block holds other tokens than the prompt's.
  const std::vector<BlockId>& table = seq_.table.blocks[group];
  if (number < own_ / spec_.block_tokens && table[number] != kNoBlock) {
    return table[number];
  }
  const bool known = number < static_cast<int>(path_.size()) &&
      path_[number] != PrefixIndex::kNone;
  return known ? index_.block(path_[number], group) : kNoBlock;
}

bool PrefixMatch::follow_block() {
  const int number = static_cast<int>(path_.size());
  const int begin = number * spec_.block_tokens;
  const int end = begin + spec_.block_tokens;
  if (end > static_cast<int>(prompt_.size())) {
    return false;
  }
  const auto tokens = prompt_.subspan(begin, spec_.block_tokens);
  const uint64_t hash =
      chain_hash(number > 0 ? hashes_.back() : seq_.seed, tokens);
  const PrefixIndex::Node node = index_.find(last_, hash, tokens);
  if (node == PrefixIndex::kNone && end > own_) {
    return false;
  }
  path_.push_back(node);
  if (!global_blocks_exist(number)) {
    path_.pop_back();
    return false;
  }
  last_ = node;
  hashes_.push_back(hash);
  for (size_t g = 0; g < run_.size(); g++) {
    const bool exists = block(static_cast<int>(g), number) != kNoBlock;
    run_[g] = exists ? run_[g] + 1 : 0;
  }
  if (windows_exist(end)) {
    shared_ = end;
  }
  return true;
}

bool PrefixMatch::global_blocks_exist(int number) const {
  for (size_t g = 0; g < run_.size(); g++) {
    if (spec_.groups[g].kind == AttentionKind::kGlobal &&
        block(static_cast<int>(g), number) == kNoBlock) {
      return false;
    }
  }
  return true;
}

/// For a prefix of `tokens` tokens that ends at most one block behind the path.
bool PrefixMatch::windows_exist(int tokens) const {
  const int full = static_cast<int>(path_.size());
  for (size_t g = 0; g < run_.size(); g++) {
    if (run_[g] < full - spec_.first_block(static_cast<int>(g), tokens)) {
      return false;
    }
  }
  return true;
}

void PrefixMatch::consider_own_tail() {
  const int number = static_cast<int>(path_.size());
  if (own_ % spec_.block_tokens == 0 || own_ / spec_.block_tokens != number) {
    return;
  }
  for (const std::vector<BlockId>& table : seq_.table.blocks) {
    if (table[number] == kNoBlock) {
      return;
    }
  }
  if (windows_exist(own_)) {
    shared_ = own_;
  }
}

void PrefixMatch::consider_children() {
  const int begin = static_cast<int>(path_.size()) * spec_.block_tokens;
  const PrefixIndex::Overlap overlap =
      index_.longest_child(last_, prompt_.subspan(begin));
  const int length = begin + overlap.tokens;
  if (length > shared_ && windows_exist(length)) {
    copied_ = length;
    copy_source_ = overlap.node;
  }
}

bool own_prefix_valid(
    const ModelCacheSpec& spec,
    const CachedSequence& seq,
    int tokens) {
  // What a table holds of a group has no gap up to its end.
  for (size_t g = 0; g < spec.groups.size() && tokens > 0; g++) {
    const int first = spec.first_block(static_cast<int>(g), tokens);
    if (first < spec.blocks_covering(tokens) &&
        seq.table.blocks[g][first] == kNoBlock) {
      return false;
    }
  }
  return true;
}

} // namespace stomp

// A cache, an executor that moves tokens instead of tensors, and sequences that
// use both: for property tests. What a slot of a block holds is a fingerprint
// of the whole prefix up to its token, as K and V are, so that a block of the
// right tokens in the wrong place is noticed.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cache/kv_cache.h"

namespace simulator {

using namespace stomp;

struct Live {
  CachedSequence seq;
  // Tokens with room reserved, behind those of the sequence; the first
  // `written` of them are in the blocks.
  std::vector<int32_t> pending;
  int written = 0;
  bool grown = false; // by a commit, and not cut since
};

class World {
 public:
  World(
      const ModelCacheSpec& spec,
      const std::vector<int>& capacity,
      uint32_t seed);

  /// One operation by chance, then check().
  void step();
  /// Releases everything and checks that every block is free.
  void finish();

  /// With so many blocks that none is ever reclaimed, adopt() must find all
  /// that was ever indexed; otherwise it may find less.
  bool ample = false;
  uint64_t refused = 0; // growths that the pool could not serve
  uint64_t adopted_tokens = 0;
  uint64_t copies = 0;
  uint64_t reclaimed() const;

 private:
  struct Known { // a prefix that entered the index
    uint64_t seed;
    std::vector<int32_t> tokens;
  };

  int below(int n) { return static_cast<int>(random_() % n); }
  Live& any() { return live_[below(static_cast<int>(live_.size()))]; }
  std::vector<int32_t> random_tokens(int n);
  std::vector<int32_t> random_prompt(uint64_t seed);
  int expected_reach(
      const CachedSequence& seq,
      const std::vector<int32_t>& prompt) const;

  void open();
  void reserve(Live& live);
  // The operations; some have no use for the sequence that chance gave them.
  void open_another(Live& live);
  void adopt(Live& live);
  void grow(Live& live);
  void write(Live& live);
  void commit(Live& live);
  void truncate(Live& live);
  void fork(Live& live);
  void publish(Live& live);
  void release(Live& live);
  void drop_cached(Live& live);

  void remember(const CachedSequence& seq, int tokens);
  void run_copies(const std::vector<BlockCopy>& copies);
  void check() const;
  void check_counts() const;
  void check_sequence(const Live& live) const;
  void check_table(const Live& live, int group) const;
  void check_content(const Live& live, int group) const;

  ModelCacheSpec spec_;
  std::vector<int> capacity_;
  KvCache cache_;
  std::mt19937 random_;
  int token_kinds_ = 0;
  std::vector<Live> live_;
  std::vector<Known> known_;
  // content_[g][id * block_tokens + slot]
  std::vector<std::vector<uint64_t>> content_;
};

} // namespace simulator

#include "cache/kv_cache.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <numeric>

#include "cache_fixtures.h"
#include "check.h"

using namespace stomp;

namespace {

using Tokens = std::vector<int32_t>;
using Copies = std::vector<BlockCopy>;

constexpr uint64_t kSeed = 5;

/// n tokens from `first` on, each one higher.
Tokens tokens_from(int32_t first, int n) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Reserves and commits; the copies that it took.
Copies append(KvCache& cache, CachedSequence& seq, const Tokens& tokens) {
  Copies copies;
  CHECK(cache.reserve(seq, static_cast<int>(tokens.size()), copies));
  cache.commit(seq, tokens);
  return copies;
}

CachedSequence filled(KvCache& cache, const Tokens& tokens) {
  CachedSequence seq = cache.open(kSeed);
  CHECK(append(cache, seq, tokens).empty());
  return seq;
}

/// Leaves full blocks, and the tail if asked, in the cache.
void leave_cached(KvCache& cache, const Tokens& tokens, bool tail = false) {
  CachedSequence seq = filled(cache, tokens);
  if (tail) {
    cache.publish_tail(seq);
  }
  cache.release(seq);
}

int adopt(KvCache& cache, CachedSequence& seq, const Tokens& prompt) {
  Copies copies;
  return cache.adopt(seq, prompt, copies);
}

int held(const CachedSequence& seq, int group) {
  const auto& blocks = seq.table.blocks[group];
  return static_cast<int>(
      blocks.size() - std::count(blocks.begin(), blocks.end(), kNoBlock));
}

} // namespace

TEST("kv cache: a sequence holds as many blocks as its tokens fill") {
  KvCache cache(global_spec(4), {10});
  CachedSequence seq = cache.open(kSeed);
  CHECK_EQUAL(cache.need(seq, 9, 0), 3);
  append(cache, seq, tokens_from(0, 9));
  CHECK_EQUAL(seq.table.n_tokens, 9);
  CHECK(seq.tokens == tokens_from(0, 9));
  CHECK_EQUAL(seq.hashes.size(), 2u);
  CHECK_EQUAL(cache.pool().used(0), 3);
  CHECK_EQUAL(cache.need(seq, 3, 0), 0);
  CHECK_EQUAL(cache.need(seq, 4, 0), 1);
  cache.release(seq);
  CHECK_EQUAL(cache.pool().used(0), 0);
  CHECK_EQUAL(cache.pool().cached(0), 2); // the tail was not published
  CHECK_EQUAL(cache.indexed_blocks(), 2u);
  CHECK_EQUAL(seq.table.n_tokens, 0);
}

TEST("kv cache: the last token of a prompt is always computed") {
  KvCache cache(global_spec(4), {10});
  leave_cached(cache, tokens_from(0, 8));
  for (const int length : {0, 1, 5, 8, 9}) {
    CachedSequence seq = cache.open(kSeed);
    const Tokens prompt = tokens_from(0, length);
    const int expected = std::min(8, std::max(0, length - 1));
    CHECK_EQUAL(cache.match(seq, prompt).shared, expected);
    CHECK_EQUAL(adopt(cache, seq, prompt), expected);
    CHECK_EQUAL(seq.table.n_tokens, expected);
    cache.release(seq);
  }
}

TEST("kv cache: a prompt shares full blocks and copies a matching part") {
  KvCache cache(global_spec(4), {10});
  CachedSequence first = filled(cache, tokens_from(0, 12));
  CachedSequence second = cache.open(kSeed);
  const Tokens prompt = joined(tokens_from(0, 10), {77, 78, 79});
  Copies copies;
  CHECK_EQUAL(cache.match(second, prompt).own, 0);
  CHECK_EQUAL(cache.match(second, prompt).shared, 10);
  CHECK_EQUAL(cache.adopt(second, prompt, copies), 10);
  CHECK_EQUAL(second.table.blocks[0][0], first.table.blocks[0][0]);
  CHECK_EQUAL(second.table.blocks[0][1], first.table.blocks[0][1]);
  CHECK(second.table.blocks[0][2] != first.table.blocks[0][2]);
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(copies[0].src, first.table.blocks[0][2]);
  CHECK_EQUAL(copies[0].dst, second.table.blocks[0][2]);
  CHECK_EQUAL(copies[0].n_tokens, 2);
  CHECK_EQUAL(cache.pool().used(0), 4);
  CHECK(append(cache, second, {77, 78, 79}).empty());
}

TEST("kv cache: models, numerics and salts do not meet") {
  KvCache cache(global_spec(4), {10});
  CHECK(KvCache::seed("model/a") != KvCache::seed("model/b"));
  CachedSequence seq = cache.open(KvCache::seed("model/a"));
  append(cache, seq, tokens_from(0, 8));
  CachedSequence other = cache.open(KvCache::seed("model/b"));
  CHECK_EQUAL(cache.match(other, tokens_from(0, 9)).shared, 0);
  CHECK_EQUAL(adopt(cache, other, tokens_from(0, 9)), 0);
  append(cache, other, tokens_from(0, 8));
  CHECK_EQUAL(cache.pool().used(0), 4); // equal tokens, held apart
}

TEST("kv cache: a conversation that goes on keeps its own blocks") {
  KvCache cache(global_spec(4), {10});
  CachedSequence seq = filled(cache, tokens_from(0, 10));
  const auto blocks = seq.table.blocks;
  const Tokens prompt = tokens_from(0, 20);
  CHECK_EQUAL(cache.match(seq, prompt).own, 10);
  CHECK_EQUAL(cache.match(seq, prompt).shared, 8);
  Copies copies;
  CHECK_EQUAL(cache.adopt(seq, prompt, copies), 10);
  CHECK(copies.empty());
  CHECK(seq.table.blocks == blocks);
  CHECK(append(cache, seq, tokens_from(10, 10)).empty());
}

TEST("kv cache: a prompt may be a view of the tokens that it replaces") {
  KvCache cache(global_spec(4), {10});
  CachedSequence seq = filled(cache, tokens_from(0, 10));
  Copies copies;
  CHECK_EQUAL(cache.adopt(seq, seq.tokens, copies), 9);
  CHECK(seq.tokens == tokens_from(0, 9));
}

TEST("kv cache: a diverging conversation takes the longer of own and shared") {
  KvCache cache(global_spec(4), {12});
  CachedSequence other = filled(cache, tokens_from(0, 12));
  CachedSequence seq =
      filled(cache, joined(tokens_from(0, 5), tokens_from(50, 6)));
  // Own: 5 tokens. The other's: 9, of which one is copied.
  const Tokens prompt = joined(tokens_from(0, 9), {90, 91});
  CHECK_EQUAL(cache.match(seq, prompt).own, 5);
  CHECK_EQUAL(cache.match(seq, prompt).shared, 9);
  Copies copies;
  CHECK_EQUAL(cache.adopt(seq, prompt, copies), 9);
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(seq.table.blocks[0][1], other.table.blocks[0][1]);
}

TEST("kv cache: a published tail is copied, and its owner writes on") {
  KvCache cache(global_spec(4), {10});
  CachedSequence owner = filled(cache, tokens_from(0, 6));
  CachedSequence reader = cache.open(kSeed);
  CHECK_EQUAL(cache.match(reader, tokens_from(0, 9)).shared, 4);
  cache.publish_tail(owner);
  CHECK_EQUAL(cache.match(reader, tokens_from(0, 9)).shared, 6);

  const BlockId tail = owner.table.blocks[0][1];
  CHECK(append(cache, owner, {60}).empty());
  CHECK_EQUAL(owner.table.blocks[0][1], tail);
  // What was written since is not promised to anyone.
  CHECK_EQUAL(
      cache.match(reader, joined(tokens_from(0, 6), {60, 61})).shared, 6);
  Copies copies;
  CHECK_EQUAL(cache.adopt(reader, tokens_from(0, 9), copies), 6);
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(copies[0].src, tail);
  CHECK_EQUAL(copies[0].n_tokens, 2);

  // Published again, it is known to its new end; full, as a full block.
  cache.publish_tail(owner);
  CHECK_EQUAL(
      cache.match(reader, joined(tokens_from(0, 6), {60, 61})).shared, 7);
  append(cache, owner, {61});
  CHECK_EQUAL(owner.table.blocks[0][1], tail);
  CHECK_EQUAL(
      cache.match(reader, joined(tokens_from(0, 6), {60, 61, 62})).shared, 8);
  CHECK_EQUAL(cache.indexed_blocks(), 2u);
}

TEST("kv cache: what was published is not overwritten after a cut") {
  KvCache cache(global_spec(4), {10});
  CachedSequence owner = filled(cache, tokens_from(0, 7));
  cache.publish_tail(owner);
  const BlockId tail = owner.table.blocks[0][1];
  cache.truncate(owner, 5);
  CHECK_EQUAL(owner.table.blocks[0][1], tail);
  CHECK_EQUAL(cache.need(owner, 1, 0), 1);
  const Copies copies = append(cache, owner, {55});
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(copies[0].src, tail);
  CHECK_EQUAL(copies[0].n_tokens, 1);
  CHECK(owner.table.blocks[0][1] != tail);
  CachedSequence reader = cache.open(kSeed);
  CHECK_EQUAL(adopt(cache, reader, tokens_from(0, 9)), 7);
}

TEST("kv cache: publishing after a cut takes nothing back") {
  KvCache cache(global_spec(4), {10});
  CachedSequence owner = filled(cache, tokens_from(0, 7));
  cache.publish_tail(owner);
  cache.truncate(owner, 6);
  cache.publish_tail(owner);
  CachedSequence reader = cache.open(kSeed);
  CHECK_EQUAL(cache.match(reader, tokens_from(0, 9)).shared, 7);
}

TEST("kv cache: a full block is not overwritten either") {
  KvCache cache(global_spec(4), {10});
  CachedSequence owner = filled(cache, tokens_from(0, 8));
  cache.truncate(owner, 6);
  const Copies copies = append(cache, owner, {66, 67});
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(copies[0].n_tokens, 2);
  CHECK_EQUAL(cache.pool().cached(0), 1);
  // Written again as it was, the sequence comes back to the block it left.
  cache.truncate(owner, 6);
  append(cache, owner, {6, 7});
  CHECK_EQUAL(owner.table.blocks[0][1], copies[0].src);
}

TEST("kv cache: the only holder of the last block there is may overwrite it") {
  KvCache cache(global_spec(4), {2});
  CachedSequence owner = filled(cache, tokens_from(0, 8));
  cache.truncate(owner, 6);
  CHECK_EQUAL(cache.need(owner, 2, 0), 0);
  Copies copies;
  CHECK(cache.reserve(owner, 1, copies));
  CachedSequence reader = cache.open(kSeed);
  // It is being overwritten: no longer to be had, be it written yet or not.
  CHECK_EQUAL(cache.match(reader, tokens_from(0, 9)).shared, 4);
  CHECK(cache.reserve(owner, 2, copies));
  CHECK(copies.empty());
  cache.commit(owner, Tokens{66, 67});
  CHECK_EQUAL(cache.match(reader, tokens_from(0, 9)).shared, 6);
  CHECK_EQUAL(
      cache.match(reader, joined(tokens_from(0, 6), {66, 67, 68})).shared, 8);

  // With another holder it may not.
  CachedSequence fork = cache.fork(owner);
  cache.truncate(owner, 6);
  CHECK(!cache.can_grow(owner, 1));
  CHECK(!cache.reserve(owner, 1, copies));
  CHECK(copies.empty());
  cache.release(fork);
  CHECK(cache.can_grow(owner, 1));
}

TEST("kv cache: equal blocks that were computed apart are held once") {
  KvCache cache(global_spec(4), {10});
  CachedSequence a = cache.open(kSeed);
  CachedSequence b = cache.open(kSeed);
  Copies copies;
  CHECK(cache.reserve(a, 10, copies));
  CHECK(cache.reserve(b, 10, copies));
  CHECK_EQUAL(cache.pool().used(0), 6);
  cache.commit(a, tokens_from(0, 10));
  cache.commit(b, tokens_from(0, 10));
  CHECK_EQUAL(cache.pool().used(0), 4); // the tails differ
  CHECK_EQUAL(a.table.blocks[0][1], b.table.blocks[0][1]);
  CHECK(a.table.blocks[0][2] != b.table.blocks[0][2]);
  append(cache, a, {10, 11});
  append(cache, b, {10, 11});
  CHECK_EQUAL(cache.pool().used(0), 3);
  CHECK_EQUAL(cache.pool().free(0), 7);
}

TEST("kv cache: an equal tail is not published twice") {
  KvCache cache(global_spec(4), {10});
  CachedSequence a = filled(cache, tokens_from(0, 7));
  CachedSequence b = filled(cache, tokens_from(0, 6));
  cache.publish_tail(a);
  const uint64_t before = cache.indexed_blocks();
  cache.publish_tail(a);
  cache.publish_tail(b); // a's tail begins with it
  CHECK_EQUAL(cache.indexed_blocks(), before);
  cache.release(b);
  CHECK_EQUAL(cache.pool().free(0), 8);
}

TEST("kv cache: a fork takes no block, the first to write copies the tail") {
  KvCache cache(global_spec(4), {10});
  CachedSequence a = filled(cache, tokens_from(0, 6));
  CachedSequence b = cache.fork(a);
  CHECK_EQUAL(cache.pool().used(0), 2);
  CHECK_EQUAL(cache.need(a, 1, 0), 1);
  CHECK_EQUAL(cache.need(b, 1, 0), 1);
  const Copies copies = append(cache, b, {70});
  CHECK_EQUAL(copies.size(), 1u);
  CHECK_EQUAL(copies[0].src, a.table.blocks[0][1]);
  CHECK_EQUAL(copies[0].n_tokens, 2);
  CHECK_EQUAL(cache.need(a, 1, 0), 0);
  CHECK(append(cache, a, {71}).empty());
  CHECK_EQUAL(cache.pool().used(0), 3);
}

TEST("kv cache: 16 forks of a long parent take one block each at most") {
  KvCache cache(hybrid15_spec(64), {200, 100});
  for (const int length : {6000, 6016}) { // with and without a tail
    CachedSequence parent = filled(cache, tokens_from(0, length));
    const int used[] = {cache.pool().used(0), cache.pool().used(1)};
    std::vector<CachedSequence> forks;
    for (int i = 0; i < 16; i++) {
      forks.push_back(cache.fork(parent));
    }
    CHECK_EQUAL(cache.pool().used(0), used[0]);
    CHECK_EQUAL(cache.pool().used(1), used[1]);
    for (int i = 0; i < 16; i++) {
      append(cache, forks[i], {1000000 + i});
    }
    CHECK_EQUAL(cache.pool().used(0), used[0] + 16);
    CHECK_EQUAL(cache.pool().used(1), used[1] + 16);
    for (CachedSequence& fork : forks) {
      cache.release(fork);
    }
    cache.release(parent);
  }
}

TEST("kv cache: a fork leaves what is being written with the one who writes") {
  KvCache cache(global_spec(4), {10});
  CachedSequence a = filled(cache, tokens_from(0, 5));
  Copies copies;
  CHECK(cache.reserve(a, 5, copies));
  CachedSequence b = cache.fork(a);
  CHECK_EQUAL(b.table.blocks[0].size(), 2u);
  CHECK_EQUAL(a.table.blocks[0].size(), 3u);
  // A step may have written position 5 by now: a copy would lose it.
  CHECK_EQUAL(cache.need(a, 6, 0), 0);
  CHECK(cache.reserve(a, 6, copies));
  CHECK(copies.empty());
  CHECK_THROWS(cache.commit(b, Tokens{9}), std::logic_error);
  append(cache, b, {9});
  cache.commit(a, tokens_from(5, 6));
  CHECK(a.tokens == tokens_from(0, 11));
  CHECK(a.table.blocks[0][1] != b.table.blocks[0][1]);
}

TEST("kv cache: a cut gives blocks and room back") {
  KvCache cache(global_spec(4), {10});
  CachedSequence seq = filled(cache, tokens_from(0, 9));
  Copies copies;
  CHECK(cache.reserve(seq, 20, copies));
  CHECK_EQUAL(cache.pool().used(0), 8);
  cache.truncate(seq, 9); // an aborted step
  CHECK_EQUAL(cache.pool().used(0), 3);
  CHECK_THROWS(cache.commit(seq, Tokens{1}), std::logic_error);
  cache.truncate(seq, 4);
  CHECK_EQUAL(cache.pool().used(0), 1);
  CHECK(seq.tokens == tokens_from(0, 4));
  CHECK_EQUAL(seq.hashes.size(), 1u);
  cache.truncate(seq, 100);
  CHECK_EQUAL(seq.table.n_tokens, 4);
  cache.truncate(seq, 0);
  CHECK_EQUAL(cache.pool().used(0), 0);
}

TEST("kv cache: growth is all or nothing over the groups") {
  KvCache cache(
      hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; }), {9, 3});
  CachedSequence seq = filled(cache, tokens_from(0, 6));
  CachedSequence fork = cache.fork(seq);
  // Two blocks and a copy of the tail are wanted; one is left to slide.
  CHECK_EQUAL(cache.need(seq, 8, 0), 3);
  CHECK_EQUAL(cache.need(seq, 8, 1), 3);
  const auto blocks = seq.table.blocks;
  Copies copies;
  CHECK(!cache.can_grow(seq, 8));
  CHECK(!cache.reserve(seq, 8, copies));
  CHECK(copies.empty());
  CHECK(seq.table.blocks == blocks);
  CHECK_EQUAL(cache.pool().available(0), 7);
  CHECK_EQUAL(cache.pool().available(1), 1);
  CHECK(cache.reserve(seq, 2, copies));
  CHECK_EQUAL(copies.size(), 2u);
}

TEST("kv cache: blocks about to be shared are not reclaimed for the copy") {
  KvCache cache(global_spec(4), {4});
  leave_cached(cache, tokens_from(0, 12));
  CHECK_EQUAL(cache.pool().cached(0), 3);
  const Tokens prompt = tokens_from(0, 12); // two blocks and 3 tokens
  CachedSequence blocker = cache.open(kSeed + 1);
  Copies copies;
  CHECK(cache.reserve(blocker, 1, copies)); // the last free block

  CachedSequence seq = cache.open(kSeed);
  CHECK_EQUAL(cache.match(seq, prompt).shared, 11);
  CHECK_EQUAL(cache.adopt(seq, prompt, copies), 8); // no block for a copy
  CHECK(copies.empty());
  CHECK_EQUAL(cache.pool().used(0), 3);
  CHECK_EQUAL(cache.pool().cached(0), 1);

  cache.release(blocker);
  CHECK_EQUAL(cache.adopt(seq, prompt, copies), 11);
  CHECK_EQUAL(copies.size(), 1u);
}

TEST("kv cache: a sequence's stale blocks make room for its copy") {
  KvCache cache(global_spec(4), {5});
  leave_cached(cache, tokens_from(0, 12));
  CachedSequence seq = cache.open(kSeed);
  append(cache, seq, tokens_from(90, 7));
  CHECK_EQUAL(cache.pool().free(0), 0);
  CHECK_EQUAL(adopt(cache, seq, tokens_from(0, 12)), 11);
}

TEST("kv cache: ends of prefixes are reclaimed before their beginnings") {
  KvCache cache(global_spec(4), {6});
  leave_cached(cache, tokens_from(0, 16));
  leave_cached(cache, tokens_from(0, 4)); // used again: still a beginning
  CachedSequence taker = cache.open(kSeed + 1);
  Copies copies;
  CachedSequence probe = cache.open(kSeed);
  for (const int left : {16, 16, 12, 8, 4, 0}) {
    CHECK(cache.reserve(taker, taker.room + 4, copies));
    CHECK_EQUAL(cache.match(probe, tokens_from(0, 17)).shared, left);
  }
}

TEST("kv cache: what is left behind a lost beginning is found again") {
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {20, 6});
  leave_cached(cache, tokens_from(0, 20));
  CachedSequence taker = cache.open(kSeed + 1);
  Copies copies;
  CHECK(cache.reserve(taker, 8, copies)); // takes sliding block 0
  cache.release(taker);
  CachedSequence probe = cache.open(kSeed);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 5)).shared, 0);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 21)).shared, 20);

  const int cached = cache.pool().cached(0);
  CachedSequence again = filled(cache, tokens_from(0, 4));
  CHECK_EQUAL(cache.pool().cached(0), cached - 1); // the global block is shared
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 5)).shared, 4);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 9)).shared, 8);
}

TEST("kv cache: sliding groups hold their window and no more") {
  for (const int block : {64, 256}) {
    KvCache cache(hybrid15_spec(block), {3072 / block, 1024 / block + 1});
    CachedSequence seq = cache.open(kSeed);
    const int window = 1024 / block;
    Copies copies;
    for (int n = 0; n < 3000; n++) {
      CHECK_EQUAL(cache.need(seq, 1, 1), n % block == 0 ? 1 : 0);
      CHECK(cache.reserve(seq, 1, copies));
      CHECK(held(seq, 1) <= window + 1);
      cache.commit(seq, Tokens{n});
      CHECK_EQUAL(held(seq, 0), (n + block) / block);
      CHECK(held(seq, 1) <= cache.spec().blocks_in_use(1, n + 1));
      if ((n + 1) % block == 0) {
        CHECK_EQUAL(held(seq, 1), cache.spec().blocks_at_rest(1, n + 1));
      }
    }
    CHECK(copies.empty());
    cache.release(seq);
  }
}

TEST("kv cache: growing in steps never takes more than was said") {
  for (const int step : {1, 3, 7, 20}) {
    const auto spec = hybrid_spec(2, 1, 8, 10, 4, [](int l) { return l == 0; });
    const int most = spec.blocks_in_use(1, 120, step);
    KvCache cache(spec, {40, most});
    CachedSequence seq = cache.open(kSeed);
    CHECK_EQUAL(cache.need_in_steps(seq, 120, step, 0), 30);
    CHECK_EQUAL(cache.need_in_steps(seq, 120, step, 1), most);
    for (int n = 0; n < 120; n += step) {
      const int left = 120 - n;
      CHECK(cache.need_in_steps(seq, left, step, 1) + held(seq, 1) <= most);
      append(cache, seq, tokens_from(n, std::min(step, left)));
    }
    cache.release(seq);
  }
}

TEST("kv cache: blocks that others hold are no room for what comes") {
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {40, 20});
  CachedSequence seq = filled(cache, tokens_from(0, 20));
  const int alone = cache.need_in_steps(seq, 40, 4, 1);
  CachedSequence fork = cache.fork(seq);
  CHECK_EQUAL(cache.need_in_steps(seq, 40, 4, 1), alone + held(seq, 1));
  cache.release(fork);
  cache.release(seq);
}

TEST("kv cache: a sequence comes back without what its windows have passed") {
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {12, 5});
  CachedSequence seq = cache.open(kSeed);
  const int first[] = {0, 2};
  CHECK(cache.reserve_restored(seq, 18, first));
  CHECK_EQUAL(held(seq, 0), 5);
  CHECK_EQUAL(held(seq, 1), 3);
  cache.commit(seq, tokens_from(0, 4)); // as its blocks are written
  cache.commit(seq, tokens_from(4, 14));
  CHECK_EQUAL(seq.table.n_tokens, 18);
  CHECK_EQUAL(held(seq, 1), 3);
  // It goes on, is shared and ends as one that was computed here.
  append(cache, seq, tokens_from(18, 2));
  CachedSequence other = cache.open(kSeed);
  CHECK_EQUAL(cache.match(other, tokens_from(0, 21)).shared, 20);
  CHECK_EQUAL(adopt(cache, other, tokens_from(0, 21)), 20);
  // What the windows have passed cannot be had for a shorter prompt.
  CHECK_EQUAL(cache.match(cache.open(kSeed), tokens_from(0, 9)).shared, 0);
  cache.release(other);
  cache.release(seq);
  CHECK_EQUAL(cache.pool().used(0) + cache.pool().used(1), 0);
}

TEST("kv cache: what does not fit is not brought back in part") {
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {12, 2});
  CachedSequence seq = cache.open(kSeed);
  const int first[] = {0, 2};
  CHECK(!cache.reserve_restored(seq, 18, first));
  CHECK_EQUAL(cache.pool().used(0) + cache.pool().used(1), 0);
  CHECK_EQUAL(seq.room, 0);
}

TEST("kv cache: with windows alone, blocks come back that nobody indexed") {
  KvCache cache(sliding_spec(8, 4), {6});
  CachedSequence seq = cache.open(kSeed);
  const int first[] = {3};
  CHECK(cache.reserve_restored(seq, 20, first));
  cache.commit(seq, tokens_from(0, 20));
  CHECK_EQUAL(cache.indexed_blocks(), 2u);
  CachedSequence other = cache.open(kSeed);
  CHECK_EQUAL(adopt(cache, other, tokens_from(0, 21)), 20);
  cache.release(other);
  cache.release(seq);
  cache.drop_cached();
  CHECK_EQUAL(cache.indexed_blocks(), 0u);
}

TEST("kv cache: Gemma 3 12B at 8K holds 512 and 320 MB") {
  for (const int block : {64, 256}) {
    KvCache cache(gemma3_12b_spec(block), {8192 / block, 8192 / block});
    CachedSequence seq = cache.open(kSeed);
    for (int n = 0; n < 8192; n += 512) {
      append(cache, seq, tokens_from(n, 512));
    }
    const size_t mib = size_t{1} << 20;
    CHECK_EQUAL(cache.pool().used(0) * cache.spec().block_bytes(0), 512 * mib);
    CHECK_EQUAL(cache.pool().used(1) * cache.spec().block_bytes(1), 320 * mib);
  }
}

TEST("kv cache: under a window a hit is as long as the window's blocks allow") {
  // Window 8 in blocks of 4: behind 16 tokens positions 9..15 are needed.
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {20, 5});
  leave_cached(cache, tokens_from(0, 20), true);
  CHECK_EQUAL(cache.pool().cached(1), 5);
  CachedSequence probe = cache.open(kSeed);
  for (const int length : {4, 8, 12, 16, 20}) {
    CHECK_EQUAL(cache.match(probe, tokens_from(0, length + 1)).shared, length);
  }
  // Reclaiming begins with what fell out of the window first: blocks 0, 1 and
  // 2 of the sliding group, while the global ones stay.
  CachedSequence taker = cache.open(kSeed + 1);
  Copies copies;
  CHECK(cache.reserve(taker, 8, copies));
  CHECK_EQUAL(cache.pool().cached(1), 3);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 5)).shared, 0);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 9)).shared, 0);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 21)).shared, 20);
  // 18 tokens attend to 11..17: blocks 2, 3 and a copy of 4.
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 19)).shared, 18);
  CHECK(cache.reserve(taker, 12, copies));
  CHECK_EQUAL(cache.pool().cached(1), 2);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 19)).shared, 0);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 20)).shared, 19);
  CHECK_EQUAL(adopt(cache, probe, tokens_from(0, 21)), 20);
  CHECK_EQUAL(probe.table.blocks[1][2], kNoBlock);
  CHECK_EQUAL(held(probe, 1), 2);
}

TEST("kv cache: a cut goes back as far as the window's blocks are known") {
  const auto spec = hybrid_spec(2, 1, 8, 8, 4, [](int l) { return l == 0; });
  KvCache cache(spec, {20, 6});
  CachedSequence seq = cache.open(kSeed);
  append(cache, seq, tokens_from(0, 10));
  append(cache, seq, tokens_from(10, 10));
  CHECK_EQUAL(held(seq, 1), 2);
  cache.truncate(seq, 12); // what the window passed is still cached
  CHECK_EQUAL(seq.table.n_tokens, 12);
  CHECK_EQUAL(held(seq, 1), 2);
  append(cache, seq, tokens_from(12, 8));

  CachedSequence taker = cache.open(kSeed + 1);
  Copies copies;
  CHECK(cache.reserve(taker, 16, copies)); // reclaims it
  cache.truncate(seq, 19);
  CHECK_EQUAL(seq.table.n_tokens, 19);
  cache.truncate(seq, 12);
  CHECK_EQUAL(seq.table.n_tokens, 0);
  CHECK(seq.tokens.empty());
  CHECK_EQUAL(cache.pool().used(0), 4);
}

TEST("kv cache: clearing forgets what nobody holds") {
  KvCache cache(global_spec(4), {10});
  leave_cached(cache, tokens_from(100, 8));
  CachedSequence seq = filled(cache, tokens_from(0, 8));
  cache.drop_cached();
  CHECK_EQUAL(cache.pool().cached(0), 0);
  CHECK_EQUAL(cache.pool().free(0), 8);
  CachedSequence probe = cache.open(kSeed);
  CHECK_EQUAL(cache.match(probe, tokens_from(100, 9)).shared, 0);
  CHECK_EQUAL(cache.match(probe, tokens_from(0, 9)).shared, 8);
  cache.release(seq);
  cache.drop_cached();
  CHECK_EQUAL(cache.pool().free(0), 10);
  CHECK_EQUAL(cache.indexed_blocks(), 0u);
}

TEST("kv cache: misuse is an error") {
  KvCache cache(global_spec(4), {10});
  CachedSequence seq = cache.open(kSeed);
  Copies copies;
  CHECK_THROWS(cache.commit(seq, Tokens{1}), std::logic_error);
  CHECK_THROWS(cache.reserve(seq, -1, copies), std::logic_error);
  CHECK_THROWS(cache.need(seq, -1, 0), std::logic_error);
  CHECK(!cache.can_grow(seq, std::numeric_limits<int>::max()));
  CHECK_THROWS(cache.truncate(seq, -1), std::logic_error);
  cache.commit(seq, Tokens{});
  CHECK(cache.reserve(seq, 4, copies));
  CHECK_THROWS(cache.commit(seq, tokens_from(0, 5)), std::logic_error);
  cache.commit(seq, tokens_from(0, 4));
  CHECK_THROWS(
      cache.need(seq, std::numeric_limits<int>::max(), 0), std::logic_error);
  CHECK_THROWS(KvCache(global_spec(4), {1, 1}), std::logic_error);
  CHECK_THROWS(KvCache(sliding_spec(0, 4), {4}), std::logic_error);
  CHECK_THROWS(KvCache(global_spec(0), {4}), std::logic_error);
}

TEST("kv cache: what forks, lookups and steps cost at 6K tokens") {
  using Clock = std::chrono::steady_clock;
  const auto us = [](Clock::time_point from, int n) {
    return std::chrono::duration<double, std::micro>(Clock::now() - from)
               .count() /
        n;
  };
  KvCache cache(global_spec(64), {500});
  const int n = 6144;
  const Tokens prompt = tokens_from(0, n + 1);
  CachedSequence seq = cache.open(kSeed);
  auto start = Clock::now();
  append(cache, seq, tokens_from(0, n));
  const double fill = us(start, n / 64);
  const int rounds = 200;
  start = Clock::now();
  for (int i = 0; i < rounds; i++) {
    CachedSequence fork = cache.fork(seq);
    cache.release(fork);
  }
  const double fork = us(start, rounds);
  start = Clock::now();
  for (int i = 0; i < rounds; i++) {
    CachedSequence reader = cache.open(kSeed);
    CHECK_EQUAL(adopt(cache, reader, prompt), n);
    cache.release(reader);
  }
  const double lookup = us(start, rounds);
  Copies copies;
  start = Clock::now();
  for (int i = 0; i < 2000; i++) {
    CHECK(cache.reserve(seq, 1, copies));
    cache.commit(seq, Tokens{i});
  }
  std::printf(
      "      reserve and commit %.2f us a block, %.2f us a decoded token; fork "
      "and release %.1f us; adopt and release %.1f us\n",
      fill,
      us(start, 2000),
      fork,
      lookup);
}

#include "cache/block_pool.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <set>

#include "check.h"

using namespace stomp;

namespace {

BlockId take(BlockPool& pool, int group = 0) {
  BlockId id = kNoBlock;
  CHECK(pool.allocate(group, {&id, 1}));
  return id;
}

/// A block that nobody holds and the index knows.
BlockId take_cached(BlockPool& pool, int group = 0) {
  const BlockId id = take(pool, group);
  pool.set_indexed(group, id, true);
  pool.release(group, id);
  return id;
}

void check_counts(const BlockPool& pool, int free, int cached, int used) {
  CHECK_EQUAL(pool.free(0), free);
  CHECK_EQUAL(pool.cached(0), cached);
  CHECK_EQUAL(pool.used(0), used);
  CHECK_EQUAL(pool.available(0), free + cached);
}

/// A pool and what it should say, kept in the simplest way.
class Checked {
 public:
  explicit Checked(int capacity)
      : pool_({3, capacity}), count_(capacity), indexed_(capacity) {
    pool_.on_reclaim([this](int group, BlockId id) {
      CHECK_EQUAL(group, 1);
      CHECK_EQUAL(id, cached_.front());
      cached_.erase(cached_.begin());
      indexed_[id] = false;
    });
  }

  int capacity() const { return static_cast<int>(count_.size()); }

  void allocate(int n) {
    std::vector<BlockId> out(n, kNoBlock);
    const bool possible = pool_.available(1) >= n;
    CHECK_EQUAL(pool_.allocate(1, out), possible);
    for (const BlockId id : out) {
      CHECK_EQUAL(id != kNoBlock, possible);
      if (possible) {
        CHECK_EQUAL(count_[id], 0);
        CHECK(!indexed_[id]);
        count_[id] = 1;
      }
    }
  }

  void retain(BlockId id) {
    if (count_[id] > 0 || indexed_[id]) {
      pool_.retain(1, id);
      std::erase(cached_, id);
      count_[id]++;
    }
  }

  void release(BlockId id) {
    if (count_[id] == 0) {
      return;
    }
    pool_.release(1, id);
    if (--count_[id] == 0 && indexed_[id]) {
      cached_.push_back(id);
    }
  }

  void set_indexed(BlockId id, bool indexed) {
    if (count_[id] == 0 && (!indexed_[id] || indexed)) {
      return;
    }
    pool_.set_indexed(1, id, indexed);
    indexed_[id] = indexed;
    if (count_[id] == 0) {
      std::erase(cached_, id);
    }
  }

  void check() const {
    int used = 0;
    for (BlockId id = 0; id < capacity(); id++) {
      CHECK_EQUAL(pool_.count(1, id), count_[id]);
      used += count_[id] > 0;
    }
    CHECK_EQUAL(pool_.used(1), used);
    CHECK_EQUAL(pool_.cached(1), static_cast<int>(cached_.size()));
    CHECK_EQUAL(pool_.free(1) + pool_.cached(1) + used, capacity());
    CHECK_EQUAL(pool_.free(0), 3);
  }

 private:
  BlockPool pool_; // group 1 of two
  std::vector<int> count_;
  std::vector<bool> indexed_;
  std::vector<BlockId> cached_; // oldest first
};

} // namespace

TEST("block pool: allocation is all or nothing") {
  BlockPool pool({5, 2});
  CHECK_EQUAL(pool.groups(), 2);
  CHECK_EQUAL(pool.capacity(0), 5);
  std::vector<BlockId> three(3, kNoBlock);
  CHECK(pool.allocate(0, three));
  CHECK_EQUAL(std::set<BlockId>(three.begin(), three.end()).size(), 3u);
  check_counts(pool, 2, 0, 3);

  std::vector<BlockId> more(3, kNoBlock);
  CHECK(!pool.allocate(0, more));
  CHECK(more == std::vector<BlockId>(3, kNoBlock));
  check_counts(pool, 2, 0, 3);
  CHECK_EQUAL(pool.free(1), 2);
  CHECK_EQUAL(pool.allocated_total(0), 3u);

  CHECK(pool.allocate(0, {}));
  check_counts(pool, 2, 0, 3);
}

TEST("block pool: a block lives until its last holder releases it") {
  BlockPool pool({1});
  const BlockId id = take(pool);
  pool.retain(0, id);
  CHECK_EQUAL(pool.count(0, id), 2);
  pool.release(0, id);
  check_counts(pool, 0, 0, 1);
  pool.release(0, id);
  check_counts(pool, 1, 0, 0);
}

TEST("block pool: an indexed block is cached, then reclaimed oldest first") {
  BlockPool pool({3});
  std::vector<BlockId> reclaimed;
  pool.on_reclaim([&](int group, BlockId id) {
    CHECK_EQUAL(group, 0);
    reclaimed.push_back(id);
  });
  std::vector<BlockId> all(3);
  CHECK(pool.allocate(0, all));
  for (const BlockId id : all) {
    pool.set_indexed(0, id, true);
  }
  for (const int i : {1, 0, 2}) {
    pool.release(0, all[i]);
  }
  check_counts(pool, 0, 3, 0);
  pool.retain(0, all[1]); // used again: the youngest from now on
  check_counts(pool, 0, 2, 1);
  pool.release(0, all[1]);

  std::vector<BlockId> again(3);
  CHECK(pool.allocate(0, again));
  CHECK(reclaimed == (std::vector<BlockId>{all[0], all[2], all[1]}));
  CHECK(again == reclaimed);
  CHECK_EQUAL(pool.reclaimed_total(0), 3u);
  for (const BlockId id : again) {
    pool.release(0, id); // what was reclaimed is no longer indexed
  }
  check_counts(pool, 3, 0, 0);
}

TEST("block pool: free blocks are taken before cached ones") {
  BlockPool pool({2});
  bool called = false;
  pool.on_reclaim([&](int, BlockId) { called = true; });
  const BlockId cached = take_cached(pool);
  CHECK(take(pool) != cached);
  CHECK(!called);
  CHECK_EQUAL(take(pool), cached);
  CHECK(called);
}

TEST("block pool: a block that the index forgets is freed") {
  BlockPool pool({2});
  const BlockId cached = take_cached(pool);
  check_counts(pool, 1, 1, 0);
  pool.set_indexed(0, cached, false);
  check_counts(pool, 2, 0, 0);

  const BlockId used = take(pool);
  pool.set_indexed(0, used, true);
  pool.set_indexed(0, used, false);
  check_counts(pool, 1, 0, 1);
  pool.release(0, used);
  check_counts(pool, 2, 0, 0);
}

TEST("block pool: misuse is an error, not a corrupt pool") {
  BlockPool pool({2});
  const BlockId id = take(pool);
  pool.release(0, id);
  CHECK_THROWS(pool.release(0, id), std::logic_error);
  CHECK_THROWS(pool.retain(0, id), std::logic_error);
  CHECK_THROWS(pool.set_indexed(0, id, true), std::logic_error);
  CHECK_THROWS(pool.set_indexed(0, id, false), std::logic_error);
  const BlockId cached = take_cached(pool);
  CHECK_THROWS(pool.release(0, cached), std::logic_error);
  for (const BlockId wrong : {kNoBlock, BlockId{2}}) {
    CHECK_THROWS(pool.retain(0, wrong), std::logic_error);
    CHECK_THROWS(pool.release(0, wrong), std::logic_error);
    CHECK_THROWS(pool.count(0, wrong), std::logic_error);
    CHECK_THROWS(pool.set_indexed(0, wrong, true), std::logic_error);
  }
  for (const int group : {-1, 1}) {
    CHECK_THROWS(pool.free(group), std::logic_error);
    CHECK_THROWS(pool.release(group, id), std::logic_error);
    CHECK_THROWS(pool.allocate(group, {}), std::logic_error);
  }
  CHECK_THROWS(BlockPool({4, -1}), std::logic_error);
  check_counts(pool, 1, 1, 0);
}

TEST("block pool: agrees with a plain model under any order of calls") {
  const uint32_t seed = std::random_device{}();
  std::printf("      seed %u\n", seed);
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  for (int round = 0; round < 200; round++) {
    Checked pool(1 + below(12));
    for (int step = 0; step < 200; step++) {
      const BlockId id = below(pool.capacity());
      switch (below(4)) {
        case 0:
          pool.allocate(below(4));
          break;
        case 1:
          pool.retain(id);
          break;
        case 2:
          pool.release(id);
          break;
        default:
          pool.set_indexed(id, below(3) > 0);
      }
      pool.check();
    }
  }
}

TEST("block pool: what a block costs") {
  using Clock = std::chrono::steady_clock;
  const int n = 4096;
  const int rounds = 20;
  BlockPool pool({n});
  std::vector<BlockId> ids(n);
  double free_ns = 0;
  double cached_ns = 0;
  for (int round = 0; round < rounds; round++) {
    const auto start = Clock::now();
    CHECK(pool.allocate(0, ids));
    for (const BlockId id : ids) {
      pool.release(0, id);
    }
    const auto middle = Clock::now();
    CHECK(pool.allocate(0, ids));
    for (const BlockId id : ids) {
      pool.set_indexed(0, id, true);
      pool.release(0, id);
    }
    CHECK(pool.allocate(0, ids)); // reclaims every one
    for (const BlockId id : ids) {
      pool.release(0, id);
    }
    free_ns += std::chrono::duration<double, std::nano>(middle - start).count();
    cached_ns +=
        std::chrono::duration<double, std::nano>(Clock::now() - middle).count();
  }
  CHECK_EQUAL(pool.free(0), n);
  std::printf(
      "      allocate and release: %.0f ns a block; by way of the cached list: "
      "%.0f ns\n",
      free_ns / n / rounds,
      cached_ns / n / rounds);
}

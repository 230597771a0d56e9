// Micro-benchmarks of what has no JavaScript face: block pool, prefix index,
// thread pool, grammars. Prints one JSON object a line, {"name", "value",
// "unit"}; each value is the median of several rounds.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "cache/block_pool.h"
#include "cache/chain_hash.h"
#include "cache/prefix_index.h"
#include "grammar_bench.h"
#include "measure.h"

namespace {

using namespace stomp;
using bench::nanoseconds;
using bench::print;
using bench::require;

constexpr int kBlockTokens = 64;

void bench_pool() {
  constexpr int kBlocks = 1 << 14;
  BlockPool pool({kBlocks});
  std::vector<BlockId> ids(kBlocks);
  print("block pool: allocate and free, per block", nanoseconds(kBlocks, [&] {
          require(pool.allocate(0, ids), "the pool is too small");
          for (const BlockId id : ids) {
            pool.release(0, id);
          }
        }));
  print("block pool: retain and release, per block", [&] {
    require(pool.allocate(0, ids), "the pool is too small");
    const double ns = nanoseconds(kBlocks, [&] {
      for (const BlockId id : ids) {
        pool.retain(0, id);
      }
      for (const BlockId id : ids) {
        pool.release(0, id);
      }
    });
    for (const BlockId id : ids) {
      pool.release(0, id);
    }
    return ns;
  }());
  // Every block is cached, so that each allocation reclaims the oldest.
  print("block pool: reclaim a cached block", nanoseconds(kBlocks, [&] {
          require(pool.allocate(0, ids), "the pool is too small");
          for (const BlockId id : ids) {
            pool.set_indexed(0, id, true);
            pool.release(0, id);
          }
        }));
}

/// Conversations of many blocks, all different from their first token on.
std::vector<std::vector<int32_t>> conversations(int n, int tokens) {
  std::mt19937 random(7);
  std::vector<std::vector<int32_t>> all(n, std::vector<int32_t>(tokens));
  for (auto& one : all) {
    std::generate(one.begin(), one.end(), [&] {
      return static_cast<int32_t>(random() % 49152);
    });
  }
  return all;
}

void bench_index() {
  constexpr int kAgents = 64;
  constexpr int kBlocksEach = 32;
  constexpr int kBlocks = kAgents * kBlocksEach;
  constexpr uint64_t kSeed = 1;
  const auto all = conversations(kAgents, kBlocksEach * kBlockTokens);
  PrefixIndex index(kBlockTokens, {kBlocks});

  const auto insert = [&] {
    BlockId id = 0;
    for (const auto& tokens : all) {
      PrefixIndex::Node node = index.make_root(kSeed);
      uint64_t hash = kSeed;
      for (int b = 0; b < kBlocksEach; b++) {
        const std::span<const int32_t> block(
            tokens.data() + b * kBlockTokens, kBlockTokens);
        hash = chain_hash(hash, block);
        node = index.find_or_add(node, hash, block);
        index.attach(node, 0, id++);
      }
    }
  };
  const auto clear = [&] {
    for (BlockId id = 0; id < kBlocks; id++) {
      index.detach(0, id);
    }
  };
  print("prefix index: insert and remove, per block", nanoseconds(kBlocks, [&] {
          insert();
          clear();
        }));
  insert();
  print("prefix index: look up, per block", nanoseconds(kBlocks, [&] {
          for (const auto& tokens : all) {
            PrefixIndex::Node node = index.find_root(kSeed);
            uint64_t hash = kSeed;
            for (int b = 0; b < kBlocksEach; b++) {
              const std::span<const int32_t> block(
                  tokens.data() + b * kBlockTokens, kBlockTokens);
              hash = chain_hash(hash, block);
              node = index.find(node, hash, block);
            }
            require(node != PrefixIndex::kNone, "a block is not found");
          }
        }));
}

/// Every thread meets every other one in each loop: what a step of the engine
/// pays for being shared out, at the least.
void bench_threads() {
  constexpr int kLoops = 2000;
  ThreadPool pool(usable_cores());
  const int n = pool.size();
  std::atomic<int> met{0};
  print("thread pool: start and join a loop", nanoseconds(kLoops, [&] {
          met = 0;
          for (int i = 1; i <= kLoops; i++) {
            pool.run(n, [&met, all = i * n](int, int) noexcept {
              met++;
              while (met.load() < all) {
                std::this_thread::yield();
              }
            });
          }
        }));
}

} // namespace

int main() {
  bench_pool();
  bench_index();
  bench_threads();
  bench::grammars();
  return 0;
}

// Thousands of random operations on small pools, with everything checked after
// each. STOMP_TEST_SEED repeats a run.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cache_fixtures.h"
#include "cache_simulator.h"
#include "check.h"

using namespace stomp;

namespace {

uint32_t first_seed() {
  const char* text = std::getenv("STOMP_TEST_SEED");
  return text ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10))
              : std::random_device{}();
}

/// STOMP_TEST_SCALE=20 runs twenty times as many worlds.
int scale() {
  const char* text = std::getenv("STOMP_TEST_SCALE");
  return text ? std::max(1, std::atoi(text)) : 1;
}

struct Totals {
  uint64_t refused = 0;
  uint64_t reclaimed = 0;
  uint64_t adopted = 0;
  uint64_t copies = 0;
};

Totals run(
    const ModelCacheSpec& spec,
    const std::vector<std::vector<int>>& capacities,
    bool ample) {
  Totals totals;
  uint32_t seed = first_seed();
  for (int round = 0; round < (ample ? 10 : 30) * scale(); round++, seed++) {
    const auto& capacity = capacities[seed % capacities.size()];
    simulator::World world(spec, capacity, seed);
    world.ample = ample;
    try {
      for (int i = 0; i < 600; i++) {
        world.step();
      }
      world.finish();
    } catch (const std::exception& e) {
      throw check::Failure(
          "with STOMP_TEST_SEED=" + std::to_string(seed) + ", pool " +
          std::to_string(capacity[0]) + ": " + e.what());
    }
    totals.refused += world.refused;
    totals.reclaimed += world.reclaimed();
    totals.adopted += world.adopted_tokens;
    totals.copies += world.copies;
  }
  std::printf(
      "      tokens adopted %llu, blocks copied %llu, reclaimed %llu, growths "
      "refused %llu\n",
      static_cast<unsigned long long>(totals.adopted),
      static_cast<unsigned long long>(totals.copies),
      static_cast<unsigned long long>(totals.reclaimed),
      static_cast<unsigned long long>(totals.refused));
  return totals;
}

ModelCacheSpec small_hybrid(int window, int block_tokens) {
  return hybrid_spec(
      3, 1, 8, window, block_tokens, [](int l) { return l == 0; });
}

void check_pressure(const Totals& totals) {
  CHECK(totals.refused > 0);
  CHECK(totals.reclaimed > 0);
  CHECK(totals.adopted > 0);
  CHECK(totals.copies > 0);
}

} // namespace

TEST("cache property: global layers, scarce blocks") {
  check_pressure(run(global_spec(4), {{6}, {12}, {20}, {40}}, false));
}

TEST("cache property: global and sliding layers, scarce blocks") {
  const std::vector<std::vector<int>> pools = {
      {12, 8}, {20, 12}, {40, 20}, {20, 40}};
  check_pressure(run(small_hybrid(8, 4), pools, false));
  check_pressure(run(small_hybrid(10, 4), pools, false));
  check_pressure(run(small_hybrid(3, 4), pools, false));
  check_pressure(run(small_hybrid(16, 2), {{40, 20}, {20, 40}}, false));
}

TEST("cache property: sliding layers alone, scarce blocks") {
  check_pressure(run(sliding_spec(8, 4), {{6}, {9}, {20}}, false));
  check_pressure(run(sliding_spec(3, 4), {{6}, {9}, {20}}, false));
  check_pressure(run(sliding_spec(9, 2), {{12}, {24}}, false));
}

TEST("cache property: with blocks to spare all that was indexed is found") {
  const int many = 800;
  for (const Totals& totals :
       {run(global_spec(4), {{many}}, true),
        run(small_hybrid(8, 4), {{many, many}}, true),
        run(sliding_spec(5, 4), {{many}}, true)}) {
    CHECK_EQUAL(totals.refused, 0u);
    CHECK_EQUAL(totals.reclaimed, 0u);
    CHECK(totals.adopted > 0);
  }
}

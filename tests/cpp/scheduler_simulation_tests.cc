// The scheduler for as long as one likes: 100,000 steps, and
// STOMP_TEST_SCALE times as many in the nightly run.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "engine/scheduler.h"
#include "scheduler_simulator.h"

using namespace stomp;
using namespace stomp::test;

namespace {

uint64_t scale() {
  const char* text = std::getenv("STOMP_TEST_SCALE");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}

/// Pools, batches and queues of all sizes, with more to do than can be done and
/// with less.
SimulationOptions some(int seed) {
  SimulationOptions o;
  o.seed = seed;
  o.blocks = 14 + seed * 7 % 60;
  o.load = 1 + seed * 5 % 12;
  o.engine.max_batch_size = 1 + seed % 7;
  o.engine.max_queue = 4 + seed % 20;
  o.engine.max_agents = seed % 3 == 0 ? 2 : 0;
  if (seed % 4 == 0) { // mostly prompts
    o.prompt = 440;
    o.answer = 4;
    o.load = 2;
  } else if (seed % 4 == 1) { // mostly waiting
    o.engine.max_batch_size = 1 + seed % 3;
    o.answer = 4;
    o.load = 1;
  }
  return o;
}

} // namespace

TEST("simulation: no starvation, no deadlock, no leak, no wrong token") {
  const uint64_t rounds = 20 * scale();
  SchedulerSimulator::Ends all;
  uint64_t preemptions = 0;
  for (uint64_t round = 0; round < rounds; round++) {
    const SimulationOptions options = some(1 + static_cast<int>(round));
    SchedulerSimulator s(options);
    try {
      s.run(5000);
      s.drain();
    } catch (...) {
      std::printf("      simulation: seed %d\n", options.seed);
      throw;
    }
    all.complete += s.ends().complete;
    all.cancelled += s.ends().cancelled;
    all.failed += s.ends().failed;
    preemptions += s.stats().preemptions;
  }
  // It has met what it is there for.
  CHECK(all.complete > 100 && all.cancelled > 20 && all.failed > 20);
  CHECK(preemptions > 50);
}

TEST("simulation: one seed, one course of events") {
  const auto trace = [](int seed) {
    SchedulerSimulator s(some(seed));
    s.run(500);
    s.drain();
    return s.trace();
  };
  CHECK_EQUAL(trace(3), trace(3));
  CHECK(trace(3) != trace(4));
}

TEST("simulation: with a disk, and with one that takes nothing") {
  for (int seed = 1; seed <= 6; seed++) {
    const TempDir dir;
    SimulationOptions options = some(seed);
    options.engine.cache_dir = dir.path() + "/caches";
    SchedulerSimulator s(options);
    s.run(200);
    if (seed % 2 == 0) {
      std::error_code ignored; // the writer may be at work there
      std::filesystem::remove_all(options.engine.cache_dir, ignored);
    }
    s.run(200);
    s.drain();
  }
}

// Prompts come and go; each gets, from its first step to its last, what its
// weight entitles it to, less a chunk or so. How far the one that is furthest
// behind may be when the furthest behind goes first: the chunk times the
// harmonic number of those who take part.
TEST("simulation: no prompt falls behind its share by more than chunks") {
  std::mt19937 random(7);
  const int chunk = 64;
  Scheduler s({.prefill_step_tokens = 256, .min_chunk_tokens = chunk});
  std::vector<Load> loads = {{.decoding = true}};
  for (uint64_t turn = 0; turn < 20000 * scale(); turn++) {
    if (random() % 8 == 0 && loads.size() < 9) {
      loads.push_back(
          {.pending = 1 + static_cast<int>(random() % 5000),
           .weight = 1 << random() % 3});
    }
    loads[0].decoding = turn / 500 % 2 == 0;
    loads[0].pending = 1;
    const std::span<const int> rows = s.plan(loads);
    int prefill = 0;
    for (size_t i = 1; i < loads.size(); i++) {
      CHECK(rows[i] >= 0 && rows[i] <= loads[i].pending);
      loads[i].pending -= rows[i];
      prefill += rows[i];
      const double most = chunk * (1 + std::log(loads.size()));
      CHECK(loads[i].pending == 0 || loads[i].credit <= most);
    }
    s.observe(
        {.decode = loads[0].decoding, .prefill = prefill},
        0.003 + 0.0005 * prefill);
    std::erase_if(loads, [](const Load& load) { return load.pending == 0; });
  }
}

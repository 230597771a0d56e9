// The engine's loop costs no memory of its own while agents are answering.
#include "allocation_count.h"
#include "engine_bench.h"
#include "virtual_clock.h"

using namespace stomp;
using namespace stomp::test;

namespace {

constexpr int kAgents = 8;
constexpr int kSteps = 1000;

/// What kSteps turns of an engine ask for in which kAgents are answering and
/// nobody comes or goes.
uint64_t allocations_of_decoding(
    const SamplingOptions& sampling,
    int period = 0) {
  EngineOptions options;
  options.speculation = period > 0;
  auto executor = std::make_unique<TokenExecutor>(kVocab);
  executor->period = period;
  options.block_tokens = kBlock;
  options.cache_budget_bytes = size_t{4096} * kBlock * 32;
  uint64_t tokens = 0;
  EngineCore core(
      options,
      tiny_model(2048),
      std::move(executor),
      [&tokens](StepEvents& step) { tokens += step.events.size(); },
      [] {});
  for (int i = 0; i < kAgents; i++) {
    Request request;
    request.id = i + 1;
    request.agent = i % 2 ? "agent " + std::to_string(i) : "";
    request.prompt = words(20 + i, i); // block ends fall into different steps
    request.max_tokens = period > 0 ? 0 : kSteps + 200;
    request.sampling = sampling;
    core.submit(request);
  }
  const uint64_t begin = period > 0 ? 100 : 5;
  while (core.stats().decode_tokens < begin * kAgents) {
    core.work();
  }
  tokens = 0;
  const uint64_t before = allocations_of_this_thread();
  const int steps = period > 0 ? kSteps / 10 : kSteps;
  for (int i = 0; i < steps; i++) {
    core.work();
  }
  const uint64_t asked = allocations_of_this_thread() - before;
  const uint64_t least = uint64_t{kAgents} * steps;
  CHECK(period > 0 ? tokens > least : tokens == least);
  return asked;
}

} // namespace

TEST("steps of greedy answers allocate nothing") {
  CHECK_EQUAL(allocations_of_decoding({}), 0u);
}

TEST("steps of sampled answers allocate nothing") {
  CHECK_EQUAL(allocations_of_decoding({.temperature = 0.8f, .seed = 3}), 0u);
  const SamplingOptions filtered{
      .temperature = 0.8f,
      .top_k = 20,
      .top_p = 0.9f,
      .min_p = 0.01f,
      .seed = 3};
  CHECK_EQUAL(allocations_of_decoding(filtered), 0u);
}

TEST("steps with drafts allocate nothing") {
  const VirtualClock clock(1); // rows cost nothing
  CHECK_EQUAL(allocations_of_decoding({}, 12), 0u);
}

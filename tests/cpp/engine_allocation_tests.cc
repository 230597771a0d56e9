// The engine's loop costs no memory of its own while agents are answering.
#include "allocation_count.h"
#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

constexpr int kAgents = 8;
constexpr int kSteps = 1000;

/// What kSteps turns of an engine ask for in which kAgents are answering and
/// nobody comes or goes.
uint64_t allocations_of_decoding(const SamplingOptions& sampling) {
  EngineOptions options;
  options.block_tokens = kBlock;
  options.cache_budget_bytes = size_t{4096} * kBlock * 32;
  uint64_t tokens = 0;
  EngineCore core(
      options,
      tiny_model(2048),
      std::make_unique<TokenExecutor>(kVocab),
      [&tokens](StepEvents& step) { tokens += step.events.size(); },
      [] {});
  for (int i = 0; i < kAgents; i++) {
    Request request;
    request.id = i + 1;
    request.agent = i % 2 ? "agent " + std::to_string(i) : "";
    request.prompt = words(20 + i, i); // block ends fall into different steps
    request.max_tokens = kSteps + 200;
    request.sampling = sampling;
    core.submit(request);
  }
  while (core.stats().decode_tokens < 5 * kAgents) {
    core.work();
  }
  tokens = 0;
  const uint64_t before = allocations_of_this_thread();
  for (int i = 0; i < kSteps; i++) {
    core.work();
  }
  const uint64_t asked = allocations_of_this_thread() - before;
  CHECK_EQUAL(tokens, uint64_t{kSteps} * kAgents);
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

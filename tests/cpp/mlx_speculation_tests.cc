// Drafts on MLX: rows of several tokens give the answers that one a step gives.
#include <map>

#include "engine/core.h"
#include "mlx_rig.h"
#include "virtual_clock.h"

using namespace stomp;

namespace {

struct Outcome {
  std::map<int, std::vector<int32_t>> tokens;
  int ended = 0;
  uint64_t accepted = 0;
};

/// Texts that repeat themselves, half of them sampled, in one batch.
Outcome answers(const std::string& device, bool speculation) {
  const test::VirtualClock clock(1); // rows cost nothing
  const auto model = mlx_rig::small_model();
  auto executor = mlx_rig::executor(device);
  executor->load(model, [](double) {});
  EngineOptions o;
  o.speculation = speculation;
  o.block_tokens = mlx_rig::kBlockTokens;
  o.prefill_step_tokens = 128;
  o.cache_budget_bytes = size_t{16} << 20;
  Outcome out;
  EngineCore core(
      o,
      model,
      std::move(executor),
      [&](StepEvents& step) {
        for (const StepEvent& event : step.events) {
          if (event.total == StepEvent::kToken) {
            out.tokens[event.request].push_back(event.value);
          }
        }
        out.ended += static_cast<int>(step.finished.size());
      },
      [] {});
  for (int i = 0; i < 4; i++) {
    Request r;
    r.id = i + 1;
    const std::vector<int32_t> once = mlx_rig::prompt_of(11 + i, i);
    for (int n = 0; n < 3; n++) {
      r.prompt.insert(r.prompt.end(), once.begin(), once.end());
    }
    r.max_tokens = 100;
    r.ignore_eos = true;
    if (i % 2) {
      r.sampling = {.temperature = 0.4f, .seed = 3};
    }
    core.submit(r);
  }
  while (core.work()) {
  }
  out.accepted = core.stats().accepted_tokens;
  return out;
}

} // namespace

TEST("mlx: answers are the same with drafts and without") {
  if (!mlx_rig::built()) {
    return;
  }
  for (const char* device : mlx_rig::kDevices) {
    const Outcome with = answers(device, true);
    const Outcome without = answers(device, false);
    CHECK_EQUAL(with.ended, 4);
    CHECK(with.tokens == without.tokens);
    CHECK(with.accepted > 10);
    CHECK_EQUAL(without.accepted, 0u);
  }
}

// The engine's own thread while a step hangs: it can be seen from outside, and
// nothing is lost when the step ends after all.
#include <future>
#include <mutex>
#include <set>

#include "engine_bench.h"
#include "tiny_model.h"

using namespace stomp;
using namespace stomp::test;

namespace {

constexpr auto kPatience = std::chrono::seconds(15);

/// Looks until it is so.
void await(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    CHECK(std::chrono::steady_clock::now() < end);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// An engine whose first step takes until it is let go.
class HangingEngine {
 public:
  HangingEngine() {
    tiny::write_hf(dir_.path(), {});
    EngineOptions o;
    o.model_path = dir_.path();
    o.block_tokens = kBlock;
    o.cache_budget_bytes = size_t{1} << 20;
    std::promise<bool> loaded;
    engine_.emplace(
        o,
        [](double) {},
        [&](const std::optional<Error>& error, const EngineInfo&) {
          loaded.set_value(!error);
        },
        [this](StepEvents& events) { hear(events); },
        [this](const EngineOptions&) { return executor(); });
    CHECK(loaded.get_future().get());
  }
  ~HangingEngine() { let_go(); }
  HangingEngine(const HangingEngine&) = delete;
  HangingEngine& operator=(const HangingEngine&) = delete;

  Engine& engine() { return *engine_; }
  void await_step() { begun_.get_future().wait(); }
  void let_go() {
    if (!let_go_) {
      let_go_ = true;
      end_.set_value();
    }
  }

  bool has_ended(int request) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return ended_.contains(request);
  }
  std::vector<int32_t> said(int request) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return said_[request];
  }

 private:
  std::unique_ptr<Executor> executor() {
    auto executor = std::make_unique<TokenExecutor>(tiny::kVocab);
    executor->before_step = [this, first = true](const Step&) mutable {
      if (first) {
        first = false;
        begun_.set_value();
        end_.get_future().wait();
      }
    };
    return executor;
  }

  void hear(const StepEvents& events) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const StepEvent& event : events.events) {
      if (event.total == StepEvent::kToken) {
        said_[event.request].push_back(event.value);
      }
    }
    for (const FinishEvent& end : events.finished) {
      ended_.insert(end.request);
    }
  }

  const TempDir dir_;
  std::promise<void> begun_;
  std::promise<void> end_;
  bool let_go_ = false;
  std::mutex mutex_; // guards what follows
  std::map<int, std::vector<int32_t>> said_;
  std::set<int> ended_;
  std::optional<Engine> engine_; // last: its thread calls the above
};

Request request(int id) {
  Request r;
  r.id = id;
  r.max_tokens = 6;
  r.prompt = {id, 7, 9, 11};
  return r;
}

} // namespace

TEST("a step that hangs can be seen from outside, and loses nobody's answer") {
  HangingEngine hanging;
  Engine& engine = hanging.engine();
  engine.submit(request(1));
  hanging.await_step();
  await([&] { return engine.silent_ms() > 20; });
  const double before = engine.silent_ms();
  engine.submit(request(2)); // held up by nothing
  await([&] { return engine.silent_ms() > before + 20; });
  CHECK(!hanging.has_ended(1));

  hanging.let_go();
  for (const int id : {1, 2}) {
    await([&] { return hanging.has_ended(id); });
    CHECK(hanging.said(id) == answer(request(id).prompt, 6, tiny::kVocab));
  }
  await([&] { return engine.silent_ms() == 0; });
}

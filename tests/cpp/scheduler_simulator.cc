#include "scheduler_simulator.h"

namespace stomp::test {

namespace {

// What a step costs here: reading the weights, then rows.
constexpr double kStepMs = 3;
constexpr double kDecodeRowMs = 0.1;
constexpr double kPrefillRowMs = 0.5;

constexpr int kTurnsWithoutProgress = 20000;

bool expected_failure(Code code) {
  return code == Code::kGenerationFailed || code == Code::kPoolExhausted ||
      code == Code::kQueueFull || code == Code::kContextOverflow;
}

} // namespace

SchedulerSimulator::SchedulerSimulator(const SimulationOptions& options)
    : options_(options),
      random_(options.seed),
      bench_(options.blocks, options.engine) {
  bench_.heard = [this](StepEvents& events) { hear(events); };
  bench_.executor->before_step = [this](const Step& step) {
    cost(step);
    if (options_.faults && one_in(400)) {
      throw std::runtime_error("the device is gone");
    }
  };
  bench_.executor->spoil = [this](const Slice&) {
    return options_.faults && one_in(500);
  };
}

void SchedulerSimulator::cost(const Step& step) {
  int decode = 0;
  int prefill = 0;
  for (const Slice& slice : step.slices) {
    (slice.decode ? decode : prefill) += slice.size();
  }
  const double ms = kStepMs + decode * kDecodeRowMs + prefill * kPrefillRowMs;
  VirtualClock::pass_ms(ms);
  if (decode > 0) {
    answering_ms_ += ms;
    alone_ms_ += kStepMs + decode * kDecodeRowMs;
  }
}

void SchedulerSimulator::run(uint64_t steps) {
  const uint64_t end = bench_.core->stats().steps + steps;
  while (bench_.core->stats().steps < end) {
    if (one_in(options_.load)) {
      arrive();
    }
    disturb();
    turn();
  }
  // Answers keep half their speed; costs are learned, so not to the last bit.
  CHECK(answering_ms_ <= 2.3 * alone_ms_ + 1000);
}

std::string SchedulerSimulator::some_agent() {
  const int n = static_cast<int>(random_() % (options_.agents + 1));
  return n == 0 ? "" : "agent" + std::to_string(n);
}

void SchedulerSimulator::arrive() {
  Request r;
  r.id = ++last_id_;
  r.agent = some_agent();
  if (!r.agent.empty() && busy_[r.agent] > 0) {
    return; // a client waits for its agent's answer
  }
  // Few beginnings, so that prefixes are shared.
  r.prompt = joined(
      words(static_cast<int>(random_() % 60), static_cast<int>(random_() % 4)),
      words(1 + static_cast<int>(random_() % options_.prompt), last_id_));
  r.max_tokens =
      one_in(8) ? 0 : 1 + static_cast<int>(random_() % options_.answer);
  // All alike; or one client that would starve if the others could have it so.
  r.priority = options_.seed % 2 == 0
      ? static_cast<Priority>(random_() % kPriorities)
      : r.agent == "agent1" ? Priority::kLow
                            : Priority::kHigh;
  if (one_in(
          3)) { // goes through the chooser; the likeliest by far all the same
    r.sampling = {.temperature = 0.02f, .seed = random_()};
  }
  r.score = one_in(20);
  Live live{.request = r, .answer = {}, .starts_before = starts_};
  for (const auto& [id, other] : live_) {
    const bool same_line =
        other.request.agent == r.agent && other.request.priority == r.priority;
    live.ahead += same_line && !other.started;
  }
  live_[r.id] = std::move(live);
  busy_[r.agent]++;
  bench_.core->submit(r);
}

void SchedulerSimulator::disturb() {
  if (one_in(60) && !live_.empty()) {
    auto chosen = live_.begin();
    std::advance(chosen, random_() % live_.size());
    bench_.core->cancel(chosen->first);
  }
  if (options_.faults && one_in(300)) {
    bench_.executor->fail_copies = 1;
  }
  disturb_agents();
}

void SchedulerSimulator::disturb_agents() {
  AgentStore& agents = bench_.core->agents();
  const std::string agent = some_agent();
  if (agent.empty() || !agents.known(agent)) {
    return;
  }
  if (one_in(40)) {
    agents.save(agent, "t" + std::to_string(random_()), {});
  }
  if (one_in(80) && busy_[agent] == 0) {
    remove(agent);
  } else if (one_in(50)) {
    const std::string child = some_agent();
    if (!child.empty() && !agents.known(child)) {
      fork(agent, child);
    }
  }
}

void SchedulerSimulator::fork(
    const std::string& parent,
    const std::string& child) {
  try {
    bench_.core->agents().fork(
        parent, child, [](const std::optional<Error>& error) {
          // A full pool may refuse, and the agents may come or go meanwhile.
          CHECK(
              !error || error->code() == Code::kPoolExhausted ||
              error->code() == Code::kAgentExists ||
              error->code() == Code::kAgentNotFound);
        });
  } catch (const Error& e) { // its file went with a lost disk
    CHECK(e.code() == Code::kIncompatibleCache);
  }
}

void SchedulerSimulator::remove(const std::string& agent) {
  bench_.core->cancel_agent(agent);
  try {
    bench_.core->agents().remove(agent);
  } catch (const Error& e) { // memory forgets it even where a disk is lost
    CHECK(e.code() == Code::kCachePersistence);
  }
}

void SchedulerSimulator::turn() {
  if (!bench_.core->work()) {
    VirtualClock::pass_ms(1);
  }
  check_pool();
}

void SchedulerSimulator::check_pool() const {
  const EngineStats s = bench_.core->stats();
  CHECK(s.pool_free[0] >= 0 && s.pool_cached[0] >= 0);
  CHECK(s.pool_free[0] + s.pool_cached[0] <= s.pool_capacity[0]);
  CHECK(s.active <= options_.engine.max_batch_size);
  CHECK(
      s.waiting <= options_.engine.max_queue + options_.engine.max_batch_size);
}

void SchedulerSimulator::hear(StepEvents& events) {
  for (const StepEvent& event : events.events) {
    note(event.request);
    note(event.value);
    Live& live = live_.at(event.request);
    if (event.total == StepEvent::kStarted) {
      hear_start(live);
    } else if (event.total == StepEvent::kToken) {
      live.answer.push_back(event.value);
    }
  }
  for (const FinishEvent& end : events.finished) {
    note(end.request);
    hear_end(end);
  }
}

/// Nobody waits for much longer than the lines before it and its class allow.
/// Only first steps are seen here, not turns, so the bound has room to spare;
/// admission_simulation_tests.cc holds the queue to the exact one.
void SchedulerSimulator::hear_start(Live& live) {
  live.started = true;
  starts_++;
  const int c = static_cast<int>(live.request.priority);
  const uint64_t lines = options_.agents + 1;
  // A turn may be worth several requests, and who was preempted comes a second
  // time; in the batch a prompt may still wait for another one's prefix.
  const uint64_t overtaken = 2 * options_.engine.max_batch_size;
  const uint64_t most =
      4 * (live.ahead + 1) * lines * (AdmissionQueue::kPasses[c] + 2) +
      overtaken;
  CHECK(starts_ - live.starts_before <= most);
}

void SchedulerSimulator::hear_end(const FinishEvent& end) {
  const auto found = live_.find(end.request);
  CHECK(found != live_.end()); // exactly one end
  const Live& live = found->second;
  if (end.reason == Finish::kError) {
    CHECK(end.error && expected_failure(end.error->code()));
    ends_.failed++;
  } else if (end.reason == Finish::kCancelled) {
    ends_.cancelled++;
  } else {
    ends_.complete++;
    if (live.request.score) {
      CHECK_EQUAL(end.logprobs.size(), live.request.prompt.size() - 1);
    } else if (live.request.max_tokens > 0) {
      CHECK(
          live.answer.size() ==
              std::min<size_t>(
                  live.request.max_tokens, 512 - live.request.prompt.size()) ||
          bench_.core->info().max_context < 512);
    }
  }
  CHECK(
      live.answer ==
      answer(live.request.prompt, static_cast<int>(live.answer.size())));
  busy_[live.request.agent]--;
  live_.erase(found);
}

/// The writer has a thread and a time of its own.
void SchedulerSimulator::wait_for_writer() const {
  if (bench_.core->agents().saving()) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

void SchedulerSimulator::drain() {
  int idle = 0;
  for (size_t before = live_.size(); !live_.empty();) {
    turn();
    idle = live_.size() == before ? idle + 1 : 0;
    before = live_.size();
    CHECK(idle < kTurnsWithoutProgress); // nobody waits for nothing
    wait_for_writer();
  }
  AgentStore& agents = bench_.core->agents();
  for (const AgentInfo& info : agents.list()) {
    remove(info.id);
  }
  while (agents.saving()) {
    turn();
    wait_for_writer();
  }
  const EngineStats s = bench_.core->stats();
  CHECK_EQUAL(s.pool_free[0] + s.pool_cached[0], s.pool_capacity[0]);
  CHECK_EQUAL(s.active + s.waiting, 0);
}

} // namespace stomp::test

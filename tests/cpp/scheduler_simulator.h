// The whole of EngineCore on a virtual clock: arrivals, cancels, forks, saves
// and faults at random from a seed, over TokenExecutor, whose answers betray
// any wrong block. Checks in every turn what must always hold.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine_bench.h"
#include "virtual_clock.h"

namespace stomp::test {

struct SimulationOptions {
  int seed = 1;
  int blocks = 40;  // of the pool
  int agents = 6;   // besides requests that have none
  int load = 8;     // one arrival in so many turns
  int prompt = 120; // longest
  int answer = 60;  // longest, but for those without a limit
  bool faults = true;
  EngineOptions engine;
};

class SchedulerSimulator {
 public:
  explicit SchedulerSimulator(const SimulationOptions& options);

  /// So many steps of the engine with all that happens meanwhile.
  void run(uint64_t steps);
  /// Until nobody wants anything; then all agents go, and with them every
  /// block that was held.
  void drain();

  /// Of all events so far, in order: equal for equal options without a disk.
  uint64_t trace() const { return trace_; }

  struct Ends {
    int complete = 0;
    int cancelled = 0;
    int failed = 0;
  };
  const Ends& ends() const { return ends_; }
  const EngineStats stats() const { return bench_.core->stats(); }

 private:
  struct Live {
    Request request;
    std::vector<int32_t> answer; // so far
    bool started = false;
    uint64_t starts_before = 0; // when it came
    int ahead = 0;              // in the same line, then
  };

  void arrive();
  void disturb();
  void disturb_agents();
  void remove(const std::string& agent);
  void fork(const std::string& parent, const std::string& child);
  void turn();
  void wait_for_writer() const;
  void hear(StepEvents& events);
  void hear_start(Live& live);
  void hear_end(const FinishEvent& end);
  void cost(const Step& step);
  void check_pool() const;
  void note(uint64_t value) { trace_ = (trace_ ^ value) * 1099511628211ull; }
  bool one_in(int n) { return random_() % n == 0; }
  std::string some_agent();

  const VirtualClock clock_;
  SimulationOptions options_;
  std::mt19937 random_;
  Bench bench_;
  std::map<int, Live> live_;
  std::map<std::string, int> busy_; // requests by agent
  uint64_t starts_ = 0;
  uint64_t trace_ = 1469598103934665603ull;
  Ends ends_;
  int last_id_ = 0;
  // Of steps in which somebody answered.
  double answering_ms_ = 0; // what they took
  double alone_ms_ = 0;     // what the answers alone would have taken
};

} // namespace stomp::test

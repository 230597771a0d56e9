// Requests, cancels, forks, saves and a pool that is too small, at random.
#include <random>
#include <set>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

// Five agents that talk, and whatever else may happen to them meanwhile.
class Storm {
 public:
  Storm(int blocks, const EngineOptions& options, int seed)
      : bench_(blocks, options), random_(seed) {}

  void turn(int number) {
    const std::string name = "ag" + std::to_string(random_() % 5);
    const std::string mark = std::to_string(number);
    const auto kind = random_() % 8;
    if (kind == 0 && bench_.core->agents().known(name)) {
      bench_.core->agents().save(name, name + mark, {});
    } else if (kind == 1 && random_() % 3 == 0) {
      bench_.core->cancel(bench_.last_id);
      cancelled_.insert(bench_.last_id);
    } else if (kind == 2 && bench_.core->agents().known(name)) {
      fork(name, "f" + mark);
    } else if (kind > 2) {
      say(name);
    }
    for (unsigned i = random_() % 6; i > 0; i--) {
      bench_.core->work();
    }
  }

  /// Every request ended, and said what it had to say.
  void check() {
    bench_.run();
    for (const auto& [id, ask] : asked_) {
      CHECK(bench_.done.count(id));
      check(id, answer(ask.prompt, ask.n));
    }
  }

 private:
  struct Ask {
    std::vector<int32_t> prompt;
    int n;
  };

  void say(const std::string& name) {
    auto& talk = talks_[name];
    if (talk.size() > 120 || random_() % 9 == 0) {
      talk = words(10 + random_() % 60, random_() % 3);
    } else {
      talk = joined(talk, words(1 + random_() % 20, random_()));
    }
    const int n = 1 + random_() % 25;
    asked_[bench_.submit(name, talk, n)] = {talk, n};
    talk = joined(talk, answer(talk, n));
  }

  void fork(const std::string& name, const std::string& child) {
    const auto talk = talks_[name];
    bench_.core->agents().fork(
        name, child, [this, child, talk](const std::optional<Error>& error) {
          if (error) { // a full pool may refuse
            CHECK(error->code() == Code::kPoolExhausted);
          } else {
            talks_[child] = talk;
          }
        });
  }

  void check(int id, const std::vector<int32_t>& right) {
    const auto& got = bench_.tokens[id];
    const std::optional<Error>& error = bench_.done.at(id).error;
    if (cancelled_.count(id)) {
      CHECK(got.size() <= right.size());
      CHECK(std::equal(got.begin(), got.end(), right.begin()));
    } else if (error) {
      CHECK(
          error->code() == Code::kPoolExhausted ||
          error->code() == Code::kContextOverflow);
    } else {
      CHECK(got == right);
    }
  }

  Bench bench_;
  std::mt19937 random_;
  std::map<std::string, std::vector<int32_t>> talks_;
  std::map<int, Ask> asked_;
  std::set<int> cancelled_;
};

} // namespace

TEST("any mix of agents, cancels, forks, saves and pressure answers right") {
  for (int round = 0; round < 12; round++) {
    const TempDir dir;
    EngineOptions o;
    if (round % 2) {
      o.cache_dir = dir.path();
    }
    o.max_batch_size = 1 + round % 5;
    o.max_agents = round % 3 ? 0 : 2;
    Storm storm(14 + round * 3, o, 900 + round);
    for (int turn = 0; turn < 120; turn++) {
      storm.turn(turn);
    }
    storm.check();
  }
}

// Agents that are brought back from disk while others answer: in parts, so
// that nobody's answer waits for a large cache.
#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

// A block of so wide heads takes 256 KB, so 24 MB are less than a hundred.
constexpr int kWide = 2048;
constexpr size_t kBytesPerTurn = (size_t{24} << 20) + (size_t{256} << 10);
constexpr int kLong = 4000;

struct Wide : Bench {
  explicit Wide(const TempDir& dir)
      : Bench(
            900,
            [&] {
              EngineOptions o;
              o.cache_dir = dir.path();
              o.prefill_step_tokens = 1000;
              return o;
            }(),
            "n",
            kLong + 200,
            kWide) {}

  void leave_on_disk(const std::string& agent, int seed) {
    finish(submit(agent, words(kLong, seed), 1));
    save(agent);
    core->agents().evict(agent, {});
    core->clear_caches(false, {}, [](const std::optional<Error>&) {});
  }

  /// The most that one turn writes, until `done`; how many turns had a token
  /// of the request.
  size_t most_written = 0;
  int turns_with_token(int request, const bool& done) {
    int turns = 0;
    while (!done) {
      const size_t before = tokens[request].size();
      const size_t written = executor->bytes_written;
      core->work();
      most_written =
          std::max<size_t>(most_written, executor->bytes_written - written);
      turns += tokens[request].size() > before;
    }
    return turns;
  }
};

} // namespace

TEST("a fork of a large agent on disk lets others answer meanwhile") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  const int other = b.submit("other", words(20, 2), 100);
  while (b.tokens[other].size() < 3) {
    b.core->work();
  }
  bool done = false;
  b.core->agents().fork("big", "child", [&](const std::optional<Error>& e) {
    CHECK(!e);
    done = true;
  });
  CHECK(!done);
  CHECK(b.turns_with_token(other, done) >= 2);
  CHECK(b.most_written <= kBytesPerTurn);
  const auto longer = joined(words(kLong, 1), words(9, 3));
  const int id = b.submit("child", longer, 3);
  CHECK_EQUAL(b.finish(id).usage.own_tokens, kLong);
  CHECK(b.tokens[id] == answer(longer, 3));
  CHECK(b.tokens[other] == answer(words(20, 2), 100));
}

TEST("several agents that come back at once share what a turn may read") {
  const TempDir dir;
  Wide b(dir);
  for (const int seed : {1, 2}) {
    b.leave_on_disk("big" + std::to_string(seed), seed);
  }
  std::map<int, int> asked;
  for (const int seed : {1, 2}) {
    asked[seed] = b.submit("big" + std::to_string(seed), words(kLong, seed), 2);
  }
  while (b.done.size() < 4) {
    const size_t written = b.executor->bytes_written;
    b.core->work();
    b.most_written =
        std::max<size_t>(b.most_written, b.executor->bytes_written - written);
  }
  CHECK(b.most_written > 0);
  CHECK(b.most_written <= kBytesPerTurn);
  for (const auto& [seed, id] : asked) {
    CHECK_EQUAL(b.done.at(id).usage.restored_tokens, kLong - 1);
    CHECK(b.tokens[id] == answer(words(kLong, seed), 2));
  }
}

TEST("a request of an agent that is being loaded waits, and finds it all") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  bool done = false;
  b.core->agents().load("big", [&](const std::optional<Error>& e) {
    CHECK(!e);
    done = true;
  });
  const auto longer = joined(words(kLong, 1), words(9, 3));
  const int id = b.submit("big", longer, 3);
  const std::optional<Error> refused = [&]() -> std::optional<Error> {
    try {
      b.core->agents().evict("big", {});
      return std::nullopt;
    } catch (const Error& e) {
      return e;
    }
  }();
  CHECK(refused && refused->code() == Code::kInvalidRequest);
  const Usage usage = b.finish(id).usage;
  CHECK(done);
  CHECK_EQUAL(usage.own_tokens, kLong);
  CHECK_EQUAL(usage.restored_tokens, 0);
  CHECK(b.tokens[id] == answer(longer, 3));
}

TEST("a fork of an agent whose request brings it back has all of it") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  const auto longer = joined(words(kLong, 1), words(9, 3));
  const int first = b.submit("big", longer, 3);
  b.core->work();
  CHECK(b.tokens[first].empty()); // on its way
  b.fork("big", "child");
  const int id = b.submit("child", longer, 3);
  const Usage usage = b.finish(id).usage;
  CHECK(usage.cached_tokens >= kLong);
  CHECK(b.tokens[id] == answer(longer, 3));
  CHECK(b.tokens[first] == answer(longer, 3));
}

TEST("an agent removed while it comes back is gone, and who waits is told") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  std::optional<Error> told;
  b.core->agents().fork(
      "big", "child", [&](std::optional<Error> e) { told = std::move(e); });
  b.core->work();
  b.core->agents().remove("big");
  CHECK(told && told->code() == Code::kAgentNotFound);
  b.run();
  CHECK(!b.core->agents().known("big"));
  CHECK(!b.core->agents().known("child"));
  const EngineStats stats = b.core->stats();
  CHECK_EQUAL(
      stats.pool_free[0] + stats.pool_cached[0], stats.pool_capacity[0]);
}

TEST("a second agent of the name made meanwhile wins over the fork") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  std::optional<Error> told;
  b.core->agents().fork(
      "big", "child", [&](std::optional<Error> e) { told = std::move(e); });
  b.core->agents().create("child");
  b.run();
  CHECK(told && told->code() == Code::kAgentExists);
}

TEST("an engine that shuts down tells those who wait for an agent") {
  const TempDir dir;
  Wide b(dir);
  b.leave_on_disk("big", 1);
  std::optional<Error> told;
  b.core->agents().load(
      "big", [&](std::optional<Error> e) { told = std::move(e); });
  b.core->shut_down();
  CHECK(told && told->code() == Code::kShuttingDown);
}

TEST("an agent that comes back waits for saves of others, not for its own") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(14, o);
  b.finish(b.submit("old", words(100, 1), 4));
  b.save("old");
  b.core->agents().evict("old", {});
  // Not saved yet, and in the way of the other.
  b.finish(b.submit("dirty", words(150, 2), 4));
  bool done = false;
  b.core->agents().load("old", [&](const std::optional<Error>& e) {
    CHECK(!e);
    done = true;
  });
  bool saved = false;
  b.core->agents().save("old", "new", [&](const std::optional<Error>& e) {
    CHECK(!e);
    saved = true;
  });
  b.run();
  CHECK(done);
  CHECK(saved);
  CHECK_EQUAL(b.core->agents().transcript("old"), std::string("new"));
}

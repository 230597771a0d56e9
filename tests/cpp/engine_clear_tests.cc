// Clearing caches: what goes, what stays, and who goes on meanwhile.
#include <set>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

std::optional<Error>
clear(Bench& b, bool disk, std::set<std::string> keep = {}) {
  bool answered = false;
  std::optional<Error> failure;
  b.core->clear_caches(disk, std::move(keep), [&](std::optional<Error> e) {
    failure = std::move(e);
    answered = true;
  });
  b.run();
  CHECK(answered);
  return failure;
}

int used_blocks(const Bench& b) {
  const EngineStats s = b.core->stats();
  return s.pool_capacity[0] - s.pool_free[0];
}

EngineOptions on_disk(const TempDir& folder) {
  EngineOptions o;
  o.cache_dir = folder.path();
  return o;
}

} // namespace

TEST("cleared caches leave the pool empty and prompts are computed anew") {
  Bench b(64);
  const auto prompt = words(100, 1);
  b.finish(b.submit("a", prompt, 10));
  b.finish(b.submit("", words(60, 2), 10));
  CHECK(used_blocks(b) > 0);
  CHECK(!clear(b, false));
  CHECK_EQUAL(used_blocks(b), 0);
  CHECK_EQUAL(b.core->stats().cache.indexed_blocks, uint64_t{0});
  const int again = b.submit("a", prompt, 10);
  CHECK_EQUAL(b.finish(again).usage.cached_tokens, 0);
  CHECK(b.tokens[again] == answer(prompt, 10));
}

TEST("agents are saved before their caches are cleared, and come back") {
  const TempDir folder;
  Bench b(64, on_disk(folder));
  const auto prompt = words(100, 3);
  b.finish(b.submit("a", prompt, 10));
  CHECK(!clear(b, false));
  CHECK_EQUAL(used_blocks(b), 0);
  const int again = b.submit("a", prompt, 10);
  CHECK_EQUAL(b.finish(again).usage.restored_tokens, 99);
}

TEST("with the disk, agents end and start cold") {
  const TempDir folder;
  Bench b(64, on_disk(folder));
  const auto prompt = words(100, 4);
  b.finish(b.submit("a", prompt, 10));
  b.save("a");
  b.finish(b.submit("b", words(30, 5), 10));
  CHECK(!clear(b, true));
  CHECK(b.core->agents().list().empty());
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string());
  const int again = b.submit("a", prompt, 10);
  CHECK_EQUAL(b.finish(again).usage.cached_tokens, 0);
}

TEST("requests that run go on, and their agents with them") {
  const TempDir folder;
  for (const bool disk : {false, true}) {
    Bench b(64, on_disk(folder));
    const auto prompt = words(100, 6);
    b.finish(b.submit("a", prompt, 5));
    b.save("a");
    const auto next = joined(prompt, answer(prompt, 5));
    const int running = b.submit("a", next, 50);
    while (b.tokens[running].size() < 5) {
      b.core->work();
    }
    CHECK(!clear(b, disk));
    CHECK(b.finish(running).reason == Finish::kLength);
    CHECK(b.tokens[running] == answer(next, 50));
    b.save("a");
    CHECK_EQUAL(b.core->agents().list().at(0).id, std::string("a"));
    CHECK(b.core->agents().on_disk("a"));
    CHECK(!clear(b, true));
    CHECK(!b.core->agents().on_disk("a"));
  }
}

TEST("agents that are to be kept lose their files alone") {
  const TempDir folder;
  Bench b(64, on_disk(folder));
  const auto prompt = words(100, 7);
  b.finish(b.submit("a", prompt, 5));
  b.save("a");
  CHECK(!clear(b, true, {"a", "nobody"}));
  CHECK(!b.core->agents().on_disk("a"));
  const int again = b.submit("a", prompt, 5);
  CHECK_EQUAL(b.finish(again).usage.own_tokens, 99);
  b.save("a");
  CHECK(b.core->agents().on_disk("a"));
}

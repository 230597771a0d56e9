// Who has to leave, what becomes of its work, and what one request's failure
// means to the others.
#include <filesystem>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

int submit(
    Bench& b,
    const std::string& agent,
    std::vector<int32_t> prompt,
    int max_tokens,
    Priority priority) {
  Request r;
  r.id = ++b.last_id;
  r.agent = agent;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.priority = priority;
  b.core->submit(r);
  return r.id;
}

void turns(Bench& b, int n) {
  for (int i = 0; i < n; i++) {
    b.core->work();
  }
}

} // namespace

TEST(
    "an urgent request takes the place of a less urgent one, which comes "
    "back") {
  EngineOptions o;
  o.max_batch_size = 1;
  Bench b(64, o);
  const auto prompt = words(200, 1);
  const int low = submit(b, "low", prompt, 60, Priority::kLow);
  while (b.tokens[low].size() < 20) {
    b.core->work();
  }
  const uint64_t computed = b.core->stats().prefill_tokens;
  const int high = submit(b, "high", words(30, 2), 10, Priority::kHigh);
  turns(b, 11);
  CHECK(b.done.count(high));
  CHECK(!b.done.count(low));
  b.finish(low);
  CHECK(b.tokens[low] == answer(prompt, 60));
  CHECK(b.tokens[high] == answer(words(30, 2), 10));
  CHECK_EQUAL(b.core->stats().preemptions, 1u);
  // What the pool still held was not computed again.
  CHECK(b.core->stats().prefill_tokens - computed <= 30 + 1);
}

TEST("for the sake of urgent ones nobody has to leave twice") {
  EngineOptions o;
  o.max_batch_size = 1;
  Bench b(64, o);
  const int low = submit(b, "low", words(50, 1), 30, Priority::kLow);
  int highs = 0;
  while (!b.done.count(low)) {
    CHECK(highs < 40);
    submit(b, "", words(20, 10 + highs++), 4, Priority::kHigh);
    turns(b, 6);
  }
  CHECK(b.tokens[low] == answer(words(50, 1), 30));
  CHECK_EQUAL(b.core->stats().preemptions, 1u);
}

TEST("what an urgent request pushes out of the pool comes back from disk") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(32, o); // 512 tokens
  const auto prompt = words(300, 1);
  const int low = submit(b, "low", prompt, 100, Priority::kLow);
  while (b.tokens[low].size() < 50) {
    b.core->work();
  }
  const uint64_t computed = b.core->stats().prefill_tokens;
  const int high = submit(b, "high", words(400, 2), 50, Priority::kHigh);
  b.run();
  CHECK(b.tokens[high] == answer(words(400, 2), 50));
  CHECK(b.tokens[low] == answer(prompt, 100));
  CHECK(b.core->stats().saves >= 1);
  CHECK(b.core->stats().prefill_tokens - computed <= 400 + kBlock);
}

TEST("who outgrows the pool takes from the least urgent, then the youngest") {
  Bench b(140, {}, "n", 1600);
  const int low = submit(b, "", words(20, 1), 0, Priority::kLow);
  turns(b, 3);
  const int normal = submit(b, "", words(20, 2), 0, Priority::kNormal);
  b.run();
  CHECK(b.core->stats().preemptions > 0);
  CHECK(b.done.at(normal).usage.total_ms <= b.done.at(low).usage.total_ms);
  CHECK(b.tokens[low] == answer(words(20, 1), 1580));
  CHECK(b.tokens[normal] == answer(words(20, 2), 1580));
}

TEST("a disk that takes nothing does not hold a preemption up") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path() + "/caches";
  Bench b(140, o, "n", 1600);
  std::filesystem::remove_all(o.cache_dir);
  const int older = b.submit("", words(20, 1), 0);
  const int younger = b.submit("a", words(20, 2), 0);
  b.run();
  CHECK(b.core->stats().preemptions > 0);
  CHECK(b.tokens[older] == answer(words(20, 1), 1580));
  CHECK(b.tokens[younger] == answer(words(20, 2), 1580));
}

TEST(
    "blocks that cannot be copied end their request alone, and are forgotten") {
  Bench b(64);
  const auto talk = words(40, 4);
  b.finish(b.submit("a", talk, 4));
  const int other = b.submit("other", words(30, 5), 60);
  turns(b, 4);
  auto next = joined(talk, words(4, 6)); // its last block can only be copied
  next[37] = (next[37] + 1) % kVocab;
  b.executor->fail_copies = 1;
  const int fails = b.submit("b", next, 4);
  turns(b, 2);
  CHECK(b.done.at(fails).error->code() == Code::kGenerationFailed);
  const int again = b.submit("b", next, 4);
  b.run();
  CHECK(b.tokens[again] == answer(next, 4));
  CHECK(b.tokens[other] == answer(words(30, 5), 60));
}

TEST(
    "a step without its copies ends those in it, and their answers stay "
    "right") {
  Bench b(64);
  const auto talk = words(40, 4);
  b.finish(b.submit("a", talk, 4));
  b.core->agents().fork("a", "b"); // the last block is shared: copied on write
  const auto next = joined(joined(talk, answer(talk, 4)), words(3, 6));
  b.executor->fail_copies = 1;
  const int fails = b.submit("b", next, 4);
  b.run();
  CHECK(b.done.at(fails).error.has_value());
  for (const char* agent : {"a", "b"}) {
    const int again = b.submit(agent, next, 4);
    b.run();
    CHECK(b.tokens[again] == answer(next, 4));
  }
}

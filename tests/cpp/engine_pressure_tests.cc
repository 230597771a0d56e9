// A pool that is too small for all who want it: waiting, preemption, and what
// becomes of the blocks meanwhile.
#include <map>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

int used(Bench& b) {
  const EngineStats s = b.core->stats();
  return s.pool_capacity[0] - s.pool_free[0] - s.pool_cached[0];
}

} // namespace

TEST("a request that waits without an agent holds no blocks") {
  Bench b(32);
  const auto shared = words(200, 1);
  b.finish(b.submit("owner", joined(shared, words(20, 2)), 4));
  for (int round = 0; round < 4; round++) {
    const int long_one = b.submit("busy", words(100, 10 + round), 150);
    for (int i = 0; i < 5; i++) {
      b.core->work();
    }
    const int waits = b.submit("", joined(shared, words(30, 3)), 200);
    for (int i = 0; i < 5; i++) {
      b.core->work();
    }
    CHECK_EQUAL(b.core->stats().waiting, 1);
    b.core->cancel(waits);
    b.core->cancel(long_one);
    b.run();
    CHECK(b.done.at(waits).reason == Finish::kCancelled);
  }
  b.core->agents().remove("owner");
  b.core->agents().remove("busy");
  CHECK_EQUAL(used(b), 0);
}

TEST(
    "a request that waits is looked up when something has changed, and counts "
    "once") {
  for (const char* agent : {"", "named"}) {
    Bench b(40);
    const auto shared = words(201, 1); // its last block can only be copied
    b.finish(b.submit("", joined(shared, words(20, 2)), 4));
    const int runs = b.submit("", words(30, 5), 400);
    for (int i = 0; i < 10; i++) {
      b.core->work();
    }
    const auto prompt = joined(shared, words(30, 3));
    const int waits = b.submit(agent, prompt, 200);
    b.core->work();
    CHECK_EQUAL(b.core->stats().waiting, 1);
    const size_t copied = b.executor->blocks_copied;
    for (int i = 0; i < 300; i++) {
      b.core->work();
    }
    CHECK_EQUAL(b.core->stats().waiting, 1);
    CHECK_EQUAL(b.executor->blocks_copied, copied);
    b.core->cancel(runs);
    CHECK_EQUAL(b.finish(waits).usage.cached_tokens, 201);
    CHECK(b.tokens[waits] == answer(prompt, 200));
    const CacheUse use = b.core->stats().cache;
    CHECK_EQUAL(use.lookups, 3u);
    CHECK_EQUAL(use.lookup_tokens, 221u + 30 + 231);
    CHECK_EQUAL(use.own_hit_tokens, 0u);
    CHECK_EQUAL(use.shared_hit_tokens, 201u);
  }
}

TEST("who runs is not ended for the sake of who waits") {
  Bench b(32);
  const auto shared = words(200, 1);
  b.finish(b.submit("", joined(shared, words(20, 2)), 4));
  const int runs = b.submit("", words(60, 5), 0); // open-ended: fills the pool
  b.core->work();
  const int waits = b.submit("", joined(shared, words(30, 3)), 200);
  b.core->work();
  CHECK_EQUAL(b.core->stats().waiting, 1);
  CHECK(b.finish(runs).reason == Finish::kLength);
  CHECK(b.finish(waits).reason == Finish::kLength);
}

TEST("an agent evicted while its request waits is counted as it was found") {
  Bench b(24);
  const auto talk = words(150, 4);
  b.finish(b.submit("a", talk, 4));
  const int first = b.submit("", words(100, 5), 200);
  for (int i = 0; i < 4; i++) {
    b.core->work();
  }
  const auto next = joined(talk, words(30, 6));
  const int waits = b.submit("a", next, 100);
  b.core->work();
  CHECK_EQUAL(b.core->stats().waiting, 1);
  b.core->agents().evict("a", {});
  const Finished& f = b.finish(waits);
  CHECK(b.done.count(first));
  CHECK(b.tokens[waits] == answer(next, 100));
  CHECK_EQUAL(
      f.usage.cached_tokens, f.usage.own_tokens + f.usage.shared_tokens);
  CHECK(f.usage.own_tokens == 0);
}

TEST("a score that was preempted yields each token's probability once") {
  Bench b(100, {}, "n", 1600);
  const int older = b.submit("", words(20, 1), 0); // admitted with 1044 tokens
  while (b.core->stats().decode_tokens < 1028) {
    b.core->work();
  }
  Request r;
  r.id = ++b.last_id;
  r.prompt = words(540, 2);
  r.score = true;
  b.core->submit(r);
  b.run();
  CHECK(b.done.count(older));
  CHECK(b.core->stats().preemptions > 0);
  CHECK(b.done.at(r.id).reason == Finish::kStop);
  CHECK_EQUAL(b.logprobs.at(r.id), size_t{539});
}

TEST("open-ended answers that outgrow the pool are preempted and completed") {
  Bench b(140, {}, "n", 1600);
  std::map<int, std::vector<int32_t>> prompts;
  for (int i = 0; i < 2; i++) {
    const auto prompt = words(20, 300 + i);
    prompts[b.submit(i ? "named" : "", prompt, 0)] = prompt;
  }
  b.run();
  CHECK(b.core->stats().preemptions > 0);
  for (const auto& [id, prompt] : prompts) {
    CHECK(b.tokens[id] == answer(prompt, 1580));
  }
}

TEST("a short prompt does not wait for a long one's whole length") {
  Bench b(64);
  const auto shared = words(32, 1);
  const int long_one = b.submit("a", joined(shared, words(400, 2)), 2);
  const int short_one = b.submit("b", joined(shared, words(8, 3)), 2);
  int turns = 0;
  while (b.tokens[short_one].empty()) {
    b.core->work();
    turns++;
  }
  CHECK(b.tokens[long_one].empty());
  CHECK(turns <= 4);
  CHECK_EQUAL(b.finish(short_one).usage.shared_tokens, 32);
}

TEST("a fork that brings a waiting agent back leaves no stale plan") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  o.max_batch_size = 1;
  const auto talk = words(100, 4);
  {
    Bench b(64, o);
    b.finish(b.submit("a", talk, 4));
    b.save("a");
  }
  Bench b(24, o);
  const int busy = b.submit("", words(60, 5), 150);
  b.core->work();
  auto other = talk;
  other[50] = (other[50] + 1) % kVocab;
  const int waits = b.submit("a", other, 10);
  b.core->work();
  CHECK_EQUAL(b.core->stats().waiting, 1);
  b.fork("a", "copy");
  b.run();
  CHECK(b.done.count(busy));
  CHECK(b.tokens[waits] == answer(other, 10));
}

TEST("a long save does not need a turn for every block") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(64, o);
  b.finish(b.submit("a", words(500, 1), 4));
  bool saved = false;
  b.core->agents().save(
      "a", "t", [&](const std::optional<Error>&) { saved = true; });
  int turns = 0;
  while (!saved) {
    if (b.core->work()) {
      turns++;
    }
  }
  CHECK(turns < 12); // of 32 blocks
}

TEST("agents that return together find their caches, though only some fit") {
  for (int seed = 0; seed < 6; seed++) {
    const TempDir dir;
    EngineOptions o;
    o.cache_dir = dir.path();
    Bench b(40 + seed % 12, o, "n", 2048);
    std::map<std::string, std::vector<int32_t>> said;
    const auto intro = words(10, 99);
    for (int i = 0; i < 6; i++) {
      said["a" + std::to_string(i)] = joined(intro, words(180, i));
    }
    std::mt19937 random(seed);
    for (int round = 0; round < 6; round++) {
      std::map<std::string, int> asked;
      for (auto& [agent, tokens] : said) {
        tokens = joined(tokens, words(5, 1000 + round));
        asked[agent] = b.submit(agent, tokens, 3);
        for (int turns = random() % 4; turns > 0; turns--) {
          b.core->work();
        }
      }
      b.run();
      for (const auto& [agent, id] : asked) {
        const Usage& usage = b.done.at(id).usage;
        const int before = static_cast<int>(said[agent].size()) - 5;
        CHECK(round == 0 || usage.cached_tokens >= before - 1);
        said[agent] = joined(said[agent], b.tokens[id]);
        b.save(agent); // so that it can go at once
      }
    }
  }
}

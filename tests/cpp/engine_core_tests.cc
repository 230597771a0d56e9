// The engine's state machine over an executor whose answers reveal any wrong
// block (token_executor.h): no model, no threads, no disk.
#include <set>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

TEST("a request is answered with the right tokens and honest usage") {
  Bench b(32);
  const auto prompt = words(100, 1);
  const int id = b.submit("a", prompt, 20);
  const Finished& f = b.finish(id);
  CHECK(f.reason == Finish::kLength);
  CHECK(b.tokens[id] == answer(prompt, 20));
  CHECK_EQUAL(f.usage.prompt_tokens, 100);
  CHECK_EQUAL(f.usage.cached_tokens, 0);
  CHECK_EQUAL(f.usage.generated_tokens, 20);
  CHECK(!f.usage.miss_reason.empty());
}

TEST("a follow-up reuses prompt and answer, and a divergence says where") {
  Bench b(32);
  const auto prompt = words(50, 2);
  b.finish(b.submit("a", prompt, 10));
  const auto next = joined(joined(prompt, answer(prompt, 10)), words(30, 3));
  const int second = b.submit("a", next, 5);
  CHECK_EQUAL(b.finish(second).usage.own_tokens, 59); // the last was not fed
  CHECK(b.tokens[second] == answer(next, 5));
  auto other = next;
  other[20] = (other[20] + 1) % kVocab;
  const int third = b.submit("a", other, 5);
  const Finished& f = b.finish(third);
  CHECK_EQUAL(f.usage.cached_tokens, 20);
  CHECK(f.usage.miss_reason.find("token 20") != std::string::npos);
  CHECK(b.tokens[third] == answer(other, 5));
}

TEST("agents share a prefix, also when they arrive together") {
  Bench b(64);
  const auto system = words(160, 4);
  std::vector<int> ids;
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 4; i++) {
    prompts.push_back(joined(system, words(12, 100 + i)));
    ids.push_back(b.submit("agent" + std::to_string(i), prompts[i], 8));
  }
  b.run();
  int computed = 0;
  for (int i = 0; i < 4; i++) {
    CHECK(b.tokens[ids[i]] == answer(prompts[i], 8));
    const Usage& u = b.done[ids[i]].usage;
    computed += u.prompt_tokens - u.cached_tokens;
  }
  CHECK(computed <= 172 + 3 * 28); // the prefix once
}

TEST("a step carries many agents and never too many rows") {
  EngineOptions o;
  o.max_batch_size = 8;
  Bench b(256, o);
  size_t widest = 0;
  b.executor->before_step = [&](const Step& s) {
    widest = std::max(widest, s.slices.size());
  };
  std::vector<int> ids;
  for (int i = 0; i < 12; i++) {
    ids.push_back(b.submit("", words(20 + i, 200 + i), 30));
  }
  b.run();
  for (int i = 0; i < 12; i++) {
    CHECK(b.tokens[ids[i]] == answer(words(20 + i, 200 + i), 30));
  }
  CHECK_EQUAL(widest, 8u);
  CHECK(b.executor->max_rows <= 48);
}

TEST("requests of one agent run one after the other") {
  Bench b(64);
  const auto prompt = words(40, 5);
  const int first = b.submit("a", prompt, 10);
  const int second = b.submit("a", prompt, 10);
  b.run();
  CHECK(b.tokens[first] == b.tokens[second]);
  CHECK_EQUAL(b.done[second].usage.own_tokens, 39);
}

TEST("cancelling takes effect before the next step, and keeps the cache") {
  Bench b(64);
  const auto prompt = words(60, 6);
  const int id = b.submit("a", prompt, 100);
  while (b.tokens[id].size() < 5) {
    b.core->work();
  }
  b.core->cancel(id);
  CHECK(b.finish(id).reason == Finish::kCancelled);
  CHECK_EQUAL(b.tokens[id].size(), 5u);
  const int again = b.submit("a", joined(prompt, answer(prompt, 5)), 3);
  CHECK(b.finish(again).usage.own_tokens >= 63);
}

TEST("a stop id ends the answer and is not part of it") {
  Bench b(64);
  const auto prompt = words(30, 7);
  const auto full = answer(prompt, 12);
  Request r;
  r.id = 1000;
  r.agent = "a";
  r.prompt = prompt;
  r.stop_ids = {full[6]};
  b.core->submit(r);
  b.run();
  CHECK(b.done.at(1000).reason == Finish::kStop);
  const auto first = std::find(full.begin(), full.end(), full[6]);
  CHECK(b.tokens[1000] == std::vector<int32_t>(full.begin(), first));
}

TEST("bad requests are refused with a code and change nothing") {
  Bench b(64);
  CHECK(b.finish(b.submit("a", {}, 5)).error->code() == Code::kInvalidRequest);
  CHECK(
      b.finish(b.submit("a", {kVocab}, 5)).error->code() ==
      Code::kInvalidRequest);
  CHECK(
      b.finish(b.submit("a", words(512, 1), 5)).error->code() ==
      Code::kContextOverflow);
  CHECK_EQUAL(b.core->stats().pool_free[0], b.core->stats().pool_capacity[0]);
}

TEST("a full queue refuses, what waits is answered") {
  EngineOptions o;
  o.max_queue = 3;
  o.max_batch_size = 1;
  Bench b(64, o);
  std::vector<int> ids;
  for (int i = 0; i < 6; i++) {
    ids.push_back(b.submit("", words(10, i), 4));
  }
  b.run();
  int refused = 0;
  for (const int id : ids) {
    refused += b.done[id].error && b.done[id].error->code() == Code::kQueueFull;
  }
  CHECK_EQUAL(refused, 2); // one has the batch's place, three wait
}

TEST("a queue of zero takes what finds a place in the batch") {
  EngineOptions o;
  o.max_queue = 0;
  o.max_batch_size = 2;
  Bench b(64, o);
  const int first = b.submit("", words(10, 1), 4);
  const int second = b.submit("", words(10, 2), 4);
  const int third = b.submit("", words(10, 3), 4);
  b.run();
  CHECK(b.done[first].reason == Finish::kLength);
  CHECK(b.done[second].reason == Finish::kLength);
  CHECK(b.done[third].error->code() == Code::kQueueFull);
}

TEST("max_tokens beyond all bounds means as many as the context holds") {
  Bench b(64);
  const int id = b.submit("", words(500, 1), 2147483647);
  CHECK(b.finish(id).reason == Finish::kLength);
  CHECK_EQUAL(b.tokens[id].size(), size_t{12});
}

TEST("a failing step fails its own requests, the engine goes on") {
  Bench b(64);
  int steps = 0;
  b.executor->before_step = [&](const Step&) {
    if (++steps == 3) {
      throw std::runtime_error("boom");
    }
  };
  const int id = b.submit("a", words(30, 8), 10);
  const Finished& f = b.finish(id);
  CHECK(f.error && f.error->code() == Code::kGenerationFailed);
  const int again = b.submit("a", words(30, 8), 10);
  CHECK(b.finish(again).reason == Finish::kLength);
  CHECK(b.tokens[again] == answer(words(30, 8), 10));
}

TEST("idle agents make room for others, and come back right without a disk") {
  Bench b(12); // 192 tokens
  const auto one = words(90, 9);
  b.finish(b.submit("one", one, 10));
  const auto two = words(120, 10);
  const int second = b.submit("two", two, 20);
  CHECK(b.finish(second).reason == Finish::kLength);
  CHECK(b.tokens[second] == answer(two, 20));
  const int third = b.submit("one", joined(one, answer(one, 10)), 10);
  CHECK(b.finish(third).reason == Finish::kLength);
  CHECK(b.tokens[third] == answer(joined(one, answer(one, 10)), 10));
}

TEST("a request that the pool can never hold is refused, not queued") {
  Bench b(8); // 128 tokens: also the context
  CHECK(
      b.finish(b.submit("a", words(130, 1), 5)).error->code() ==
      Code::kContextOverflow);
}

TEST("answers that may each fill the pool take turns") {
  Bench b(24); // 384 tokens for three answers that want all of them
  std::vector<int> ids;
  for (int i = 0; i < 3; i++) {
    Request r;
    r.id = 500 + i;
    r.prompt = words(20, 300 + i);
    b.core->submit(r); // no max_tokens: until the context ends
    ids.push_back(r.id);
  }
  b.run();
  for (int i = 0; i < 3; i++) {
    CHECK(b.done.at(ids[i]).reason == Finish::kLength);
    const auto& got = b.tokens[ids[i]];
    CHECK_EQUAL(got.size(), 384u - 20);
    CHECK(got == answer(words(20, 300 + i), 364));
  }
}

TEST("a fork goes its own way and shares what it can") {
  Bench b(64);
  const auto prompt = words(100, 11);
  b.finish(b.submit("parent", prompt, 10));
  const int used =
      b.core->stats().pool_capacity[0] - b.core->stats().pool_free[0];
  b.fork("parent", "child");
  CHECK_EQUAL(
      used, b.core->stats().pool_capacity[0] - b.core->stats().pool_free[0]);
  const auto longer = joined(prompt, answer(prompt, 10));
  const auto left = joined(longer, words(5, 12));
  const auto right = joined(longer, words(5, 13));
  const int l = b.submit("parent", left, 8);
  const int r = b.submit("child", right, 8);
  b.run();
  CHECK(b.tokens[l] == answer(left, 8));
  CHECK(b.tokens[r] == answer(right, 8));
  CHECK_EQUAL(b.done[r].usage.own_tokens, 109);
  CHECK_ERROR(b.fork("parent", "child"), Code::kAgentExists);
  CHECK_ERROR(b.fork("nobody", "x"), Code::kAgentNotFound);
}

TEST("shutting down cancels what runs and refuses what comes") {
  Bench b(64);
  const int running = b.submit("a", words(30, 23), 100);
  b.core->work();
  b.core->shut_down();
  CHECK(b.finish(running).reason == Finish::kCancelled);
  CHECK(
      b.finish(b.submit("a", words(30, 23), 5)).error->code() ==
      Code::kShuttingDown);
}

TEST("a sampled answer is the same alone and sampled beside others") {
  const auto ask = [](Bench& b, int i) {
    Request r;
    r.id = ++b.last_id;
    r.prompt = words(20, i);
    r.max_tokens = 30;
    r.sampling = {.temperature = 0.5f, .seed = static_cast<uint64_t>(i)};
    if (i % 2) {
      r.sampling.top_p = 0.8f;
    }
    b.core->submit(r);
    return r.id;
  };
  Bench together(200);
  together.executor->threaded = true;
  std::vector<int> ids;
  for (int i = 0; i < 6; i++) {
    ids.push_back(ask(together, i));
  }
  const int greedy = together.submit("", words(20, 9), 30);
  together.run();
  CHECK(together.tokens[greedy] == answer(words(20, 9), 30));
  for (int i = 0; i < 6; i++) {
    Bench alone(200);
    const int id = ask(alone, i);
    alone.run();
    CHECK_EQUAL(alone.tokens[id].size(), size_t{30});
    CHECK(together.tokens[ids[i]] == alone.tokens[id]);
  }
}

// Requests that want more than the likeliest token: bias, penalties, logprobs,
// an end of thoughts, a script, and what is told of them.
#include <cmath>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

Request request(Bench& b, std::vector<int32_t> prompt, int max_tokens) {
  Request r;
  r.id = ++b.last_id;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  return r;
}

std::vector<int32_t> tokens_of(Bench& b, const Request& r) {
  b.core->submit(r);
  b.finish(r.id);
  return b.tokens[r.id];
}

Code refusal(Bench& b, const Request& r) {
  b.core->submit(r);
  return b.finish(r.id).error->code();
}

/// Requests of all kinds, the same at every call.
std::vector<Request> all_kinds(int max_tokens) {
  std::vector<Request> requests;
  for (int i = 0; i < 8; i++) {
    Request r;
    r.id = 1000 + i;
    r.prompt = words(20 + i, 40 + i);
    r.max_tokens = max_tokens;
    if (i % 2) {
      r.sampling = {.temperature = 0.7f, .top_p = 0.9f, .seed = 7};
    }
    if (i & 2) {
      r.logits = {
          .repetition_penalty = 1.3f,
          .presence_penalty = 0.5f,
          .frequency_penalty = 0.7f,
          .bias = {{3, 0.9f}, {5, -100}}};
    }
    if (i & 4) {
      r.top_logprobs = 2;
      r.reasoning_end = {1, 2, 3};
      r.reasoning_budget = 6;
    }
    requests.push_back(std::move(r));
  }
  return requests;
}

} // namespace

TEST("a bias decides where the model does not, and rules tokens out") {
  Bench b(64);
  const auto prompt = words(30, 1);
  const auto plain = answer(prompt, 6);
  Request r = request(b, prompt, 6);
  r.logits.bias = {{42, 50}};
  CHECK(tokens_of(b, r) == std::vector<int32_t>(6, 42));
  r = request(b, prompt, 1);
  r.logits.bias = {{plain[0], -100}};
  CHECK_EQUAL(
      tokens_of(b, r)[0], plain[0] == 0 ? 1 : 0); // the lowest of equals
  r = request(b, prompt, 40);
  r.sampling = {.temperature = 2, .seed = 5};
  for (int32_t t = 4; t < kVocab; t++) {
    r.logits.bias.push_back({t, -100});
  }
  const auto few = tokens_of(b, r);
  CHECK_EQUAL(few.size(), size_t{40});
  CHECK(std::ranges::all_of(few, [](int32_t t) { return t < 4; }));
}

TEST("a frequency penalty keeps an answer from repeating itself") {
  Bench b(64);
  Request r = request(b, words(10, 2), kVocab);
  r.logits.frequency_penalty = 2;
  auto said = tokens_of(b, r);
  std::ranges::sort(said);
  CHECK(std::ranges::adjacent_find(said) == said.end());
}

TEST("log-probabilities come with each token and are the raw row's") {
  Bench b(64);
  const auto prompt = words(30, 3);
  Request r = request(b, prompt, 5);
  r.top_logprobs = 2;
  r.logits.bias = {{42, 50}};
  const auto said = tokens_of(b, r);
  const auto& all = b.told[r.id];
  CHECK_EQUAL(all.size(), size_t{5});
  const double sum = std::exp(1.0) + kVocab - 1;
  auto held = prompt;
  for (int i = 0; i < 5; i++) {
    CHECK_EQUAL(all[i].size(), size_t{3});
    CHECK_EQUAL(all[i][0].token, said[i]);
    CHECK_EQUAL(all[i][1].token, TokenExecutor::expected(held, kVocab));
    CHECK(std::abs(all[i][1].logprob - (1 - std::log(sum))) < 1e-5);
    held.push_back(said[i]);
  }
  r = request(b, prompt, 2);
  r.top_logprobs = 0;
  CHECK(tokens_of(b, r) == answer(prompt, 2));
  CHECK_EQUAL(b.told[r.id].at(1).size(), size_t{1});
}

TEST("a bias or a script of tokens that are none is refused") {
  Bench b(64);
  Request r = request(b, words(5, 1), 5);
  r.logits.bias = {{kVocab, 1}};
  CHECK(refusal(b, r) == Code::kInvalidRequest);
  r = request(b, words(5, 1), 5);
  r.script = {-1};
  CHECK(refusal(b, r) == Code::kInvalidRequest);
  r = request(b, words(5, 1), 5);
  r.reasoning_end = {kVocab};
  CHECK(refusal(b, r) == Code::kInvalidRequest);
  r = request(b, words(5, 1), 5);
  for (int32_t t = 0; t < kVocab; t++) {
    r.logits.bias.push_back({t, -100});
  }
  CHECK(refusal(b, r) == Code::kInvalidRequest);
}

TEST("rows that hold no numbers fail their own request alone") {
  Bench b(64);
  b.executor->spoil = [](const Slice& s) { return s.tokens.size() == 11; };
  const int well = b.submit("", words(30, 1), 10);
  Request r = request(b, words(11, 2), 10);
  r.sampling = {.temperature = 1, .top_k = 4, .top_p = 0.5f, .seed = 1};
  b.core->submit(r);
  CHECK(b.finish(r.id).error->code() == Code::kGenerationFailed);
  CHECK(b.tokens[well] == answer(words(30, 1), 10));
}

TEST("thoughts beyond their budget are ended, and count") {
  Bench b(64);
  const auto prompt = words(30, 4);
  Request r = request(b, prompt, 12);
  r.reasoning_end = {90, 91};
  r.reasoning_budget = 4;
  const auto said = tokens_of(b, r);
  auto plain = joined(answer(prompt, 4), {90, 91});
  plain = joined(plain, answer(joined(prompt, plain), 6));
  CHECK(said == plain);
  CHECK_EQUAL(b.done.at(r.id).usage.generated_tokens, 12);
}

TEST("a script goes through the model and ends the answer") {
  Bench b(64);
  const auto prompt = words(30, 5);
  const std::vector<int32_t> script = {4, 8, 15, 16, 23};
  Request r = request(b, prompt, 0);
  r.agent = "a";
  r.script = script;
  CHECK(tokens_of(b, r) == script);
  CHECK(b.done.at(r.id).reason == Finish::kStop);
  CHECK_EQUAL(b.done.at(r.id).usage.generated_tokens, 5);
  const auto next = joined(joined(prompt, script), words(8, 6));
  const int second = b.submit("a", next, 4);
  CHECK_EQUAL(b.finish(second).usage.own_tokens, 35);
  CHECK(b.tokens[second] == answer(next, 4));
}

TEST("a script ends at an end token, or at max_tokens") {
  Bench b(64);
  Request r = request(b, words(30, 5), 9);
  r.script = {4, 8, 15, 16};
  r.stop_ids = {15};
  CHECK(tokens_of(b, r) == std::vector<int32_t>({4, 8}));
  CHECK(b.done.at(r.id).reason == Finish::kStop);
  r = request(b, words(30, 5), 2);
  r.script = {4, 8, 15, 16};
  CHECK(tokens_of(b, r) == std::vector<int32_t>({4, 8}));
  CHECK(b.done.at(r.id).reason == Finish::kLength);
}

TEST("a guided answer is the same alone and in company") {
  Bench together(200);
  together.executor->threaded = true;
  for (const Request& r : all_kinds(60)) {
    together.core->submit(r);
  }
  together.run();
  for (const Request& r : all_kinds(60)) {
    Bench alone(200);
    const auto said = tokens_of(alone, r);
    CHECK_EQUAL(said.size(), size_t{60});
    CHECK(together.tokens[r.id] == said);
    CHECK_EQUAL(together.told[r.id].size(), alone.told[r.id].size());
  }
}

TEST("a guided answer is the same after a preemption") {
  // Two are admitted for a thousand tokens each, and go on.
  Bench scarce(140, {}, "n", 1600);
  for (const Request& r : all_kinds(0)) {
    scarce.core->submit(r);
  }
  scarce.run();
  CHECK(scarce.core->stats().preemptions > 0);
  for (const Request& r : all_kinds(0)) {
    Bench alone(140, {}, "n", 1600);
    CHECK(scarce.tokens[r.id] == tokens_of(alone, r));
    CHECK_EQUAL(scarce.told[r.id].size(), alone.told[r.id].size());
  }
}

TEST(
    "a request is announced once, before its first token, with what was "
    "cached") {
  Bench b(64);
  const auto prompt = words(100, 7);
  const int first = b.submit("a", prompt, 3);
  b.run();
  const int second = b.submit("b", prompt, 3);
  b.run();
  CHECK(b.started[first] == std::vector<int>({0}));
  CHECK(b.started[second] == std::vector<int>({99}));
  CHECK_EQUAL(b.done[second].usage.cached_tokens, 99);
}

TEST("an idle engine waits for more requests as long as it is told to") {
  EngineOptions o;
  o.batch_window_ms = 100000;
  o.max_batch_size = 3;
  Bench b(64, o);
  const auto prompt = words(20, 8);
  const int first = b.submit("", prompt, 5);
  CHECK(!b.core->work());
  CHECK(b.core->kept_back_until());
  CHECK(b.started[first].empty());
  b.core->set_batch_window(0);
  CHECK(b.core->work());
  CHECK(!b.core->kept_back_until());
  b.core->set_batch_window(100000);
  const int second = b.submit("", words(20, 9), 5); // a busy one waits for none
  b.run();
  CHECK(b.tokens[first] == answer(prompt, 5));
  CHECK_EQUAL(b.tokens[second].size(), size_t{5});
  const int third = b.submit("", words(20, 10), 5);
  b.submit("", words(20, 11), 5);
  b.run();
  CHECK(!b.done.count(third));
  b.submit("", words(20, 12), 5); // the batch is full
  b.run();
  CHECK(b.done.count(third));
}

TEST("the wait ends by itself, and with the request that it is for") {
  EngineOptions o;
  o.batch_window_ms = 5;
  Bench b(64, o);
  const int id = b.submit("", words(20, 8), 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(b.finish(id).reason == Finish::kLength);
  b.core->set_batch_window(100000);
  const int cancelled = b.submit("", words(20, 8), 5);
  b.run();
  b.core->cancel(cancelled);
  CHECK(b.finish(cancelled).reason == Finish::kCancelled);
  CHECK(!b.core->kept_back_until());
}

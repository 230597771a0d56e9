// Answers are the same with drafts and without, whoever else is in the batch.
#include "engine_bench.h"
#include "tiny_model.h"
#include "virtual_clock.h"

using namespace stomp;
using namespace stomp::test;

namespace {

struct Said {
  std::vector<int32_t> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;
  Finish reason = Finish::kError;
  Usage usage;
};
using All = std::map<int, Said>;

bool same(
    const std::vector<TokenLogprob>& a,
    const std::vector<TokenLogprob>& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.token == y.token && x.logprob == y.logprob;
  });
}

/// The same but for how it came about. Returns the drafted tokens accepted.
int check_same(All& with, All& without) {
  int accepted = 0;
  CHECK_EQUAL(with.size(), without.size());
  for (auto& [id, said] : with) {
    const Said& right = without.at(id);
    CHECK(said.reason == right.reason);
    CHECK(said.tokens == right.tokens);
    CHECK(std::ranges::equal(said.logprobs, right.logprobs, same));
    CHECK_EQUAL(said.usage.generated_tokens, right.usage.generated_tokens);
    CHECK_EQUAL(right.usage.drafted_tokens, 0);
    CHECK(said.usage.accepted_tokens <= said.usage.drafted_tokens);
    accepted += said.usage.accepted_tokens;
  }
  return accepted;
}

/// A prompt that says things twice.
std::vector<int32_t> repeating(int seed, int vocab) {
  std::vector<int32_t> text = words(12 + seed % 5, seed);
  for (int32_t& t : text) {
    t %= vocab;
  }
  const std::vector<int32_t> once = text;
  for (int i = 0; i < 3; i++) {
    text = joined(text, once);
  }
  return text;
}

/// Requests of every kind: how tokens are chosen, changed, told and ended.
std::vector<Request> kinds(int vocab, int max_tokens) {
  std::vector<Request> all;
  for (int i = 0; i < 32; i++) {
    Request r;
    r.id = i + 1;
    r.agent = i % 3 == 0 ? "agent" + std::to_string(i) : "";
    r.prompt = repeating(i, vocab);
    r.max_tokens = max_tokens + i;
    r.ignore_eos = true;
    if (i % 4 == 1) {
      r.sampling = {.temperature = 0.2f, .seed = 5u + i};
    } else if (i % 4 == 2) {
      r.sampling = {
          .temperature = 0.7f, .top_k = 9, .top_p = 0.9f, .min_p = 0.01f};
    }
    if (i & 4) {
      r.logits = {
          .repetition_penalty = 1.1f,
          .presence_penalty = 0.1f,
          .frequency_penalty = 0.05f,
          .bias = {{3, 0.4f}, {5, -100}}};
    }
    if (i & 8) {
      r.top_logprobs = 2;
    }
    if (i & 16) {
      r.stop_ids = {static_cast<int32_t>(i % vocab)};
    }
    all.push_back(std::move(r));
  }
  return all;
}

template <class Core>
All run_all(Bench& bench, Core& core, const std::vector<Request>& requests) {
  for (const Request& r : requests) {
    core.submit(r);
  }
  while (core.work()) {
  }
  All all;
  for (const Request& r : requests) {
    CHECK(bench.done.count(r.id));
    const Finished& end = bench.done.at(r.id);
    all[r.id] = {bench.tokens[r.id], bench.told[r.id], end.reason, end.usage};
  }
  return all;
}

/// Steps of one length: drafts cost nothing and are tried for all they hold.
All with_fake(
    bool speculation,
    int blocks,
    const std::vector<Request>& requests) {
  const VirtualClock clock;
  EngineOptions o;
  o.speculation = speculation;
  o.max_batch_size = 6;
  Bench b(blocks, o);
  b.executor->period = 14;
  b.executor->threaded = true;
  b.executor->before_step = [](const Step&) { VirtualClock::pass_ms(1); };
  All all = run_all(b, *b.core, requests);
  const EngineStats s = b.core->stats();
  CHECK(speculation ? s.accepted_tokens > 0 : s.drafted_tokens == 0);
  return all;
}

/// A tiny Llama on the CPU.
All with_model(
    bool speculation,
    bool exact,
    const std::vector<Request>& requests) {
  const VirtualClock clock(1); // rows cost nothing
  const TempDir dir;
  tiny::write_hf(dir.path(), {});
  const auto model = open_model(dir.path());
  EngineOptions o;
  o.speculation = speculation;
  o.max_batch_size = 5;
  o.block_tokens = kBlock;
  o.cache_budget_bytes = size_t{16} << 20;
  ExecutorOptions cpu;
  cpu.threads = 2;
  cpu.max_step_tokens = 640;
  cpu.exact = exact;
  auto executor = make_cpu_executor(cpu);
  executor->load(model, [](double) {});
  Bench heard(4);
  EngineCore core(
      o,
      model,
      std::move(executor),
      [&](StepEvents& e) { heard.take(e); },
      [] {});
  return run_all(heard, core, requests);
}

} // namespace

TEST("speculation: answers of all kinds are the same with drafts and without") {
  const std::vector<Request> requests = kinds(kVocab, 60);
  All with = with_fake(true, 200, requests);
  All without = with_fake(false, 200, requests);
  CHECK(check_same(with, without) > 300);
}

TEST("speculation: the same in a pool that is too small") {
  std::vector<Request> requests = kinds(kVocab, 60);
  for (size_t i = 0; i < requests.size(); i += 2) {
    requests[i].max_tokens = 0;
  }
  All with = with_fake(true, 24, requests);
  All without = with_fake(false, 24, requests);
  CHECK(check_same(with, without) > 300);
}

TEST("speculation: the same on the CPU, fast and exact") {
  const std::vector<Request> requests = kinds(tiny::kVocab, 120);
  for (const bool exact : {false, true}) {
    All with = with_model(true, exact, requests);
    All without = with_model(false, exact, requests);
    CHECK(check_same(with, without) > 20);
  }
}

TEST("speculation: a text that repeats itself takes fewer steps, and says so") {
  const VirtualClock clock;
  Bench b(64);
  b.executor->period = 14;
  b.executor->before_step = [](const Step&) { VirtualClock::pass_ms(1); };
  const int id = b.submit("a", repeating(2, kVocab), 200);
  const Finished& f = b.finish(id);
  CHECK_EQUAL(f.usage.generated_tokens, 200);
  CHECK(f.usage.accepted_tokens > 100);
  const EngineStats s = b.core->stats();
  CHECK(s.steps < 90);
  CHECK_EQUAL(s.drafted_tokens, uint64_t(f.usage.drafted_tokens));
  CHECK_EQUAL(s.accepted_tokens, uint64_t(f.usage.accepted_tokens));
  CHECK_EQUAL(s.decode_tokens, 199u); // the first comes with the prompt
}

TEST("speculation: the cache holds the answer alone, not what was rejected") {
  const VirtualClock clock;
  Bench b(64);
  b.executor->period = 14;
  b.executor->before_step = [](const Step&) { VirtualClock::pass_ms(1); };
  const auto prompt = repeating(3, kVocab);
  const int id = b.submit("a", prompt, 150);
  const Usage first = b.finish(id).usage;
  CHECK(first.accepted_tokens < first.drafted_tokens);
  const auto next = joined(joined(prompt, b.tokens[id]), words(5, 9));
  const int second = b.submit("a", next, 20);
  CHECK_EQUAL(b.finish(second).usage.own_tokens, int(next.size()) - 6);
  Bench cold(64);
  cold.executor->period = 14;
  const int again = cold.submit("", next, 20);
  cold.finish(again);
  CHECK(b.tokens[second] == cold.tokens[again]);
}

TEST("speculation: rows that cost as much as steps are given up") {
  const VirtualClock clock;
  Bench b(64);
  b.executor->period = 14;
  b.executor->before_step = [](const Step& step) {
    int rows = 0;
    for (const Slice& slice : step.slices) {
      rows += slice.size();
    }
    VirtualClock::pass_ms(2.0 * rows);
  };
  const int id = b.submit("a", repeating(2, kVocab), 400);
  const Finished& f = b.finish(id);
  CHECK(f.usage.drafted_tokens < 60);
}

TEST("speculation: scripted answers come one token a step") {
  const VirtualClock clock;
  Bench b(64);
  b.executor->before_step = [](const Step&) { VirtualClock::pass_ms(1); };
  Request r;
  r.id = ++b.last_id;
  r.prompt = repeating(2, kVocab);
  r.script = repeating(2, kVocab);
  b.core->submit(r);
  CHECK_EQUAL(b.finish(r.id).usage.drafted_tokens, 0);
  CHECK(b.tokens[r.id] == r.script);
}

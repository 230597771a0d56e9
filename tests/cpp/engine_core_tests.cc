// The engine's state machine over an executor whose answers reveal any wrong
// block (token_executor.h): no model, no threads.
#include <unistd.h>
#include <algorithm>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "check.h"
#include "engine/core.h"
#include "token_executor.h"

using namespace stomp;

namespace {

constexpr int kVocab = 97;
constexpr int kBlock = 16;

std::shared_ptr<const Model> tiny_model() {
  auto model = std::make_shared<Model>();
  ModelConfig& c = model->config;
  c.family = "llama";
  c.name = "tokens";
  c.n_layers = 1;
  c.d_model = 4;
  c.n_heads = 1;
  c.n_kv_heads = 1;
  c.head_dim = 4;
  c.d_ff = 4;
  c.vocab_size = kVocab;
  c.max_context = 512;
  model->fingerprint = "feedbeef";
  return model;
}

struct Finished {
  Finish reason;
  Usage usage;
  std::optional<Error> error;
};

// An engine core with everything it said, by request.
struct Bench {
  explicit Bench(int blocks, EngineOptions o = {}, std::string numerics = "n") {
    o.block_tokens = kBlock;
    o.cache_budget_bytes = static_cast<size_t>(blocks) * kBlock * 32;
    o.prefill_step_tokens =
        o.prefill_step_tokens == 512 ? 40 : o.prefill_step_tokens;
    auto owned = std::make_unique<TokenExecutor>(kVocab);
    owned->numerics = std::move(numerics);
    executor = owned.get();
    core = std::make_unique<EngineCore>(
        o,
        tiny_model(),
        std::move(owned),
        [this](StepEvents&& e) { take(std::move(e)); },
        [] {});
  }

  void take(StepEvents&& e) {
    for (const TokenEvent& t : e.tokens) {
      tokens[t.request].push_back(t.token);
    }
    for (FinishEvent& f : e.finished) {
      CHECK(!done.count(f.request)); // exactly one end
      done[f.request] = {f.reason, f.usage, f.error};
    }
  }

  int submit(std::string agent, std::vector<int32_t> prompt, int max_tokens) {
    Request r;
    r.id = ++last_id;
    r.agent = std::move(agent);
    r.prompt = std::move(prompt);
    r.max_tokens = max_tokens;
    core->submit(r);
    return r.id;
  }

  void run() {
    for (int idle = 0; idle < 200;) {
      idle = core->work() ? 0 : idle + 1;
      if (idle && !core->agents().saving()) {
        return;
      }
      if (idle) { // the writer thread is at work
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  const Finished& finish(int id) {
    run();
    CHECK(done.count(id));
    return done.at(id);
  }

  void save(const std::string& agent) {
    bool saved = false;
    core->agents().save(agent, "t:" + agent, [&](std::optional<Error> e) {
      CHECK(!e);
      saved = true;
    });
    run();
    CHECK(saved);
  }

  TokenExecutor* executor;
  std::unique_ptr<EngineCore> core;
  std::map<int, std::vector<int32_t>> tokens;
  std::map<int, Finished> done;
  int last_id = 0;
};

std::vector<int32_t> words(int n, int seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> v(n);
  for (int32_t& t : v) {
    t = static_cast<int32_t>(random() % kVocab);
  }
  return v;
}

std::vector<int32_t> answer(std::vector<int32_t> prompt, int n) {
  std::vector<int32_t> out;
  for (int i = 0; i < n; i++) {
    out.push_back(TokenExecutor::expected(prompt, kVocab));
    prompt.push_back(out.back());
  }
  return out;
}

std::vector<int32_t> joined(
    std::vector<int32_t> a,
    const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string temporary_folder(const std::string& name) {
  const auto path = std::filesystem::temp_directory_path() /
      ("stomp-" + name + "-" + std::to_string(::getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

} // namespace

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
  CHECK_EQUAL(refused, 3);
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

TEST("open-ended answers that outgrow the pool are preempted and completed") {
  Bench b(24); // 384 tokens for three answers that want 200 each
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
  b.core->agents().fork("parent", "child", b.core->plain_seed());
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
  CHECK_ERROR(b.core->agents().fork("parent", "child", 0), Code::kAgentExists);
  CHECK_ERROR(b.core->agents().fork("nobody", "x", 0), Code::kAgentNotFound);
}

TEST("an agent restored from disk goes on as if it had never left") {
  EngineOptions o;
  o.cache_dir = temporary_folder("restore");
  const auto prompt = words(100, 14);
  const auto longer = joined(joined(prompt, answer(prompt, 10)), words(20, 15));
  {
    Bench b(64, o);
    b.finish(b.submit("A.gent-1", prompt, 10));
    b.save("A.gent-1");
  }
  {
    Bench b(64, o);
    CHECK_EQUAL(b.core->agents().list().size(), 1u);
    CHECK_EQUAL(b.core->agents().transcript("A.gent-1"), "t:A.gent-1");
    const int id = b.submit("A.gent-1", longer, 10);
    const Finished& f = b.finish(id);
    CHECK_EQUAL(f.usage.restored_tokens, 109);
    CHECK(b.tokens[id] == answer(longer, 10));
  }
  std::filesystem::remove_all(o.cache_dir);
}

TEST("caches of other numerics are refused by name, the agent starts cold") {
  EngineOptions o;
  o.cache_dir = temporary_folder("numerics");
  const auto prompt = words(50, 16);
  {
    Bench b(64, o, "one");
    b.finish(b.submit("a", prompt, 10));
    b.save("a");
  }
  Bench b(64, o, "two");
  const int id = b.submit("a", prompt, 10);
  const Finished& f = b.finish(id);
  CHECK_EQUAL(f.usage.cached_tokens, 0);
  CHECK(f.usage.miss_reason.find("one") != std::string::npos);
  CHECK(b.tokens[id] == answer(prompt, 10));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("a damaged file means a cold start with a reason, and is set aside") {
  namespace fs = std::filesystem;
  EngineOptions o;
  o.cache_dir = temporary_folder("damaged");
  const auto prompt = words(80, 17);
  {
    Bench b(64, o);
    b.finish(b.submit("a", prompt, 10));
    b.save("a");
  }
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  const auto size = fs::file_size(file);
  std::string good(size, '\0');
  {
    FILE* in = std::fopen(file.c_str(), "rb");
    CHECK_EQUAL(std::fread(good.data(), 1, size, in), size);
    std::fclose(in);
  }
  const auto next = joined(joined(prompt, answer(prompt, 10)), words(4, 18));
  // Every kind of place: header, token ids, blocks, checksums, seal; cut or
  // with one bit turned.
  for (size_t at = 0; at < size; at += size / 60 + 1) {
    for (const bool cut : {true, false}) {
      std::string bad = good;
      if (cut) {
        bad.resize(at);
      } else {
        bad[at] = static_cast<char>(bad[at] ^ 4);
      }
      FILE* out = std::fopen(file.c_str(), "wb");
      std::fwrite(bad.data(), 1, bad.size(), out);
      std::fclose(out);
      Bench b(64, o);
      const int id = b.submit("a", next, 5);
      const Finished& f = b.finish(id);
      CHECK(f.reason == Finish::kLength);
      CHECK(b.tokens[id] == answer(next, 5));
      CHECK(f.usage.miss_reason.find("set aside") != std::string::npos);
      CHECK(fs::exists(file + ".corrupt"));
    }
  }
  fs::remove_all(o.cache_dir);
}

TEST("a second engine on the same cache folder is refused") {
  EngineOptions o;
  o.cache_dir = temporary_folder("lock");
  {
    Bench b(64, o);
    CHECK_ERROR(Bench(64, o), Code::kCacheInUse);
  }
  Bench again(64, o); // the lock went with its holder
  std::filesystem::remove_all(o.cache_dir);
}

TEST("dirty agents are saved before they leave the pool") {
  EngineOptions o;
  o.cache_dir = temporary_folder("spill");
  Bench b(12, o);
  const auto one = words(90, 19);
  b.finish(b.submit("one", one, 10));
  const auto two = words(150, 20);
  const int second = b.submit("two", two, 20);
  CHECK(b.finish(second).reason == Finish::kLength);
  const int third = b.submit("one", joined(one, answer(one, 10)), 10);
  const Finished& f = b.finish(third);
  CHECK(f.usage.restored_tokens > 0);
  CHECK(b.tokens[third] == answer(joined(one, answer(one, 10)), 10));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("when the disk refuses, a full pool says so and nothing is lost") {
  EngineOptions o;
  o.cache_dir = temporary_folder("full");
  Bench b(12, o);
  const auto one = words(90, 21);
  b.finish(b.submit("one", one, 10));
  // The agent's file cannot be created: a folder stands in its place.
  std::filesystem::create_directories(
      o.cache_dir + "/feedbeef/one.safetensors/x");
  const int second = b.submit("two", words(150, 22), 20);
  const Finished& f = b.finish(second);
  CHECK(f.error && f.error->code() == Code::kPoolExhausted);
  CHECK(b.core->stats().save_failures >= 1);
  const int third = b.submit("one", joined(one, answer(one, 10)), 10);
  CHECK(b.finish(third).usage.own_tokens == 99);
  // Once the disk takes it, all is well again.
  std::filesystem::remove_all(o.cache_dir + "/feedbeef/one.safetensors");
  const int fourth = b.submit("two", words(150, 22), 20);
  b.run();
  const int fifth = b.submit("two", words(150, 22), 20);
  CHECK(b.finish(fifth).reason == Finish::kLength);
  CHECK(b.done.count(fourth));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("ids that differ in case only get files of their own") {
  CHECK(agent_file_name("Agent") != agent_file_name("agent"));
  for (const std::string id : {"Agent", "aGENT.x", "a-b_c.D", "A", "9"}) {
    CHECK_EQUAL(*agent_of_file_name(agent_file_name(id)), id);
  }
  CHECK(!agent_of_file_name("x.safetensors.tmp"));
  CHECK(!agent_of_file_name("X.safetensors"));
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

TEST("any mix of agents, cancels, forks, saves and pressure answers right") {
  for (int round = 0; round < 12; round++) {
    EngineOptions o;
    if (round % 2) {
      o.cache_dir = temporary_folder("mix");
    }
    o.max_batch_size = 1 + round % 5;
    o.max_agents = round % 3 ? 0 : 2;
    Bench b(14 + round * 3, o);
    std::mt19937 random(900 + round);
    std::map<std::string, std::vector<int32_t>> talks;
    std::map<int, std::pair<std::vector<int32_t>, int>> asked;
    std::set<int> cancelled;
    for (int turn = 0; turn < 120; turn++) {
      const std::string name = "ag" + std::to_string(random() % 5);
      switch (random() % 8) {
        case 0:
          if (b.core->agents().known(name)) {
            b.core->agents().save(name, name + std::to_string(turn), {});
          }
          break;
        case 1:
          if (b.last_id && random() % 3 == 0) {
            b.core->cancel(b.last_id);
            cancelled.insert(b.last_id);
          }
          break;
        case 2: {
          const std::string child = "f" + std::to_string(turn);
          if (b.core->agents().known(name)) {
            try {
              b.core->agents().fork(name, child, b.core->plain_seed());
              talks[child] = talks[name];
            } catch (const Error& e) { // a full pool may refuse
              CHECK(e.code() == Code::kPoolExhausted);
            }
          }
          break;
        }
        default: {
          auto& talk = talks[name];
          if (talk.size() > 120 || random() % 9 == 0) {
            talk = words(10 + random() % 60, random() % 3);
          } else {
            talk = joined(talk, words(1 + random() % 20, random()));
          }
          const int n = 1 + random() % 25;
          const int id = b.submit(name, talk, n);
          asked[id] = {talk, n};
          talk = joined(talk, answer(talk, n));
        }
      }
      for (unsigned i = random() % 6; i > 0; i--) {
        b.core->work();
      }
    }
    b.run();
    for (const auto& [id, ask] : asked) {
      CHECK(b.done.count(id));
      const Finished& f = b.done.at(id);
      const auto right = answer(ask.first, ask.second);
      const auto& got = b.tokens[id];
      if (cancelled.count(id)) {
        CHECK(got.size() <= right.size());
        CHECK(std::equal(got.begin(), got.end(), right.begin()));
      } else if (f.error) {
        CHECK(
            f.error->code() == Code::kPoolExhausted ||
            f.error->code() == Code::kContextOverflow);
      } else {
        CHECK(got == right);
      }
    }
    if (!o.cache_dir.empty()) {
      std::filesystem::remove_all(o.cache_dir);
    }
  }
}

// An engine core over TokenExecutor, with everything it said.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "engine/core.h"
#include "temp_dir.h"
#include "token_executor.h"

namespace stomp::test {

inline constexpr int kVocab = 97;
inline constexpr int kBlock = 16;

inline std::shared_ptr<const Model> tiny_model(
    int max_context,
    int head_dim = 4) {
  auto model = std::make_shared<Model>();
  ModelConfig& c = model->config;
  c.family = "llama";
  c.name = "tokens";
  c.n_layers = 1;
  c.d_model = 4;
  c.n_heads = 1;
  c.n_kv_heads = 1;
  c.head_dim = head_dim;
  c.d_ff = 4;
  c.vocab_size = kVocab;
  c.max_context = max_context;
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
  explicit Bench(
      int blocks,
      EngineOptions o = {},
      std::string numerics = "n",
      int max_context = 512,
      int head_dim = 4) {
    o.block_tokens = kBlock;
    o.cache_budget_bytes = static_cast<size_t>(blocks) * kBlock * 8 * head_dim;
    o.prefill_step_tokens =
        o.prefill_step_tokens == 512 ? 40 : o.prefill_step_tokens;
    auto owned = std::make_unique<TokenExecutor>(kVocab);
    owned->numerics = std::move(numerics);
    executor = owned.get();
    core = std::make_unique<EngineCore>(
        o,
        tiny_model(max_context, head_dim),
        std::move(owned),
        [this](StepEvents& e) { heard ? heard(e) : take(e); },
        [] {});
  }

  void take(const StepEvents& e) {
    auto logprob = e.logprobs.begin();
    for (const StepEvent& event : e.events) {
      if (event.total == StepEvent::kStarted) {
        CHECK(tokens[event.request].empty());
        started[event.request].push_back(event.value);
      } else if (event.total <= 0) {
        tokens[event.request].push_back(event.value);
      }
      if (event.logprobs() > 0) {
        told[event.request].emplace_back(logprob, logprob + event.logprobs());
        logprob += event.logprobs();
      }
    }
    CHECK(logprob == e.logprobs.end());
    for (const FinishEvent& f : e.finished) {
      CHECK(!done.count(f.request)); // exactly one end
      done[f.request] = {f.reason, f.usage, f.error};
      logprobs[f.request] = f.logprobs.size();
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
    for (int idle = 0; idle < 20000;) { // or it hangs
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

  /// Why the save failed, if it did.
  std::optional<Error> try_save(
      const std::string& agent,
      const std::string& transcript) {
    bool answered = false;
    std::optional<Error> failure;
    core->agents().save(agent, transcript, [&](std::optional<Error> e) {
      failure = std::move(e);
      answered = true;
    });
    run();
    CHECK(answered);
    return failure;
  }

  /// Waits for the end of what is begun; throws what it failed with.
  void wait(const std::function<void(Engine::Done)>& begin) {
    bool answered = false;
    std::optional<Error> failure;
    begin([&](std::optional<Error> e) {
      failure = std::move(e);
      answered = true;
    });
    if (!answered) {
      run();
    }
    CHECK(answered);
    if (failure) {
      throw Error(*failure);
    }
  }

  void fork(const std::string& from, const std::string& to) {
    wait([&](Engine::Done done) {
      core->agents().fork(from, to, std::move(done));
    });
  }
  void load(const std::string& agent) {
    wait([&](Engine::Done done) {
      core->agents().load(agent, std::move(done));
    });
  }

  void save(const std::string& agent) { CHECK(!try_save(agent, "t:" + agent)); }

  std::function<void(StepEvents&)> heard; // instead of take(), when set
  TokenExecutor* executor;
  std::unique_ptr<EngineCore> core;
  std::map<int, std::vector<int32_t>> tokens;
  std::map<int, Finished> done;
  std::map<int, size_t> logprobs;          // how many each got, of scores
  std::map<int, std::vector<int>> started; // tokens cached by then
  std::map<int, std::vector<std::vector<TokenLogprob>>> told; // by token
  int last_id = 0;
};

inline std::vector<int32_t> words(int n, int seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> v(n);
  for (int32_t& t : v) {
    t = static_cast<int32_t>(random() % kVocab);
  }
  return v;
}

inline std::vector<int32_t>
answer(std::vector<int32_t> prompt, int n, int vocab = kVocab) {
  std::vector<int32_t> out;
  for (int i = 0; i < n; i++) {
    out.push_back(TokenExecutor::expected(prompt, vocab));
    prompt.push_back(out.back());
  }
  return out;
}

inline std::vector<int32_t> joined(
    std::vector<int32_t> a,
    const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// As a later version of this program would have written it: not to be read.
inline void make_later(const std::string& path) {
  std::string bytes = read_file(path);
  const std::string key = "\"version\":\"";
  bytes.at(bytes.find(key) + key.size()) = '9';
  write_file(path, bytes);
}

} // namespace stomp::test

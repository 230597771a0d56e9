// The engine: one thread that owns executor, cache, scheduler and agents.
//
// Every public method may be called from any thread; it posts to the engine
// thread and returns. Results come back through callbacks that run ON THE
// ENGINE THREAD and must not block or call back into the engine synchronously.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "cache/cache_spec.h"
#include "cache/kv_cache.h"
#include "engine/logit_changes.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "exec/executor.h"
#include "model/model_file.h"

namespace stomp {

struct EngineOptions {
  std::string model_path;
  std::string executor = "cpu"; // "cpu" or "mlx"
  std::string mlx_library;      // path of the MLX executor's shared library
  int threads = 0;              // 0: by the machine
  bool exact = false;
  int kv_bits = 16; // of keys and values in the pool: 16, 8 or 4
  int block_tokens = 64;
  size_t cache_budget_bytes = size_t{4096} << 20;
  int max_batch_size = 16;       // sequences in one step
  int prefill_step_tokens = 512; // prompt tokens in one step
  int max_queue = 256;           // requests waiting for a place in the batch
  int max_agents = 0;            // idle agents kept in memory; 0: by budget
  int max_context = 0;           // tokens; 0: the model's
  int batch_window_ms = 0;       // see Engine::set_batch_window
  bool speculation = true;       // draft answers where that pays
  std::string cache_dir;         // empty: agents are not kept on disk
  // That the folder may hold, all models' together; 0: any number. The agents
  // used longest ago go cold.
  uint64_t disk_budget_bytes = 0;
};

/// Whose turn it is where not all can run. Low ones run too, see
/// AdmissionQueue.
enum class Priority : uint8_t { kHigh, kNormal, kLow };
inline constexpr int kPriorities = 3;

struct Request {
  int32_t id = 0;    // chosen by the caller, unique among live requests
  std::string agent; // empty: no agent; the cache is shared, not kept
  std::vector<int32_t> prompt; // whole prompt, cached part included
  Priority priority = Priority::kNormal;
  int max_tokens = 0;            // 0: as many as the context allows
  std::vector<int32_t> stop_ids; // besides the model's end tokens
  bool ignore_eos = false;
  SamplingOptions sampling;
  LogitOptions logits;
  // With each token's log-probability come those of so many of the likeliest
  // ones; -1: none at all.
  int top_logprobs = -1;
  // Form of the answer, see Grammar::compile; empty: any. An end token is
  // chosen where the answer may end, and an answer that nothing can follow
  // ends, ignore_eos or not. Needs set_vocabulary().
  std::string grammar;
  // When so many tokens have come without these among them, these are next.
  // Empty: no limit.
  std::vector<int32_t> reasoning_end;
  int reasoning_budget = 0;
  // Taken, through the model, in the place of the tokens that would be chosen;
  // then the answer ends. What the grammar forbids is not taken, nor what
  // follows it. Empty: none.
  std::vector<int32_t> script;
  std::string cache_salt; // prefixes are shared only under one salt
  bool score = false; // log-probability of every prompt token, no generation
};

enum class Finish { kStop, kLength, kCancelled, kError };

struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;   // of the prompt, not computed again
  int own_tokens = 0;      // of those, from the agent's own cache in memory
  int shared_tokens = 0;   // from blocks of others
  int restored_tokens = 0; // read back from disk
  int generated_tokens = 0;
  int drafted_tokens = 0;    // computed ahead on speculation
  int accepted_tokens = 0;   // of those, the answer's
  std::string miss_reason;   // why nothing, or less than hoped, was cached
  double queued_ms = 0;      // submit to admission
  double first_token_ms = 0; // submit to the first token
  double total_ms = 0;
};

/// A token, how far a long prefill is, or that a request has begun.
struct StepEvent {
  static constexpr int32_t kToken = 0;
  static constexpr int32_t kStarted = -1;

  int32_t request = 0;
  int32_t value = 0; // the token, or prompt tokens in the cache
  // Prompt tokens altogether; kToken; kStarted: nothing of it was computed yet;
  // -1 - n: a token with its n log-probabilities, see StepEvents.
  int32_t total = kToken;

  int logprobs() const { return total < kStarted ? -1 - total : 0; }
};

struct FinishEvent {
  int32_t request = 0;
  Finish reason = Finish::kStop;
  Usage usage;
  std::optional<Error> error;  // kError only
  std::vector<float> logprobs; // score only: (prompt_tokens - 1)
};

/// All that one step brought, one call a step. A request's finish comes after
/// its other events.
struct StepEvents {
  std::vector<StepEvent> events;
  // Of the tokens that were to have them, in the order of the events: first
  // the token's own, then the likeliest.
  std::vector<TokenLogprob> logprobs;
  std::vector<FinishEvent> finished;

  bool empty() const { return events.empty() && finished.empty(); }
  void clear() {
    events.clear();
    logprobs.clear();
    finished.clear();
  }
};

enum class AgentTier { kActive, kHot, kWarm, kCold };

struct AgentInfo {
  std::string id;
  AgentTier tier = AgentTier::kHot; // active: in a request; hot: in the pool;
  // warm: on disk only; cold: only its transcript is
  int tokens = 0;
  int blocks = 0;
  size_t pool_bytes = 0; // shared blocks counted in full
  size_t disk_bytes = 0;
  bool saved = false;       // the disk holds all that the pool holds
  int64_t last_used_ms = 0; // Unix time
  uint64_t requests = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
};

/// What prompts found in the cache. Each request counts once, when it is
/// admitted; those whose agent comes from disk, and scores, do not.
struct CacheUse {
  uint64_t lookups = 0;
  uint64_t lookup_tokens = 0;     // of their prompts
  uint64_t own_hit_tokens = 0;    // in the agent's own cache
  uint64_t shared_hit_tokens = 0; // in blocks of others, later ones included
  uint64_t indexed_blocks = 0;    // whose content is known now
};

struct EngineStats {
  ExecutorInfo executor;
  ExecutorMemory memory;
  ModelCacheSpec spec;
  std::vector<int> pool_capacity, pool_free, pool_cached; // per group
  CacheUse cache;
  int active = 0; // sequences in the batch
  int waiting = 0;
  int agents_hot = 0;
  uint64_t steps = 0;
  uint64_t prefill_tokens = 0; // computed
  uint64_t decode_tokens = 0;
  uint64_t drafted_tokens = 0; // see Usage
  uint64_t accepted_tokens = 0;
  uint64_t preemptions = 0;
  uint64_t evictions_hot = 0;
  uint64_t demotions = 0;         // of agents on disk, to cold
  uint64_t disk_bytes = 0;        // of all models' agents
  uint64_t disk_shared_bytes = 0; // that this model's would have more if each
  // had its own copy of what it shares
  uint64_t saves = 0;
  uint64_t save_failures = 0;
  double save_seconds = 0;
  double step_seconds = 0; // time spent in steps
  std::string last_save_error;
};

/// Facts of a loaded model, fixed for the engine's life.
struct EngineInfo {
  ModelConfig config;
  std::string fingerprint;
  int max_context = 0; // after options and pool
  ExecutorInfo executor;
};

/// The executor that the options name. Throws what its own maker throws.
std::unique_ptr<Executor> make_executor(const EngineOptions& options);

class Engine {
 public:
  /// May move out what it wants to keep; the rest is dropped, and the memory
  /// that is left serves the next step.
  using OnStep = std::function<void(StepEvents&)>;
  template <class T>
  using Reply = std::function<void(std::optional<Error>, T)>;
  using Done = std::function<void(std::optional<Error>)>;
  /// What makes the executor, on the engine thread.
  using MakeExecutor =
      std::function<std::unique_ptr<Executor>(const EngineOptions&)>;

  /// Starts the engine thread and loads there. `ready` is called once; after
  /// an error the engine is good for nothing but destruction.
  Engine(
      EngineOptions options,
      std::function<void(double)> progress,
      Reply<EngineInfo> ready,
      OnStep on_step,
      MakeExecutor make = make_executor);
  /// Stops at once; close() first to save.
  ~Engine();

  /// A request ends with exactly one FinishEvent, refusals included.
  void submit(Request request);
  void cancel(int32_t request);

  /// Live agents and, where a cache directory is set, those on disk.
  void agents(Reply<std::vector<AgentInfo>> reply);
  /// A new agent with an empty cache.
  void create(const std::string& agent, Done done);
  void fork(const std::string& from, const std::string& to, Done done);
  /// From disk into the pool. Does nothing for an agent that is there.
  void load(const std::string& agent, Done done);
  /// Attaches the transcript and writes the agent's file in the background;
  /// `done` is called when it is on disk. Without a cache directory the
  /// transcript is kept in memory.
  void save(const std::string& agent, std::string transcript, Done done);
  /// The transcript last attached, from memory or disk; empty if none.
  void transcript(const std::string& agent, Reply<std::string> reply);
  /// Out of the pool; saved first when dirty.
  void evict(const std::string& agent, Done done);
  /// From memory and disk.
  void remove(const std::string& agent, Done done);
  void stats(Reply<EngineStats> reply);
  /// How long the engine has been at what it is doing, usually one step; 0 when
  /// it has nothing to do. Answers at once, even when the engine hangs.
  double silent_ms() const;

  /// The text of every token, for requests with a grammar: token i's ends at
  /// ends[i] in `bytes` and begins where the one before ends. Empty for
  /// markers. Replaces what was set before, for later requests.
  void
  set_vocabulary(std::vector<char> bytes, std::vector<int32_t> ends, Done done);
  /// Compiles a request's grammar for the vocabulary, so that its submission
  /// holds nobody up: requests that run go on meanwhile. It is kept while it is
  /// among those used last. Fails as its submission would. `done` may be called
  /// at once.
  void compile(std::string grammar, Done done);
  /// How long an idle engine waits for more requests before the first step.
  void set_batch_window(int milliseconds);
  /// Takes every agent without a request out of the pool, saved first, and
  /// forgets all cached blocks that nobody holds. With `disk` those agents end,
  /// their files included; of agents with a request, and of those to `keep`,
  /// only the files go.
  void clear_caches(bool disk, std::set<std::string> keep, Done done);

  /// Cancels what runs, saves every dirty agent, stops the thread.
  void close(Done done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace stomp

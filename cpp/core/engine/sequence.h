// One request on its way through the engine, and the agent it runs for.
// Engine thread only.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/guidance.h"
#include "engine/speculation.h"

namespace stomp {

struct Sequence;

/// A named KV cache that outlives its requests. A request without an agent
/// runs on one that is in no table and ends with it.
struct Agent {
  std::string id; // empty: anonymous
  CachedSequence kv;
  std::string transcript;      // opaque to the core
  uint64_t version = 0;        // counts changes of kv and transcript
  uint64_t saved_version = 0;  // what the disk holds
  Sequence* running = nullptr; // at most one request at a time
  Clock::time_point last_used;
  int64_t last_used_ms = 0; // Unix time, for people
  uint64_t requests = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  std::string note;     // why its last restore failed; becomes a miss_reason
  bool removed = false; // by remove(), while a request or a save still ran
  Clock::time_point retry_at; // its last save failed: not before this
  bool parked =
      false; // its request was preempted, and can do without the cache

  bool dirty() const { return version != saved_version; }
};

enum class Phase { kWaiting, kRestoring, kPrefill, kDecode, kDone };

/// How things stood when a request had to wait.
struct Standing {
  std::vector<int> room; // by layer group: blocks that nobody holds or was
  // promised; empty: has not had to wait
  int cached = 0;       // tokens that the request's agent held
  uint64_t changes = 0; // of all else that decides, see EngineCore::changes
};

struct Sequence {
  Request request;
  std::shared_ptr<Agent> agent;
  Phase phase = Phase::kWaiting;

  // What must be in the cache before the next token can be computed: the
  // prompt, and after a preemption the tokens generated before it.
  std::vector<int32_t> tokens;
  int limit = 0;  // tokens.size() may never pass this (context, max_tokens)
  int target = 0; // tokens that admission makes sure there are blocks for
  int prompt_size = 0;
  bool cancelled = false;

  std::vector<int32_t> ends;                // tokens that end the answer
  std::unique_ptr<Guidance> guidance;       // null: nothing to be guided by
  std::unique_ptr<Speculation> speculation; // null: none, or not answering yet

  Usage usage;
  bool announced = false;      // its start was told
  std::vector<float> logprobs; // score requests
  Clock::time_point submitted;
  uint64_t seed = 0; // of the hash chain its prompt belongs to
  int adopted = -1;  // tokens taken over from the cache; -1: not looked yet
  bool preempted = false; // was in the batch before
  double credit = 0;      // prompt tokens due to it, see Scheduler
  Standing waited;        // at the last try to admit it

  bool running() const {
    return phase == Phase::kPrefill || phase == Phase::kDecode;
  }
  bool is_end(int32_t token) const {
    return std::ranges::find(ends, token) != ends.end();
  }
  int cached() const { return agent->kv.table.n_tokens; }
  /// Tokens known but not yet in the cache.
  int pending() const { return static_cast<int>(tokens.size()) - cached(); }
  /// Tokens that the next step computes on speculation.
  int drafted() const {
    return phase == Phase::kDecode && speculation ? speculation->drafted() : 0;
  }
  int generated() const {
    return static_cast<int>(tokens.size()) - prompt_size;
  }
};

} // namespace stomp

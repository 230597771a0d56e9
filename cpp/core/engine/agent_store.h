// The agents: who is in memory, who is on disk, and the traffic between.
// Engine thread only. Owns every idle agent's cache; a running sequence uses
// its agent's cache in place.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/restore.h"
#include "engine/sequence.h"
#include "exec/executor.h"
#include "store/disk_tier.h"

namespace stomp {

/// A miss_reason for a file that cannot be read.
std::string set_aside_note(const Error& error);
/// And for a segment.
std::string lack_note(const AgentFileReader::Lack& lack);

class AgentStore {
 public:
  struct Identity {
    std::string model_name;
    std::string fingerprint;
    std::string numerics;
  };

  /// `disk` may be null: agents then live in memory only. disk_budget: bytes
  /// that the folder of caches may hold, 0: any number.
  AgentStore(
      KvCache& cache,
      Executor& executor,
      std::unique_ptr<DiskTier> disk,
      uint64_t disk_budget,
      Identity identity);
  ~AgentStore();

  /// The agent of that id, made when unknown; anonymous for "".
  std::shared_ptr<Agent> get(const std::string& id, uint64_t seed);
  /// Known in memory or on disk.
  bool known(const std::string& id) const;
  bool on_disk(const std::string& id) const;

  /// A finished request's agent: counts as used now. Anonymous agents end.
  void finished(const std::shared_ptr<Agent>& agent);
  /// A preempted request's agent: idle until the request comes back. Its cache
  /// goes like that of any other, but does not depend on a save that fails.
  void park(const std::shared_ptr<Agent>& agent);

  /// Opens the agent's file when it can be used with this model; else notes
  /// the reason in agent.note. Takes over the transcript if there is none.
  std::unique_ptr<AgentFileReader> open(Agent& agent);

  /// Renames a file whose blocks turned out to be bad.
  void set_aside(Agent& agent);
  /// After an error: what the blocks came from is not used again. Returns a
  /// miss_reason.
  std::string give_up(Agent& agent, const Restore& restore);

  /// A new agent that holds nothing. Throws kAgentExists.
  void create(const std::string& id);
  /// A second agent with what the first one has, brought back from disk first.
  /// Throws kAgentNotFound, kAgentExists; both may fail as load() does.
  void fork(const std::string& from, const std::string& to, Engine::Done done);
  /// Brings an agent that is on disk only into the pool, all of it, bit by bit;
  /// its requests wait meanwhile. Fails or throws with kIncompatibleCache,
  /// kCacheCorrupt, kPoolExhausted.
  void load(const std::string& id, Engine::Done done);
  /// Answers those who wait for that with this error.
  void cancel_arrivals(const Error& why);
  /// Of an agent in memory or on disk, "" for neither. Throws what
  /// DiskTier::open throws.
  std::string transcript(const std::string& id);
  /// Attaches the transcript and writes in the background.
  void save(const std::string& id, std::string transcript, Engine::Done done);
  void save_all_dirty();
  void evict(const std::string& id, Engine::Done done);
  void remove(const std::string& id);
  /// Takes all agents besides these out of the pool, saved first; `done` has
  /// the first failure. An agent that cannot be saved stays.
  void evict_all(const std::set<std::string>& besides, Engine::Done done);
  /// Removes all agents besides these, of which only the files go.
  void remove_all(const std::set<std::string>& besides);
  std::vector<AgentInfo> list();

  /// Takes the least recently used idle agent out of the pool. A dirty one is
  /// saved first, which takes a while.
  enum class Eviction { kDone, kUnderWay, kNobody };
  Eviction evict_one(const Agent* besides = nullptr);

  /// Moves blocks to the writer and back; true when something was done.
  bool pump();
  /// Names the agents that the disk does not have as they are, if any.
  std::optional<Error> unsaved() const;
  bool saving() const { return job_ != nullptr || !queue_.empty(); }

  /// Of the folder of caches; 0 without one.
  uint64_t disk_bytes() const { return disk_ ? disk_->bytes() : 0; }
  /// That agents' files would have more without segments.
  uint64_t disk_shared_bytes() const {
    return disk_ ? disk_->segments().saved_bytes() : 0;
  }
  int hot() const; // idle agents in the pool
  struct Counters {
    uint64_t saves = 0;
    uint64_t failures = 0;
    double seconds = 0;
    uint64_t evictions = 0;
    uint64_t demotions = 0; // to cold
    std::string last_error;
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Job;
  struct Arrival;
  using Arrivals = std::list<Arrival>;

  std::shared_ptr<Agent> find(const std::string& id) const;
  std::shared_ptr<Agent> require(const std::string& id);
  void fork_now(const Agent& parent, const std::string& to);
  void bring_back(const std::shared_ptr<Agent>& agent, Engine::Done done);
  void begin_arrival(Arrival& arrival);
  bool advance_arrivals();
  bool reserve_arrival(Arrival& arrival);
  void advance_arrival(Arrivals::iterator it);
  void end_arrival(Arrivals::iterator it, const std::optional<Error>& error);
  void cancel_arrival(const Agent& agent, const Error& why);
  bool evictable(const Agent& agent) const;
  bool may_drop(const Agent& agent) const;
  std::shared_ptr<Agent> least_recent(const Agent* besides) const;
  void describe(const Agent& agent, AgentInfo& info) const;
  void enqueue(const std::shared_ptr<Agent>& agent, Engine::Done done);
  bool pump_files();
  bool bring_forward();
  bool may_save() const;
  void start_job();
  void begin_file(AgentFileHeader header);
  void finish_file(const DiskTier::Result& result);
  std::optional<AgentFileHeader> share(const Job& job, AgentFileHeader& header)
      const;
  bool held_by_others(const BlockTable& table, int number) const;
  bool make_room_on_disk();
  bool on_disk_only(const std::string& id) const;
  bool demote(const std::string& id);
  void demoted(const DiskTier::Result& result);
  AgentFileHeader snapshot(Job& job);
  std::vector<std::byte> next_block(Job& job);
  void hand_over(Job& job);
  void skip_save(std::optional<Error> error);
  void abandon_job(const Error& why);
  void forget_file(Agent& agent);
  void remove_file(const std::string& id);
  void finish_job(const DiskTier::Result& result);
  void drop_from_pool(Agent& agent);

  KvCache& cache_;
  Executor& executor_;
  std::unique_ptr<DiskTier> disk_;
  const uint64_t disk_budget_;
  Identity identity_;
  std::map<std::string, std::shared_ptr<Agent>> agents_;

  struct Waiting {
    std::shared_ptr<Agent> agent;
    uint64_t version;
    Engine::Done done; // may be empty
  };
  std::deque<Waiting> queue_; // saves not begun
  std::unique_ptr<Job> job_;  // the file under way
  Arrivals arrivals_;         // in order of asking
  Counters counters_;
};

} // namespace stomp

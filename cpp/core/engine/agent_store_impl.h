// The inside of AgentStore, in five rooms: agent_store.cc knows the agents and
// takes them out of the pool, agent_store_load.cc brings them back,
// agent_store_save.cc writes their files, agent_store_demote.cc keeps to the
// disk's budget, agent_store_clear.cc sees to all of them at once.
#pragma once

#include "engine/agent_store.h"

namespace stomp {

// A file under way: the cache as it was when the save began, shared with the
// agent, which may go on answering meanwhile. An agent that is out of the pool
// has its blocks in its file already, and they are copied from there.
//
// What others begin with as well goes into a segment first, then the agent's
// own file, which refers to it.
struct AgentStore::Job {
  std::shared_ptr<Agent> agent;
  uint64_t version = 0;
  bool demotes = false; // the agent goes cold
  CachedSequence kv;
  std::unique_ptr<AgentFileReader> file; // or null
  std::vector<StoredBlock> blocks;       // of the file under way
  size_t next = 0;                       // block to hand to the writer
  std::optional<AgentFileHeader> rest;   // the file that comes after it
  double seconds = 0;                    // of the files before it
};

// An agent that comes back into the pool without a request, a part at a time.
struct AgentStore::Arrival {
  std::shared_ptr<Agent> agent;
  std::optional<Restore> restore; // none: a request of its own sees to it
  bool reserved = false;          // has its room in the pool
  std::vector<Engine::Done> waiting;
};

inline Error not_found(const std::string& id) {
  return Error(
      Code::kAgentNotFound,
      "There is no agent '" + id +
          "' in memory or on disk. An agent exists from its first request on.",
      {{"agent", id}});
}

inline Error exists(const std::string& id) {
  return Error(
      Code::kAgentExists,
      "There is an agent '" + id +
          "' already; choose another name or remove it first.",
      {{"agent", id}});
}

/// Half of it is still on disk only: a save now would lose the other half.
inline bool being_restored(const Agent& agent) {
  return agent.arriving ||
      (agent.running && agent.running->phase == Phase::kRestoring);
}

inline void answer(const Engine::Done& done, std::optional<Error> error = {}) {
  if (done) {
    done(std::move(error));
  }
}

} // namespace stomp

// Agents that come back into the pool without a request, to be forked or
// because somebody said so: a part between two steps, like a request's restore.
#include <utility>

#include "engine/agent_store_impl.h"

namespace stomp {

namespace {

// Read back between two steps.
constexpr size_t kLoadBytesPerTurn = size_t{24} << 20;

Error no_room(const Agent& agent) {
  return Error(
      Code::kPoolExhausted,
      "The cache pool has no room to bring agent '" + agent.id +
          "' back from disk. Try again later, or raise --cache-budget-mb.",
      {{"agent", agent.id}});
}

} // namespace

void AgentStore::load(const std::string& id, Engine::Done done) {
  const std::shared_ptr<Agent> agent = require(id);
  agent->last_used = Clock::now();
  bring_back(agent, std::move(done));
}

void AgentStore::fork(
    const std::string& from,
    const std::string& to,
    Engine::Done done) {
  if (known(to)) {
    throw exists(to);
  }
  const std::shared_ptr<Agent> parent = require(from);
  bring_back(parent, [this, parent, to, done = std::move(done)](auto error) {
    if (!error && known(to)) {
      error = exists(to); // made meanwhile
    }
    if (!error) {
      fork_now(*parent, to);
    }
    answer(done, std::move(error));
  });
}

void AgentStore::fork_now(const Agent& parent, const std::string& to) {
  const std::shared_ptr<Agent> child = get(to, 0);
  child->kv = cache_.fork(parent.kv);
  child->transcript = parent.transcript;
  child->version++;
}

/// `done` is called when all of the agent's cache is in the pool: now, if it is
/// there or the disk has none.
void AgentStore::bring_back(
    const std::shared_ptr<Agent>& agent,
    Engine::Done done) {
  for (Arrival& arrival : arrivals_) {
    if (arrival.agent == agent) {
      arrival.waiting.push_back(std::move(done));
      return;
    }
  }
  const bool restoring = being_restored(*agent);
  if (!restoring &&
      (agent->running || agent->kv.table.n_tokens > 0 || !on_disk(agent->id))) {
    answer(done);
    return;
  }
  Arrival& arrival = arrivals_.emplace_back();
  arrival.agent = agent;
  arrival.waiting.push_back(std::move(done));
  if (!restoring) {
    try {
      begin_arrival(arrival);
    } catch (...) {
      arrivals_.pop_back();
      throw;
    }
  }
}

void AgentStore::begin_arrival(Arrival& arrival) {
  Agent& agent = *arrival.agent;
  std::unique_ptr<AgentFileReader> file = open(agent);
  if (!file) {
    throw Error(
        Code::kIncompatibleCache,
        agent.note + ". Send the agent a request first; it starts cold.",
        {{"agent", agent.id}});
  }
  agent.kv = cache_.open(file->header().seed);
  const int tokens = static_cast<int>(file->header().tokens.size());
  arrival.restore.emplace(std::move(file), cache_.spec(), tokens);
  agent.arriving = true;
}

/// The next part of the first one that has anything to do. True when something
/// was done.
bool AgentStore::advance_arrivals() {
  for (auto it = arrivals_.begin(); it != arrivals_.end(); ++it) {
    if (!it->restore) {
      if (!being_restored(*it->agent)) {
        end_arrival(it, std::nullopt);
        return true;
      }
    } else if (it->reserved || reserve_arrival(*it)) {
      advance_arrival(it);
      return true;
    } else if (!may_save()) {
      end_arrival(it, no_room(*it->agent));
      return true;
    }
  }
  return false;
}

/// Room for it in the pool, at the cost of idle agents; false when there is
/// none, which saves that are under way may change.
bool AgentStore::reserve_arrival(Arrival& arrival) {
  Agent& agent = *arrival.agent;
  while (!arrival.reserved) {
    arrival.reserved = arrival.restore->reserve(cache_, agent.kv);
    if (!arrival.reserved && evict_one(&agent) != Eviction::kDone) {
      return false;
    }
  }
  return true;
}

void AgentStore::advance_arrival(Arrivals::iterator it) {
  Agent& agent = *it->agent;
  std::optional<Error> error;
  try {
    if (it->restore->advance(executor_, cache_, agent.kv, kLoadBytesPerTurn)) {
      return;
    }
    error = it->restore->error();
    if (error) {
      give_up(agent, *it->restore);
    }
  } catch (const std::exception& e) {
    error = as_error(e, Code::kGenerationFailed);
  }
  end_arrival(it, error);
}

void AgentStore::end_arrival(
    Arrivals::iterator it,
    const std::optional<Error>& error) {
  const Arrival arrival = std::move(*it);
  arrivals_.erase(it);
  Agent& agent = *arrival.agent;
  if (arrival.restore) {
    agent.arriving = false;
    if (error) {
      cache_.release(agent.kv);
    }
  }
  for (const Engine::Done& done : arrival.waiting) {
    answer(done, error);
  }
}

void AgentStore::cancel_arrivals(const Error& why) {
  while (!arrivals_.empty()) {
    end_arrival(arrivals_.begin(), why);
  }
}

/// What is on its way for an agent that is removed.
void AgentStore::cancel_arrival(const Agent& agent, const Error& why) {
  for (auto it = arrivals_.begin(); it != arrivals_.end(); ++it) {
    if (it->agent.get() == &agent) {
      end_arrival(it, why);
      return;
    }
  }
}

std::string AgentStore::give_up(Agent& agent, const Restore& restore) {
  const Error& error = *restore.error();
  if (restore.bad_segment().empty()) {
    set_aside(agent);
    return set_aside_note(error);
  }
  disk_->segments().distrust(restore.bad_segment());
  agent.version++; // what can be had again is worth a file of its own
  return lack_note({restore.bad_segment(), error});
}

} // namespace stomp

// All agents at once: out of the pool, or gone.
#include "engine/agent_store.h"

namespace stomp {

void AgentStore::evict_all(
    const std::set<std::string>& besides,
    Engine::Done done) {
  struct Progress {
    int left = 1; // evictions to come, and this call
    std::optional<Error> error;
  };
  const auto progress = std::make_shared<Progress>();
  const auto one_done = [progress,
                         done = std::move(done)](std::optional<Error> error) {
    if (error && !progress->error) {
      progress->error = std::move(error);
    }
    if (--progress->left == 0) {
      done(progress->error);
    }
  };
  for (const auto& [id, agent] : agents_) {
    if (!agent->busy() && !besides.contains(id)) {
      progress->left++;
      evict(id, one_done);
    }
  }
  one_done(std::nullopt);
}

void AgentStore::remove_all(const std::set<std::string>& besides) {
  std::set<std::string> ids;
  for (const auto& [id, agent] : agents_) {
    ids.insert(id);
  }
  if (disk_) {
    for (const auto& [id, entry] : disk_->entries()) {
      ids.insert(id);
    }
  }
  for (const std::string& id : ids) {
    const std::shared_ptr<Agent> agent = find(id);
    if (besides.contains(id) && agent) {
      forget_file(*agent);
    } else {
      remove(id);
    }
  }
}

/// The agent goes on without what the disk had of it.
void AgentStore::forget_file(Agent& agent) {
  if (on_disk(agent.id)) {
    disk_->remove(agent.id);
    agent.version++;
  }
}

} // namespace stomp

// The disk's budget: who goes cold.
#include "engine/agent_store_impl.h"

namespace stomp {

/// When the folder holds more than it may: one step towards less. True when
/// something was done.
bool AgentStore::make_room_on_disk() {
  if (disk_budget_ == 0 || disk_->bytes() <= disk_budget_) {
    return false;
  }
  OtherCaches& others = disk_->others();
  if (others.drop_one_aside()) {
    return true;
  }
  const auto own = disk_->least_recent(
      [this](const std::string& id) { return on_disk_only(id); });
  const auto other = others.oldest_use();
  if (other && (!own || *other < disk_->entries().at(*own).used_ms)) {
    counters_.demotions += others.demote_oldest() ? 1 : 0;
    return true;
  }
  return own && demote(*own);
}

bool AgentStore::on_disk_only(const std::string& id) const {
  const std::shared_ptr<Agent> agent = find(id);
  return !agent || (!agent->busy() && agent->kv.table.n_tokens == 0);
}

/// An agent that is in use keeps its file whatever the budget says.
bool AgentStore::demote(const std::string& id) {
  std::shared_ptr<Agent> agent = find(id);
  if (!agent) {
    agent = std::make_shared<Agent>();
    agent->id = id;
  }
  std::unique_ptr<AgentFileReader> file;
  try {
    file = disk_->look_once(id);
  } catch (const Error& error) {
    if (error.code() == Code::kCacheCorrupt) {
      disk_->set_aside(id); // it goes next
    } else {
      disk_->let_stay(id);
    }
    return true;
  }
  job_ = std::make_unique<Job>();
  job_->agent = std::move(agent);
  job_->demotes = true;
  job_->kv = cache_.open(0);
  begin_file(cold_header(file->header()));
  return true;
}

void AgentStore::demoted(const DiskTier::Result& result) {
  const std::unique_ptr<Job> job = std::move(job_);
  const std::string& id = job->agent->id;
  if (job->agent->removed) {
    remove_file(id);
  } else if (result.error) {
    counters_.failures++;
    counters_.last_error = result.error->what();
    disk_->let_stay(id);
  } else {
    counters_.demotions++;
    const std::shared_ptr<Agent> agent = find(id);
    if (agent && (agent->busy() || agent->kv.table.n_tokens > 0)) {
      agent->version++; // it came back meanwhile: its file lacks what it holds
    }
  }
}

} // namespace stomp

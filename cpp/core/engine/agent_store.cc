#include <algorithm>

#include "engine/agent_store_impl.h"

namespace stomp {

namespace {

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

} // namespace

std::string set_aside_note(const Error& error) {
  return std::string("the agent's cache file was set aside: ") + error.what();
}

std::string lack_note(const AgentFileReader::Lack& lack) {
  return "of the beginning that the agent's cache shares with others, " +
      std::string(lack.why.what());
}

AgentStore::AgentStore(
    KvCache& cache,
    Executor& executor,
    std::unique_ptr<DiskTier> disk,
    uint64_t disk_budget,
    Identity identity)
    : cache_(cache),
      executor_(executor),
      disk_(std::move(disk)),
      disk_budget_(disk_budget),
      identity_(std::move(identity)) {}

AgentStore::~AgentStore() = default;

std::shared_ptr<Agent> AgentStore::find(const std::string& id) const {
  const auto found = agents_.find(id);
  return found == agents_.end() ? nullptr : found->second;
}

std::shared_ptr<Agent> AgentStore::get(const std::string& id, uint64_t seed) {
  std::shared_ptr<Agent> agent = id.empty() ? nullptr : find(id);
  if (!agent) {
    agent = std::make_shared<Agent>();
    agent->id = id;
    agent->kv = cache_.open(seed);
    agent->last_used = Clock::now();
    agent->last_used_ms = unix_ms();
    if (!id.empty()) {
      agents_[id] = agent;
    }
  }
  return agent;
}

/// The agent, brought into the table when only the disk knows it.
std::shared_ptr<Agent> AgentStore::require(const std::string& id) {
  if (!known(id)) {
    throw not_found(id);
  }
  return get(id, 0);
}

bool AgentStore::known(const std::string& id) const {
  return find(id) != nullptr || on_disk(id);
}

bool AgentStore::on_disk(const std::string& id) const {
  return disk_ && disk_->has(id);
}

void AgentStore::finished(const std::shared_ptr<Agent>& agent) {
  agent->last_used = Clock::now();
  agent->last_used_ms = unix_ms();
  if (agent->id.empty() || agent->removed) {
    cache_.release(agent->kv);
  }
}

void AgentStore::park(const std::shared_ptr<Agent>& agent) {
  finished(agent);
  agent->parked = !agent->id.empty() && !agent->removed;
}

std::unique_ptr<AgentFileReader> AgentStore::open(Agent& agent) {
  if (!on_disk(agent.id)) {
    return nullptr;
  }
  try {
    std::unique_ptr<AgentFileReader> file = disk_->open(agent.id);
    if (agent.transcript.empty()) {
      agent.transcript = file->header().transcript;
    }
    const std::optional<std::string> mismatch = file->mismatch(
        identity_.fingerprint, identity_.numerics, cache_.spec());
    if (mismatch) {
      agent.note = "the agent's cache file does not fit: " + *mismatch;
      return nullptr;
    }
    return file;
  } catch (const Error& error) {
    agent.note = is_unreadable(error) ? set_aside_note(error) : error.what();
    return nullptr;
  }
}

void AgentStore::set_aside(Agent& agent) {
  disk_->set_aside(agent.id);
  agent.version++; // what the disk held is gone
}

void AgentStore::create(const std::string& id) {
  if (known(id)) {
    throw exists(id);
  }
  get(id, 0)->version++; // worth a file of its own
}

std::string AgentStore::transcript(const std::string& id) {
  const std::shared_ptr<Agent> agent = find(id);
  if (agent && !agent->transcript.empty()) {
    return agent->transcript;
  }
  if (!on_disk(id)) {
    return "";
  }
  // The agent's next request opens the same file.
  return disk_->look(id).header().transcript;
}

void AgentStore::drop_from_pool(Agent& agent) {
  if (agent.kv.table.n_tokens == 0) {
    return;
  }
  cache_.release(agent.kv);
  counters_.evictions++;
  if (!agent.dirty() && on_disk(agent.id)) {
    agent.transcript = {}; // the file has it
  }
}

/// In the pool, idle, and either saved or worth trying to save.
bool AgentStore::evictable(const Agent& agent) const {
  return !agent.busy() && agent.kv.table.n_tokens > 0 &&
      (agent.retry_at <= Clock::now() || may_drop(agent));
}

/// Nothing is lost with its blocks that cannot be had again.
bool AgentStore::may_drop(const Agent& agent) const {
  const bool failed = agent.retry_at > Clock::now();
  return !disk_ || !agent.dirty() || (agent.parked && failed);
}

/// The evictable agent that was used least recently, or null.
std::shared_ptr<Agent> AgentStore::least_recent(const Agent* besides) const {
  std::shared_ptr<Agent> oldest;
  for (const auto& [id, agent] : agents_) {
    if (!evictable(*agent) || agent.get() == besides) {
      continue;
    }
    if (!oldest || agent->last_used < oldest->last_used) {
      oldest = agent;
    }
  }
  return oldest;
}

AgentStore::Eviction AgentStore::evict_one(const Agent* besides) {
  const std::shared_ptr<Agent> oldest = least_recent(besides);
  if (!oldest) {
    return may_save() ? Eviction::kUnderWay : Eviction::kNobody;
  }
  if (may_drop(*oldest)) {
    drop_from_pool(*oldest);
    return Eviction::kDone;
  }
  if (!may_save()) {
    enqueue(oldest, {});
  }
  return Eviction::kUnderWay;
}

void AgentStore::evict(const std::string& id, Engine::Done done) {
  const std::shared_ptr<Agent> agent = require(id);
  if (agent->running) {
    throw Error(
        Code::kInvalidRequest,
        "Agent '" + id +
            "' is answering; wait for the end or cancel its request.");
  }
  if (agent->arriving) {
    throw Error(
        Code::kInvalidRequest,
        "Agent '" + id +
            "' is being brought back from disk; wait until it is there.");
  }
  if (!disk_ || !agent->dirty()) {
    drop_from_pool(*agent);
    answer(done);
    return;
  }
  enqueue(agent, [this, agent, done = std::move(done)](auto error) {
    if (!error && !agent->busy()) {
      drop_from_pool(*agent);
    }
    answer(done, std::move(error));
  });
}

void AgentStore::remove(const std::string& id) {
  const std::shared_ptr<Agent> agent = require(id);
  agent->removed = true;
  agents_.erase(id);
  cancel_arrival(*agent, not_found(id));
  if (!agent->running) {
    cache_.release(agent->kv);
  }
  if (job_ && job_->agent->id == id) { // or a demotion, which knows it by name
    job_->agent->removed = true;
    abandon_job(not_found(id));
  }
  if (on_disk(id)) {
    disk_->remove(id);
  }
}

std::optional<Error> AgentStore::unsaved() const {
  std::string names;
  for (const auto& [id, agent] : agents_) {
    if (disk_ && agent->dirty()) {
      names += (names.empty() ? "'" : ", '") + id + "'";
    }
  }
  if (names.empty()) {
    return std::nullopt;
  }
  return Error(
      Code::kCachePersistence,
      "Not saved: " + names + ". " + counters_.last_error);
}

int AgentStore::hot() const {
  return static_cast<int>(
      std::count_if(agents_.begin(), agents_.end(), [](const auto& entry) {
        const Agent& agent = *entry.second;
        return !agent.busy() && agent.kv.table.n_tokens > 0;
      }));
}

/// What memory knows of an agent, over what the disk knows.
void AgentStore::describe(const Agent& agent, AgentInfo& info) const {
  const BlockTable& table = agent.kv.table;
  if (table.n_tokens > 0 || !on_disk(agent.id)) {
    info.tier = AgentTier::kHot;
    info.tokens = table.n_tokens;
    info.saved = disk_ && !agent.dirty();
  }
  if (agent.running) {
    info.tier = AgentTier::kActive;
  }
  for (size_t g = 0; g < table.blocks.size(); g++) {
    const std::vector<BlockId>& blocks = table.blocks[g];
    const auto held =
        std::count_if(blocks.begin(), blocks.end(), [](BlockId id) {
          return id != kNoBlock;
        });
    info.blocks += static_cast<int>(held);
    info.pool_bytes += held * cache_.spec().block_bytes(static_cast<int>(g));
  }
  info.last_used_ms = agent.last_used_ms;
  info.requests = agent.requests;
  info.prompt_tokens = agent.prompt_tokens;
  info.cached_tokens = agent.cached_tokens;
}

std::vector<AgentInfo> AgentStore::list() {
  std::map<std::string, AgentInfo> all;
  if (disk_) {
    for (const auto& [id, entry] : disk_->entries()) {
      AgentInfo& info = all[id];
      info.tokens = disk_->tokens(id);
      info.tier = disk_->cold(id) ? AgentTier::kCold : AgentTier::kWarm;
      info.disk_bytes = entry.bytes;
      info.saved = true;
      info.last_used_ms = entry.used_ms;
    }
  }
  for (const auto& [id, agent] : agents_) {
    describe(*agent, all[id]);
  }
  std::vector<AgentInfo> list;
  for (auto& [id, info] : all) {
    info.id = id;
    list.push_back(std::move(info));
  }
  return list;
}

} // namespace stomp

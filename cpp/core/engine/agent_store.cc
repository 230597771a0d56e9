#include "engine/agent_store.h"

#include <algorithm>

namespace stomp {

namespace {

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Error not_found(const std::string& id) {
  return Error(
      Code::kAgentNotFound,
      "There is no agent '" + id +
          "' in memory or on disk. An agent exists from its first request on.",
      {{"agent", id}});
}

/// Half of it is still on disk only: a save now would lose the other half.
bool being_restored(const Agent& agent) {
  return agent.running && agent.running->phase == Phase::kRestoring;
}

void answer(const Engine::Done& done, std::optional<Error> error = {}) {
  if (done) {
    done(std::move(error));
  }
}

} // namespace

std::string set_aside_note(const Error& error) {
  return std::string("the agent's cache file was set aside: ") + error.what();
}

// A save under way: the cache as it was when the save began, shared with the
// agent, which may go on answering meanwhile.
struct AgentStore::Job {
  std::shared_ptr<Agent> agent;
  uint64_t version = 0;
  CachedSequence kv;
  std::vector<StoredBlock> blocks;
  size_t next = 0; // block to hand to the writer
};

AgentStore::AgentStore(
    KvCache& cache,
    Executor& executor,
    std::unique_ptr<DiskTier> disk,
    Identity identity)
    : cache_(cache),
      executor_(executor),
      disk_(std::move(disk)),
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
    agent.note = set_aside_note(error);
    return nullptr;
  }
}

void AgentStore::set_aside(Agent& agent) {
  disk_->set_aside(agent.id);
  agent.version++; // what the disk held is gone
}

/// The whole cache of an agent that is on disk only, for fork().
void AgentStore::load_whole(Agent& agent) {
  const std::unique_ptr<AgentFileReader> file = open(agent);
  if (!file) {
    throw Error(
        Code::kIncompatibleCache,
        agent.note + ". Send the agent a request first; it starts cold.",
        {{"agent", agent.id}});
  }
  const AgentFileHeader& header = file->header();
  std::vector<BlockCopy> copies;
  const std::span<const int32_t> tokens = header.tokens;
  for (size_t i = 0; i < header.blocks.size(); i++) {
    const StoredBlock& block = header.blocks[i];
    const std::span<const std::byte> bytes = file->block(i);
    if (!cache_.reserve(agent.kv, block.n_tokens, copies)) {
      cache_.release(agent.kv);
      throw Error(
          Code::kPoolExhausted,
          "The cache pool has no room to bring agent '" + agent.id +
              "' back from disk. Try again later, or raise "
              "--cache-budget-mb.");
    }
    executor_.write_block(
        block.group,
        agent.kv.table.blocks[block.group][block.index],
        block.n_tokens,
        bytes);
    cache_.commit(
        agent.kv, tokens.subspan(agent.kv.table.n_tokens, block.n_tokens));
  }
}

void AgentStore::fork(
    const std::string& from,
    const std::string& to,
    uint64_t seed) {
  if (known(to)) {
    throw Error(
        Code::kAgentExists,
        "There is an agent '" + to +
            "' already; choose another name or remove it first.",
        {{"agent", to}});
  }
  const std::shared_ptr<Agent> parent = require(from);
  if (parent->kv.table.n_tokens == 0 && on_disk(from)) {
    if (parent->kv.seed == 0) {
      parent->kv = cache_.open(seed);
    }
    load_whole(*parent);
  }
  const std::shared_ptr<Agent> child = get(to, seed);
  child->kv = cache_.fork(parent->kv);
  cache_.truncate(child->kv, child->kv.table.n_tokens);
  child->transcript = parent->transcript;
  child->version++;
}

std::string AgentStore::transcript(const std::string& id) {
  const std::shared_ptr<Agent> agent = find(id);
  if (agent && !agent->transcript.empty()) {
    return agent->transcript;
  }
  if (!on_disk(id)) {
    return "";
  }
  const std::shared_ptr<Agent> stored = get(id, 0);
  open(*stored);
  return stored->transcript;
}

void AgentStore::save(
    const std::string& id,
    std::string transcript,
    Engine::Done done) {
  const std::shared_ptr<Agent> agent = require(id);
  if (transcript != agent->transcript) {
    if (!agent->running && agent->kv.table.n_tokens == 0 && on_disk(id)) {
      load_whole(*agent); // the file holds both, so both are written
    }
    agent->transcript = std::move(transcript);
    agent->version++;
  }
  enqueue(agent, std::move(done));
}

void AgentStore::enqueue(
    const std::shared_ptr<Agent>& agent,
    Engine::Done done) {
  if (!disk_ || !agent->dirty()) {
    answer(done);
    return;
  }
  // One write serves all who ask before it begins.
  queue_.push_back({agent, agent->version, std::move(done)});
}

void AgentStore::save_all_dirty() {
  for (auto& [id, agent] : agents_) {
    enqueue(agent, {});
  }
}

bool AgentStore::pump() {
  if (!disk_) {
    return false;
  }
  if (const std::optional<DiskTier::Result> result = disk_->poll()) {
    finish_job(*result);
    return true;
  }
  if (!job_) {
    if (queue_.empty() || being_restored(*queue_.front().agent)) {
      return false;
    }
    start_job();
    return true;
  }
  if (job_->next == job_->blocks.size() || !disk_->room()) {
    return false; // the writer wakes us
  }
  const StoredBlock& block = job_->blocks[job_->next++];
  std::vector<std::byte> bytes(stored_block_bytes(cache_.spec(), block));
  executor_.read_block(
      block.group,
      job_->kv.table.blocks[block.group][block.index],
      block.n_tokens,
      bytes);
  disk_->push(std::move(bytes));
  return true;
}

void AgentStore::start_job() {
  const std::shared_ptr<Agent> agent = queue_.front().agent;
  // An agent out of the pool (preempted) has nothing better than its file.
  const bool nothing_new =
      !agent->dirty() || (agent->kv.table.n_tokens == 0 && on_disk(agent->id));
  if (nothing_new || agent->removed) {
    answer(queue_.front().done);
    queue_.pop_front();
    return;
  }
  job_ = std::make_unique<Job>();
  job_->agent = agent;
  job_->version = agent->version;
  job_->kv = cache_.fork(agent->kv);
  cache_.truncate(job_->kv, job_->kv.table.n_tokens);

  AgentFileHeader header;
  header.agent = agent->id;
  header.model = identity_.model_name;
  header.fingerprint = identity_.fingerprint;
  header.numerics = identity_.numerics;
  header.spec = cache_.spec();
  header.tokens = job_->kv.tokens;
  header.transcript = agent->transcript;
  const int size = header.spec.block_tokens;
  for (size_t g = 0; g < job_->kv.table.blocks.size(); g++) {
    const auto& blocks = job_->kv.table.blocks[g];
    for (int i = 0; i < static_cast<int>(blocks.size()); i++) {
      const int n = std::min(size, job_->kv.table.n_tokens - i * size);
      if (blocks[i] != kNoBlock && n > 0) {
        header.blocks.push_back({static_cast<int>(g), i, n});
      }
    }
  }
  job_->blocks = header.blocks;
  disk_->begin(std::move(header));
}

void AgentStore::finish_job(const DiskTier::Result& result) {
  const std::unique_ptr<Job> job = std::move(job_);
  cache_.release(job->kv);
  Agent& agent = *job->agent;
  if (result.error) {
    counters_.failures++;
    counters_.last_error = result.error->what();
  } else {
    counters_.saves++;
    counters_.seconds += result.seconds;
    counters_.last_error.clear();
    agent.saved_version = job->version;
  }
  if (agent.removed) {
    disk_->remove(agent.id);
  }
  // Those who asked for this state, or an earlier one, are answered.
  std::deque<Waiting> rest;
  for (Waiting& w : queue_) {
    if (w.agent == job->agent && w.version <= job->version) {
      answer(w.done, result.error);
    } else {
      rest.push_back(std::move(w));
    }
  }
  queue_ = std::move(rest);
}

void AgentStore::drop_from_pool(Agent& agent) {
  if (agent.kv.table.n_tokens == 0) {
    return;
  }
  cache_.release(agent.kv);
  counters_.evictions++;
}

AgentStore::Eviction AgentStore::evict_one(const Agent* besides) {
  std::shared_ptr<Agent> oldest;
  for (auto& [id, agent] : agents_) {
    if (agent->running || agent.get() == besides ||
        agent->kv.table.n_tokens == 0) {
      continue;
    }
    if (!oldest || agent->last_used < oldest->last_used) {
      oldest = agent;
    }
  }
  if (!oldest) {
    return job_ ? Eviction::kUnderWay : Eviction::kNobody;
  }
  if (!disk_ || !oldest->dirty()) {
    drop_from_pool(*oldest);
    return Eviction::kDone;
  }
  if (!counters_.last_error.empty() && !saving()) {
    // The disk refused last time: one more try, but nobody waits for it.
    enqueue(oldest, {});
    return Eviction::kNobody;
  }
  if (!saving()) {
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
  if (!disk_ || !agent->dirty()) {
    drop_from_pool(*agent);
    answer(done);
    return;
  }
  enqueue(agent, [this, agent, done](std::optional<Error> error) {
    if (!error && !agent->running) {
      drop_from_pool(*agent);
    }
    answer(done, std::move(error));
  });
}

void AgentStore::remove(const std::string& id) {
  const std::shared_ptr<Agent> agent = require(id);
  agent->removed = true;
  agents_.erase(id);
  if (!agent->running) {
    cache_.release(agent->kv);
  }
  if (on_disk(id)) {
    disk_->remove(id);
  }
}

int AgentStore::hot() const {
  return static_cast<int>(
      std::count_if(agents_.begin(), agents_.end(), [](const auto& entry) {
        const Agent& agent = *entry.second;
        return !agent.running && agent.kv.table.n_tokens > 0;
      }));
}

std::vector<AgentInfo> AgentStore::list() const {
  std::map<std::string, AgentInfo> all;
  if (disk_) {
    for (const auto& [id, entry] : disk_->entries()) {
      AgentInfo& info = all[id];
      info.id = id;
      info.tier = AgentTier::kWarm;
      info.tokens = entry.tokens;
      info.disk_bytes = entry.bytes;
      info.saved = true;
      info.last_used_ms = entry.modified_ms;
    }
  }
  for (const auto& [id, agent] : agents_) {
    AgentInfo& info = all[id];
    info.id = id;
    if (agent->kv.table.n_tokens > 0 || !on_disk(id)) {
      info.tier = AgentTier::kHot;
      info.tokens = agent->kv.table.n_tokens;
      info.saved = disk_ && !agent->dirty();
    }
    if (agent->running) {
      info.tier = AgentTier::kActive;
    }
    for (size_t g = 0; g < agent->kv.table.blocks.size(); g++) {
      for (const BlockId block : agent->kv.table.blocks[g]) {
        info.blocks += block != kNoBlock;
        info.pool_bytes += block != kNoBlock ? cache_.spec().block_bytes(g) : 0;
      }
    }
    info.last_used_ms = agent->last_used_ms;
    info.requests = agent->requests;
    info.prompt_tokens = agent->prompt_tokens;
    info.cached_tokens = agent->cached_tokens;
  }
  std::vector<AgentInfo> list;
  for (auto& [id, info] : all) {
    list.push_back(std::move(info));
  }
  return list;
}

} // namespace stomp

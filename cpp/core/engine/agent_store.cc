#include "engine/agent_store.h"

#include <algorithm>

namespace stomp {

namespace {

// Read from the pool between two steps, so that a save does not hold up the
// agents that are answering.
constexpr size_t kSaveBytesPerTurn = size_t{8} << 20;

// Fewer blocks that agents share are not worth a file of their own.
constexpr int kLeastSegmentBlocks = 2;

// After a failed save the agent is not tried again for its memory's sake.
constexpr auto kRetryAfter = std::chrono::seconds(1);

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

Error exists(const std::string& id) {
  return Error(
      Code::kAgentExists,
      "There is an agent '" + id +
          "' already; choose another name or remove it first.",
      {{"agent", id}});
}

/// Half of it is still on disk only: a save now would lose the other half.
bool being_restored(const Agent& agent) {
  return agent.running && agent.running->phase == Phase::kRestoring;
}

/// Keeps the blocks of global groups in [begin, end), or all but those.
void keep_blocks(AgentFileHeader& header, int begin, int end, bool inside) {
  std::erase_if(header.blocks, [&](const StoredBlock& b) {
    const bool in = b.index >= begin && b.index < end &&
        header.spec.groups[b.group].kind == AttentionKind::kGlobal;
    return in != inside;
  });
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
    agent.note = error.code() == Code::kCacheCorrupt ? set_aside_note(error)
                                                     : error.what();
    return nullptr;
  }
}

void AgentStore::set_aside(Agent& agent) {
  disk_->set_aside(agent.id);
  agent.version++; // what the disk held is gone
}

/// Room for what is brought back, at the cost of idle agents that are saved.
void AgentStore::make_room_for(Agent& agent, const Restore& restore) {
  while (!restore.reserve(cache_, agent.kv)) {
    if (evict_one(&agent) != Eviction::kDone) {
      throw Error(
          Code::kPoolExhausted,
          "The cache pool has no room to bring agent '" + agent.id +
              "' back from disk. Try again later, or raise "
              "--cache-budget-mb.");
    }
  }
}

/// The whole cache of an agent that is on disk only, for fork() and load().
void AgentStore::load_whole(Agent& agent) {
  std::unique_ptr<AgentFileReader> file = open(agent);
  if (!file) {
    throw Error(
        Code::kIncompatibleCache,
        agent.note + ". Send the agent a request first; it starts cold.",
        {{"agent", agent.id}});
  }
  agent.kv = cache_.open(file->header().seed);
  const int tokens = static_cast<int>(file->header().tokens.size());
  Restore restore(std::move(file), cache_.spec(), tokens);
  make_room_for(agent, restore);
  while (restore.advance(executor_, cache_, agent.kv, SIZE_MAX)) {
  }
  if (restore.error()) {
    cache_.release(agent.kv);
    if (restore.error()->code() == Code::kCacheCorrupt) {
      set_aside(agent);
    }
    throw Error(*restore.error());
  }
}

void AgentStore::create(const std::string& id) {
  if (known(id)) {
    throw exists(id);
  }
  get(id, 0)->version++; // worth a file of its own
}

void AgentStore::load(const std::string& id) {
  const std::shared_ptr<Agent> agent = require(id);
  if (agent->kv.table.n_tokens == 0 && !agent->running && on_disk(id)) {
    load_whole(*agent);
  }
  agent->last_used = Clock::now();
}

void AgentStore::fork(const std::string& from, const std::string& to) {
  if (known(to)) {
    throw exists(to);
  }
  const std::shared_ptr<Agent> parent = require(from);
  if (parent->kv.table.n_tokens == 0 && on_disk(from)) {
    load_whole(*parent);
  }
  const std::shared_ptr<Agent> child = get(to, 0);
  child->kv = cache_.fork(parent->kv);
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
  // The agent's next request opens the same file.
  return disk_->look(id).header().transcript;
}

void AgentStore::save(
    const std::string& id,
    std::string transcript,
    Engine::Done done) {
  const std::shared_ptr<Agent> agent = require(id);
  if (transcript != agent->transcript) {
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
    finish_file(*result);
    return true;
  }
  if (!job_) {
    if (queue_.empty()) {
      return make_room_on_disk();
    }
    if (being_restored(*queue_.front().agent)) {
      return false;
    }
    start_job();
    return true;
  }
  if (job_->next == job_->blocks.size() || !disk_->room()) {
    return false; // the writer wakes us
  }
  try {
    hand_over(*job_);
  } catch (const std::exception& e) {
    abandon_job(as_error(e, Code::kCachePersistence));
  }
  return true;
}

/// The next blocks to the writer, as many as it takes.
void AgentStore::hand_over(Job& job) {
  size_t bytes = 0;
  while (job.next < job.blocks.size() && disk_->room() &&
         bytes < kSaveBytesPerTurn) {
    std::vector<std::byte> block = next_block(job);
    bytes += block.size();
    disk_->push(std::move(block));
  }
}

void AgentStore::abandon_job(const Error& why) {
  job_->next = job_->blocks.size();
  disk_->abandon(why);
  if (why.code() == Code::kCacheCorrupt) {
    set_aside(*job_->agent); // the file that it was copied from
  }
}

std::vector<std::byte> AgentStore::next_block(Job& job) {
  const StoredBlock& block = job.blocks[job.next];
  std::vector<std::byte> bytes;
  if (job.file) {
    const std::span<const std::byte> stored = job.file->block(job.next);
    bytes.assign(stored.begin(), stored.end());
  } else {
    bytes.resize(stored_block_bytes(cache_.spec(), block));
    executor_.read_block(
        block.group,
        job.kv.table.blocks[block.group][block.index],
        block.n_tokens,
        bytes);
  }
  job.next++;
  return bytes;
}

void AgentStore::start_job() {
  const std::shared_ptr<Agent> agent = queue_.front().agent;
  if (!agent->dirty() || agent->removed) {
    skip_save(std::nullopt);
    return;
  }
  std::unique_ptr<AgentFileReader> file;
  if (agent->kv.table.n_tokens == 0 && on_disk(agent->id)) {
    file = open(*agent);
    if (!file && on_disk(agent->id)) { // that of another model is left alone
      skip_save(Error(
          Code::kIncompatibleCache,
          "Agent '" + agent->id + "' is not saved: " + agent->note + ".",
          {{"agent", agent->id}}));
      return;
    }
  }
  job_ = std::make_unique<Job>();
  job_->agent = agent;
  job_->version = agent->version;
  job_->kv = cache_.open(0);
  job_->file = std::move(file);
  AgentFileHeader header = job_->file ? job_->file->header() : snapshot(*job_);
  header.transcript = agent->transcript;
  std::optional<AgentFileHeader> segment;
  if (!job_->file) {
    segment = share(*job_, header);
  }
  disk_->segments().pin(header.segments);
  if (segment) {
    job_->rest = std::move(header);
    begin_file(std::move(*segment));
  } else {
    begin_file(std::move(header));
  }
}

void AgentStore::begin_file(AgentFileHeader header) {
  job_->blocks = header.blocks;
  job_->next = 0;
  disk_->begin(std::move(header));
}

void AgentStore::finish_file(const DiskTier::Result& result) {
  if (!result.error && job_->rest) {
    job_->seconds += result.seconds;
    begin_file(*std::exchange(job_->rest, std::nullopt));
    return;
  }
  disk_->segments().unpin();
  finish_job(result);
}

/// Takes out of the header what segments have of its beginning, or will have:
/// returned is the one that is to be written first, if any.
std::optional<AgentFileHeader> AgentStore::share(
    const Job& job,
    AgentFileHeader& header) const {
  const int full =
      static_cast<int>(header.tokens.size()) / header.spec.block_tokens;
  const std::vector<std::string> names = prefix_names(header, full);
  header.segments = disk_->segments().covering(names);
  int begun = 0;
  for (const SegmentUse& use : header.segments) {
    begun += use.blocks;
  }
  int end = begun;
  while (end < full && held_by_others(job.kv.table, end)) {
    end++;
  }
  std::optional<AgentFileHeader> segment;
  if (end - begun >= kLeastSegmentBlocks) {
    segment = header;
    segment->segment = true;
    segment->agent.clear();
    segment->transcript.clear();
    segment->segments.clear();
    segment->tokens.resize(static_cast<size_t>(end) * header.spec.block_tokens);
    keep_blocks(*segment, begun, end, true);
    header.segments.push_back({names[end - 1], begun, end - begun});
    begun = end;
  }
  keep_blocks(header, 0, begun, false);
  return segment;
}

/// Whether another sequence than the agent's and the save's own has the block,
/// in all groups that keep it.
bool AgentStore::held_by_others(const BlockTable& table, int number) const {
  constexpr int kOwn = 2;
  bool any = false;
  for (int g = 0; g < static_cast<int>(table.blocks.size()); g++) {
    if (cache_.spec().groups[g].kind == AttentionKind::kGlobal) {
      any = true;
      if (cache_.pool().count(g, table.blocks[g][number]) <= kOwn) {
        return false;
      }
    }
  }
  return any;
}

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
  const auto own = disk_->least_recent([this](const std::string& id) {
    const std::shared_ptr<Agent> agent = find(id);
    return !agent || (!agent->running && agent->kv.table.n_tokens == 0);
  });
  const auto other = others.oldest_use();
  if (other && (!own || *other < disk_->entries().at(*own).used_ms)) {
    others.demote_oldest();
    counters_.demotions++;
    return true;
  }
  return own && demote(*own);
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
  } catch (const Error&) {
    return true; // set aside: it goes next
  }
  job_ = std::make_unique<Job>();
  job_->agent = std::move(agent);
  job_->demotes = true;
  job_->kv = cache_.open(0);
  begin_file(cold_header(file->header()));
  return true;
}

/// Answers whoever is next without writing anything.
void AgentStore::skip_save(std::optional<Error> error) {
  const Waiting waiting = std::move(queue_.front());
  queue_.pop_front();
  answer(waiting.done, std::move(error));
}

/// Takes hold of the agent's cache as it is now.
AgentFileHeader AgentStore::snapshot(Job& job) {
  job.kv = cache_.fork(job.agent->kv);
  AgentFileHeader header;
  header.agent = job.agent->id;
  header.model = identity_.model_name;
  header.fingerprint = identity_.fingerprint;
  header.numerics = identity_.numerics;
  header.seed = job.kv.seed;
  header.spec = cache_.spec();
  header.tokens = job.kv.tokens;
  const int size = header.spec.block_tokens;
  const BlockTable& table = job.kv.table;
  for (int g = 0; g < static_cast<int>(table.blocks.size()); g++) {
    for (int i = 0; i < static_cast<int>(table.blocks[g].size()); i++) {
      const int n = std::min(size, table.n_tokens - i * size);
      if (table.blocks[g][i] != kNoBlock) {
        header.blocks.push_back({g, i, n});
      }
    }
  }
  return header;
}

void AgentStore::finish_job(const DiskTier::Result& result) {
  const std::unique_ptr<Job> job = std::move(job_);
  cache_.release(job->kv);
  Agent& agent = *job->agent;
  if (job->demotes) {
    counters_.demotions += result.error ? 0 : 1;
    counters_.failures += result.error ? 1 : 0;
    return;
  }
  if (agent.removed) {
    remove_file(agent.id);
  } else if (result.error) {
    counters_.failures++;
    counters_.last_error = result.error->what();
    agent.retry_at = Clock::now() + kRetryAfter;
  } else {
    counters_.saves++;
    counters_.seconds += job->seconds + result.seconds;
    counters_.last_error.clear();
    agent.saved_version = job->version;
    agent.retry_at = {};
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
  if (!agent.dirty() && on_disk(agent.id)) {
    agent.transcript = {}; // the file has it
  }
}

/// In the pool, idle, and either saved or worth trying to save.
bool AgentStore::evictable(const Agent& agent) const {
  return !agent.running && agent.kv.table.n_tokens > 0 &&
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
    return saving() ? Eviction::kUnderWay : Eviction::kNobody;
  }
  if (may_drop(*oldest)) {
    drop_from_pool(*oldest);
    return Eviction::kDone;
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
  enqueue(agent, [this, agent, done = std::move(done)](auto error) {
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
  if (job_ && job_->agent == agent) {
    abandon_job(not_found(id));
  }
  if (on_disk(id)) {
    disk_->remove(id);
  }
}

/// A file that a save has left although its agent is no more.
void AgentStore::remove_file(const std::string& id) {
  try {
    disk_->remove(id);
  } catch (const Error& error) {
    counters_.failures++;
    counters_.last_error = error.what();
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
        return !agent.running && agent.kv.table.n_tokens > 0;
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
    const auto entries = disk_->entries(); // a bad file leaves the list
    for (const auto& [id, entry] : entries) {
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

// Files of agents: who is next, what goes into a segment, and what is told when
// it is on disk.
#include <algorithm>
#include <utility>

#include "engine/agent_store_impl.h"

namespace stomp {

namespace {

// Read from the pool between two steps, so that a save does not hold up the
// agents that are answering.
constexpr size_t kSaveBytesPerTurn = size_t{8} << 20;

// Fewer blocks that agents share are not worth a file of their own.
constexpr int kLeastSegmentBlocks = 2;

// After a failed save the agent is not tried again for its memory's sake.
constexpr auto kRetryAfter = std::chrono::seconds(1);

/// Keeps the blocks of global groups in [begin, end), or all but those.
void keep_blocks(AgentFileHeader& header, int begin, int end, bool inside) {
  std::erase_if(header.blocks, [&](const StoredBlock& b) {
    const bool in = b.index >= begin && b.index < end &&
        header.spec.groups[b.group].kind == AttentionKind::kGlobal;
    return in != inside;
  });
}

} // namespace

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
  const bool came = advance_arrivals();
  return pump_files() || came;
}

bool AgentStore::pump_files() {
  if (const std::optional<DiskTier::Result> result = disk_->poll()) {
    finish_file(*result);
    return true;
  }
  if (!job_) {
    if (queue_.empty()) {
      return make_room_on_disk();
    }
    if (!bring_forward()) {
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

/// Whoever can be saved now to the front of the queue; false: nobody can.
bool AgentStore::bring_forward() {
  const auto ready = std::ranges::find_if(
      queue_, [](const Waiting& w) { return !being_restored(*w.agent); });
  if (ready == queue_.end()) {
    return false;
  }
  std::rotate(queue_.begin(), ready, std::next(ready));
  return true;
}

/// Whether a save goes on or can begin: who comes back from disk is waited for,
/// and must not be waited for in turn.
bool AgentStore::may_save() const {
  return job_ != nullptr || std::ranges::any_of(queue_, [](const Waiting& w) {
           return !being_restored(*w.agent);
         });
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
  const std::vector<std::string> names = prefix_names(header);
  const int full = static_cast<int>(names.size());
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
  if (job_->demotes) {
    demoted(result);
    return;
  }
  const std::unique_ptr<Job> job = std::move(job_);
  cache_.release(job->kv);
  Agent& agent = *job->agent;
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

/// A file that a save has left although its agent is no more.
void AgentStore::remove_file(const std::string& id) {
  try {
    disk_->remove(id);
  } catch (const Error& error) {
    counters_.failures++;
    counters_.last_error = error.what();
  }
}

} // namespace stomp

// waiting -> restoring -> prefill: who may enter the batch, and with what of
// its prompt already cached.
#include <algorithm>

#include "engine/core.h"

namespace stomp {

namespace {

// Blocks read back from disk between two steps: a restore must not hold up
// the agents that are answering.
constexpr size_t kRestoreBytesPerTurn = size_t{24} << 20;

int common_prefix(
    const std::vector<int32_t>& a,
    const std::vector<int32_t>& b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<int>(
      std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin());
}

/// Why an agent that has no cache of its own comes without one, if it matters.
std::string why_cold(const Agent& agent, int shared_tokens) {
  if (!agent.note.empty()) {
    return agent.note;
  }
  if (shared_tokens > 0) {
    return "";
  }
  return agent.id.empty() ? "no agent, and no cached prefix matches"
                          : "a new agent, and no cached prefix matches";
}

} // namespace

bool EngineCore::admit() {
  if (short_of_room_ && !active_.empty()) {
    return false; // who runs comes first with the room there is
  }
  bool admitted = false;
  for (Sequence* seq = waiting_.next(); seq; seq = waiting_.next()) {
    if (!admit_next(*seq)) {
      break; // nobody overtakes for memory
    }
    admitted = true;
  }
  return admitted;
}

/// False when whoever is next has to wait.
bool EngineCore::admit_next(Sequence& seq) {
  Admission verdict = Admission::kWait;
  if (!guarded(seq, [&] { verdict = find_place(seq); })) {
    waiting_.take(seq);
    return true;
  }
  if (verdict == Admission::kWait) {
    return false;
  }
  SequencePtr taken = waiting_.take(seq);
  if (verdict == Admission::kRefuse) {
    refuse(seq);
  } else {
    start(std::move(taken));
  }
  return true;
}

/// A place in the batch, and room in the pool; those of less urgent ones if
/// there is no other.
EngineCore::Admission EngineCore::find_place(Sequence& seq) {
  if (static_cast<int>(active_.size()) >= options_.max_batch_size &&
      !preempt_for(seq)) {
    return Admission::kWait;
  }
  Admission verdict = try_admit(seq);
  while (verdict == Admission::kWait && !agents_->saving() &&
         preempt_for(seq)) {
    verdict = try_admit(seq);
  }
  return verdict;
}

void EngineCore::refuse(Sequence& seq) {
  const std::string& why = agents_->counters().last_error;
  finish(
      seq,
      Finish::kError,
      Error(
          Code::kPoolExhausted,
          "The cache pool has no room for this request" +
              (why.empty() ? std::string(".")
                           : ", and idle agents cannot be saved to make "
                             "some: " +
                       why) +
              " Try again later, or raise --cache-budget-mb.",
          {{"neededTokens", std::to_string(seq.target)}}));
}

EngineCore::Admission EngineCore::try_admit(Sequence& seq) {
  if (!worth_another_try(seq)) {
    return Admission::kWait;
  }
  Agent& agent = *seq.agent;
  if (agent.kv.seed != seq.seed) {
    cache_->release(agent.kv);
    agent.kv = cache_->open(seq.seed);
  }
  if (agent.kv.table.n_tokens > 0) {
    restores_.erase(&seq); // a fork has brought the agent back meanwhile
  } else if (!seq.request.score && !restores_.contains(&seq)) {
    plan_restore(seq);
  }
  if (!restores_.contains(&seq)) {
    adopt(seq);
  }
  const Admission verdict = make_room(seq);
  if (verdict != Admission::kAdmitted && agent.id.empty()) {
    // It is in no table: while it waits nobody else could have these blocks.
    cache_->release(agent.kv);
    seq.adopted = -1;
  }
  note_standing(seq);
  return verdict;
}

/// Looking a prompt up costs a hash of all of it, and perhaps a block's copy:
/// too much to be done anew between any two steps. Answers that grow by what
/// they were promised change nothing for those who wait.
bool EngineCore::worth_another_try(const Sequence& seq) const {
  const Standing& then = seq.waited;
  if (then.room.empty() || active_.empty() || then.changes != changes() ||
      then.cached != seq.cached()) {
    return true;
  }
  for (int g = 0; g < cache_->pool().groups(); g++) {
    if (room(g) > then.room[g]) {
      return true;
    }
  }
  return false;
}

void EngineCore::note_standing(Sequence& seq) const {
  seq.waited.changes = changes();
  seq.waited.cached = seq.cached();
  seq.waited.room.resize(cache_->pool().groups());
  for (int g = 0; g < cache_->pool().groups(); g++) {
    seq.waited.room[g] = room(g);
  }
}

uint64_t EngineCore::changes() const {
  const AgentStore::Counters& c = agents_->counters();
  const uint64_t prompt_blocks = prefill_tokens_ / cache_->spec().block_tokens;
  const uint64_t sum =
      finished_ + prompt_blocks + c.saves + c.failures + c.evictions;
  return 2 * sum + (agents_->saving() ? 1 : 0);
}

void EngineCore::plan_restore(Sequence& seq) {
  Agent& agent = *seq.agent;
  if (!agents_->on_disk(agent.id)) {
    return;
  }
  std::unique_ptr<AgentFileReader> file = agents_->open(agent);
  if (!file) {
    return; // agent.note says why
  }
  if (file->header().cold) {
    agent.note = "the agent's cache was given up for room on the disk";
  }
  if (file->lack()) {
    seq.usage.miss_reason = lack_note(*file->lack());
  }
  if (file->header().tokens.empty()) {
    return;
  }
  if (!file->fits_seed(seq.seed)) {
    agent.note = "the agent's cache belongs to another cache salt";
    return;
  }
  begin_restore(seq, std::move(file));
}

/// The longest beginning of the prompt that the file has, if it is worth it.
void EngineCore::begin_restore(
    Sequence& seq,
    std::unique_ptr<AgentFileReader> file) {
  const int common = std::min(
      common_prefix(file->header().tokens, seq.tokens),
      static_cast<int>(seq.tokens.size()) - 1);
  if (common < std::min<int>(
                   static_cast<int>(file->header().tokens.size()),
                   seq.prompt_size - 1)) {
    seq.usage.miss_reason =
        "the prompt departs from the agent's cache at "
        "token " +
        std::to_string(common);
  }
  if (common <= cache_->match(seq.agent->kv, seq.tokens).shared) {
    return;
  }
  Restore restore(std::move(file), cache_->spec(), common);
  if (restore.tokens() > 0) {
    restores_.emplace(&seq, std::move(restore));
  } else {
    seq.usage.miss_reason += seq.usage.miss_reason.empty() ? "" : ", ";
    seq.usage.miss_reason += "which the model's sliding windows have passed";
  }
}

/// May be called again for a request that has waited: others may have computed
/// more of its prompt, or taken away what it had.
void EngineCore::adopt(Sequence& seq) {
  if (seq.request.score) {
    cache_->truncate(seq.agent->kv, 0); // every token's logits are wanted
    return;
  }
  Agent& agent = *seq.agent;
  const int had = agent.kv.table.n_tokens;
  const KvCache::Match match = cache_->match(agent.kv, seq.tokens);
  copies_.clear();
  const int length = cache_->adopt(agent.kv, seq.tokens, copies_);
  copy_blocks(seq);
  // What it took over before counts as found the way it was found then.
  const bool again = seq.adopted > 0 && seq.adopted == had;
  seq.adopted = length;
  if (seq.preempted) {
    return; // its usage was settled when it was first admitted
  }
  seq.usage.cached_tokens = length;
  seq.usage.own_tokens =
      std::min(again ? seq.usage.own_tokens : match.own, length);
  seq.usage.shared_tokens = length - seq.usage.own_tokens;
  if (!again && match.own < std::min(had, seq.prompt_size - 1)) {
    seq.usage.miss_reason =
        "the prompt departs from the agent's cache at token " +
        std::to_string(match.own);
  } else if (had == 0 && seq.usage.miss_reason.empty()) {
    seq.usage.miss_reason = why_cold(agent, length);
  }
}

EngineCore::Admission EngineCore::make_room(const Sequence& seq) {
  const BlockPool& pool = cache_->pool();
  const int grow = std::max(1, seq.target - seq.cached());
  while (true) {
    bool fits = true;
    for (int g = 0; g < pool.groups(); g++) {
      fits &= room(g) >= need(seq, grow, g);
    }
    if (fits) {
      return Admission::kAdmitted;
    }
    const AgentStore::Eviction eviction = agents_->evict_one(seq.agent.get());
    if (eviction == AgentStore::Eviction::kUnderWay) {
      return Admission::kWait;
    }
    if (eviction == AgentStore::Eviction::kNobody) {
      return active_.empty() ? Admission::kRefuse : Admission::kWait;
    }
  }
}

/// Blocks that growing by so many tokens will take, step by step.
int EngineCore::need(const Sequence& seq, int tokens, int group) const {
  return cache_->need_in_steps(
      seq.agent->kv, tokens, options_.prefill_step_tokens, group);
}

int EngineCore::room(int group) const {
  return cache_->pool().available(group) - promised(group);
}

int EngineCore::promised(int group) const {
  int blocks = 0;
  for (const SequencePtr& seq : active_) {
    if (seq->phase != Phase::kDone && seq->target > seq->cached()) {
      blocks += need(*seq, seq->target - seq->cached(), group);
    }
  }
  return blocks;
}

/// Into the batch, behind those of its class.
void EngineCore::start(SequencePtr taken) {
  Sequence& seq = *taken;
  const auto place = std::ranges::find_if(active_, [&](const SequencePtr& s) {
    return s->request.priority > seq.request.priority;
  });
  active_.insert(place, std::move(taken));
  seq.agent->running = &seq;
  seq.agent->parked = false;
  seq.credit = 0;
  seq.agent->note.clear();
  seq.phase = restores_.count(&seq) ? Phase::kRestoring : Phase::kPrefill;
  seq.waited = {};
  if (seq.preempted) {
    return; // its usage was settled when it was first admitted
  }
  seq.usage.queued_ms = ms_since(seq.submitted);
  if (seq.phase == Phase::kPrefill && !seq.request.score) {
    use_.lookups++;
    use_.lookup_tokens += seq.usage.prompt_tokens;
    use_.own_hit_tokens += seq.usage.own_tokens;
    use_.shared_hit_tokens += seq.usage.shared_tokens;
  }
}

bool EngineCore::restore() {
  for (const SequencePtr& seq : active_) {
    if (seq->phase == Phase::kRestoring) {
      bool waits = false;
      guarded(*seq, [&] {
        waits = waits_for_room(*seq);
        if (!waits && !restore_blocks(*seq)) {
          restored(*seq);
        }
      });
      if (!waits) {
        return true; // the others' turn comes: answers wait for one at a time
      }
    }
  }
  return false;
}

/// Takes the room that admission saw. Those behind in the line may have taken
/// over cached blocks of it: they only wait, and find them on disk. True while
/// somebody is being saved to make it.
bool EngineCore::waits_for_room(Sequence& seq) {
  CachedSequence& kv = seq.agent->kv;
  while (kv.room == 0 && !restores_.at(&seq).reserve(*cache_, kv)) {
    const AgentStore::Eviction made = agents_->evict_one(seq.agent.get());
    if (made != AgentStore::Eviction::kDone) {
      return made == AgentStore::Eviction::kUnderWay;
    }
  }
  return false;
}

/// Reads some blocks back. False when there is nothing more to read, or what
/// comes next cannot be.
bool EngineCore::restore_blocks(Sequence& seq) {
  Restore& restore = restores_.at(&seq);
  CachedSequence& kv = seq.agent->kv;
  if (kv.room == 0) {
    seq.usage.miss_reason =
        "others took the room to bring the agent's cache back from disk";
    return false; // it is computed
  }
  const bool more =
      restore.advance(*executor_, *cache_, kv, kRestoreBytesPerTurn);
  if (restore.error()) {
    seq.usage.miss_reason = agents_->give_up(*seq.agent, restore);
  }
  return more;
}

void EngineCore::restored(Sequence& seq) {
  if (!seq.preempted) {
    seq.usage.restored_tokens = seq.cached();
    seq.usage.cached_tokens = seq.cached();
    seq.usage.own_tokens = 0;
    seq.usage.shared_tokens = 0;
  }
  seq.phase = Phase::kPrefill;
  restores_.erase(&seq);
}

} // namespace stomp

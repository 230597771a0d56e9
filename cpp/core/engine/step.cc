// One batch: plan, reserve, submit, collect, take the tokens in.
#include <algorithm>

#include "engine/core.h"

namespace stomp {

namespace {

// Scoring returns the logits of every row: 64 rows of a 50k vocabulary are
// 12 MB.
constexpr int kScoreRows = 64;

} // namespace

std::vector<Sequence*> EngineCore::ready_sequences() {
  std::vector<Sequence*> ready;
  for (const SequencePtr& seq : active_) {
    if (seq->phase == Phase::kDecode) {
      ready.push_back(seq.get());
    } else if (seq->phase == Phase::kPrefill && !waits_for_prefix(*seq)) {
      share_more(*seq);
      ready.push_back(seq.get());
    }
  }
  return ready;
}

bool EngineCore::waits_for_prefix(const Sequence& seq) const {
  if (seq.request.score) {
    return false;
  }
  const int block = cache_->spec().block_tokens;
  for (const SequencePtr& other : active_) {
    if (other.get() == &seq) {
      return false; // only those admitted earlier lead
    }
    const bool reading =
        other->phase == Phase::kPrefill || other->phase == Phase::kRestoring;
    if (!reading || other->request.score || other->seed != seq.seed) {
      continue;
    }
    const size_t n = std::min(other->tokens.size(), seq.tokens.size() - 1);
    const auto begin = seq.tokens.begin();
    const int common = static_cast<int>(
        std::mismatch(begin, begin + n, other->tokens.begin()).first - begin);
    const int shared = common / block * block;
    if (shared > seq.cached() && shared > other->cached()) {
      return true;
    }
  }
  return false;
}

void EngineCore::share_more(Sequence& seq) {
  CachedSequence& kv = seq.agent->kv;
  if (seq.request.score || seq.pending() <= cache_->spec().block_tokens ||
      cache_->match(kv, seq.tokens).shared <= kv.table.n_tokens) {
    return;
  }
  const int before = kv.table.n_tokens;
  copies_.clear();
  const int after = cache_->adopt(kv, seq.tokens, copies_);
  executor_->copy_blocks(copies_);
  if (!seq.preempted) {
    seq.usage.cached_tokens += after - before;
    seq.usage.shared_tokens += after - before;
  }
}

std::vector<int> EngineCore::plan(const std::vector<Sequence*>& ready) {
  std::vector<Load> loads;
  loads.reserve(ready.size());
  for (const Sequence* seq : ready) {
    loads.push_back(
        {.pending = seq->pending(),
         .decoding = seq->phase == Phase::kDecode,
         .max_rows = seq->request.score ? kScoreRows : 0});
  }
  return scheduler_.plan(loads);
}

bool EngineCore::step() {
  const std::vector<Sequence*> ready = ready_sequences();
  if (ready.empty()) {
    return false;
  }
  std::vector<int> planned = plan(ready);
  copies_.clear();
  for (size_t i = 0; i < ready.size(); i++) {
    if (ready[i]->running() && planned[i] > 0 &&
        !reserve(*ready[i], planned[i])) {
      planned[i] = 0;
    }
  }
  std::vector<Sequence*> batch;
  std::vector<int> rows;
  for (size_t i = 0; i < ready.size(); i++) {
    if (planned[i] > 0 && ready[i]->running()) { // not preempted meanwhile
      batch.push_back(ready[i]);
      rows.push_back(planned[i]);
    }
  }
  if (batch.empty()) {
    return false;
  }
  run(batch, rows);
  return true;
}

bool EngineCore::reserve(Sequence& seq, int rows) {
  while (!cache_->reserve(seq.agent->kv, rows, copies_)) {
    const AgentStore::Eviction eviction = agents_->evict_one(seq.agent.get());
    if (eviction == AgentStore::Eviction::kDone) {
      continue;
    }
    if (preempt_younger(seq)) {
      continue;
    }
    if (eviction == AgentStore::Eviction::kNobody && active_.size() == 1) {
      finish(
          seq,
          Finish::kError,
          Error(
              Code::kPoolExhausted,
              "The cache pool is full and nothing can be evicted. The answer "
              "so far is kept; raise --cache-budget-mb to go on."));
    }
    return false;
  }
  return true;
}

bool EngineCore::preempt_younger(const Sequence& seq) {
  for (auto it = std::prev(active_.end()); it->get() != &seq; --it) {
    Sequence& victim = **it;
    if (victim.phase == Phase::kDone) {
      continue;
    }
    // What it had computed stays in the index until somebody needs the
    // blocks; it comes back at the head of the queue. Room for a step is
    // reserved oldest first, so a victim has reserved nothing yet.
    preemptions_++;
    restores_.erase(&victim);
    cache_->truncate(victim.agent->kv, victim.cached());
    cache_->release(victim.agent->kv);
    victim.agent->running = nullptr;
    victim.phase = Phase::kWaiting;
    victim.preempted = true;
    victim.adopted = -1;
    victim.logprobs.clear(); // it is scored anew from the first token
    waiting_.splice(waiting_.begin(), active_, it);
    return true;
  }
  return false;
}

Slice EngineCore::slice_of(const Sequence& seq, int rows) const {
  Slice slice;
  slice.tokens =
      std::span<const int32_t>(seq.tokens).subspan(seq.cached(), rows);
  slice.position = seq.cached();
  slice.table = &seq.agent->kv.table;
  slice.decode = seq.phase == Phase::kDecode;
  if (seq.request.score) {
    slice.output = Output::kAllLogits;
  } else if (rows == seq.pending()) {
    slice.output =
        seq.request.sampling.greedy() ? Output::kToken : Output::kLogits;
  }
  return slice;
}

void EngineCore::run(
    const std::vector<Sequence*>& batch,
    const std::vector<int>& rows) {
  Step step;
  step.slices.reserve(batch.size());
  int decode_rows = 0;
  int prefill_rows = 0;
  for (size_t i = 0; i < batch.size(); i++) {
    step.slices.push_back(slice_of(*batch[i], rows[i]));
    (step.slices.back().decode ? decode_rows : prefill_rows) += rows[i];
  }
  const auto start = Clock::now();
  try {
    executor_->copy_blocks(copies_);
    const Ticket ticket = executor_->submit(step);
    const StepResult result = executor_->collect(ticket);
    for (size_t i = 0; i < batch.size(); i++) {
      advance(*batch[i], rows[i], result.tokens[i], result.logits[i]);
    }
  } catch (const std::exception& e) {
    fail(batch, as_error(e, Code::kGenerationFailed));
  }
  const double seconds = ms_since(start) / 1e3;
  scheduler_.observe(decode_rows, prefill_rows, seconds);
  steps_++;
  prefill_tokens_ += prefill_rows;
  decode_tokens_ += decode_rows;
  step_seconds_ += seconds;
}

void EngineCore::fail(const std::vector<Sequence*>& batch, const Error& error) {
  for (Sequence* seq : batch) {
    if (seq->phase != Phase::kDone) {
      finish(*seq, Finish::kError, error);
    }
  }
}

void EngineCore::advance(
    Sequence& seq,
    int rows,
    int32_t token,
    std::span<const float> logits) {
  const bool complete = rows == seq.pending();
  if (seq.request.score) {
    score(seq, rows, logits);
  }
  cache_->commit(
      seq.agent->kv,
      std::span<const int32_t>(seq.tokens).subspan(seq.cached(), rows));
  seq.agent->version++;
  if (!complete) {
    events_.progress.push_back({seq.request.id, seq.cached(), seq.prompt_size});
  } else if (seq.request.score) {
    finish(seq, Finish::kStop);
  } else {
    accept(seq, token, logits);
  }
}

void EngineCore::accept(
    Sequence& seq,
    int32_t token,
    std::span<const float> logits) {
  const Request& r = seq.request;
  if (!r.sampling.greedy()) {
    token = sampler_.sample(logits, r.sampling, seq.generated());
  }
  if (seq.generated() == 0) {
    seq.usage.first_token_ms = ms_since(seq.submitted);
  }
  const std::vector<int32_t>& eos = model_->config.eos_ids;
  const bool ends = std::find(r.stop_ids.begin(), r.stop_ids.end(), token) !=
          r.stop_ids.end() ||
      (!r.ignore_eos && std::find(eos.begin(), eos.end(), token) != eos.end());
  if (ends) {
    finish(seq, Finish::kStop);
    return;
  }
  seq.tokens.push_back(token);
  seq.phase = Phase::kDecode;
  events_.tokens.push_back({r.id, token});
  if (static_cast<int>(seq.tokens.size()) >= seq.limit) {
    finish(seq, Finish::kLength);
  }
}

void EngineCore::score(Sequence& seq, int rows, std::span<const float> logits) {
  const size_t vocab = model_->config.vocab_size;
  for (int i = 0; i < rows; i++) {
    const size_t next = seq.cached() + i + 1;
    if (next < seq.tokens.size()) {
      seq.logprobs.push_back(static_cast<float>(
          log_probability(logits.subspan(i * vocab, vocab), seq.tokens[next])));
    }
  }
}

} // namespace stomp

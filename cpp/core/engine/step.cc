// One batch: plan, reserve, submit, collect, take the tokens in.
#include <algorithm>
#include <array>

#include "engine/core.h"

namespace stomp {

namespace {

// Scoring returns the logits of every row: 64 rows of a 50k vocabulary are
// 12 MB.
constexpr int kScoreRows = 64;

// Of prompts that are read at once, by priority.
constexpr std::array<int, kPriorities> kWeights = {4, 2, 1};

} // namespace

void EngineCore::find_ready() {
  ready_.clear();
  for (const SequencePtr& seq : active_) {
    if (seq->phase == Phase::kDecode) {
      ready_.push_back(seq.get());
    } else if (seq->phase == Phase::kPrefill && !waits_for_prefix(*seq)) {
      if (guarded(*seq, [&] { share_more(*seq); })) {
        announce(*seq);
        ready_.push_back(seq.get());
      }
    }
  }
}

/// Tells, once, that a request is under way and what the cache had of it.
void EngineCore::announce(Sequence& seq) {
  if (!seq.announced && !seq.request.score) {
    seq.announced = true;
    events_.events.push_back(
        {seq.request.id, seq.usage.cached_tokens, StepEvent::kStarted});
  }
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
  copy_blocks(seq);
  if (!seq.preempted) {
    seq.usage.cached_tokens += after - before;
    seq.usage.shared_tokens += after - before;
    use_.shared_hit_tokens += after - before;
  }
}

std::span<int> EngineCore::plan() {
  loads_.clear();
  for (const Sequence* seq : ready_) {
    loads_.push_back(
        {.pending = seq->pending(),
         .decoding = seq->phase == Phase::kDecode,
         .max_rows = seq->request.score ? kScoreRows : 0,
         .weight = kWeights[static_cast<int>(seq->request.priority)],
         .credit = seq->credit});
  }
  const std::span<int> rows = scheduler_.plan(loads_);
  for (size_t i = 0; i < ready_.size(); i++) {
    ready_[i]->credit = loads_[i].credit;
  }
  return rows;
}

bool EngineCore::step() {
  short_of_room_ = false;
  find_ready();
  if (ready_.empty()) {
    return false;
  }
  emit(); // who begins hears of it before its prompt is computed
  const std::span<int> planned = plan();
  copies_.clear();
  batch_.clear();
  for (size_t i = 0; i < ready_.size(); i++) {
    Sequence& seq = *ready_[i];
    bool fits = false;
    if (planned[i] > 0 && seq.running()) { // not preempted meanwhile
      guarded(seq, [&] { fits = reserve(seq, planned[i]); });
    }
    if (fits) {
      batch_.push_back({&seq, planned[i]});
    }
  }
  if (batch_.empty()) {
    return false;
  }
  run();
  return true;
}

/// Room is reserved in the order of the batch, so that those behind, who may be
/// preempted for it, have reserved nothing yet.
bool EngineCore::reserve(Sequence& seq, int rows) {
  while (!cache_->reserve(seq.agent->kv, rows, copies_)) {
    const AgentStore::Eviction eviction = agents_->evict_one(seq.agent.get());
    if (eviction == AgentStore::Eviction::kDone) {
      continue;
    }
    if (eviction == AgentStore::Eviction::kNobody) {
      if (preempt_behind(seq)) {
        continue;
      }
      if (active_.size() == 1) {
        throw Error(
            Code::kPoolExhausted,
            "The cache pool is full and nothing can be evicted. The answer "
            "so far is kept; raise --cache-budget-mb to go on.");
      }
    }
    short_of_room_ = true;
    return false;
  }
  return true;
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
    slice.output = seq.request.sampling.greedy() && !seq.guidance
        ? Output::kToken
        : Output::kLogits;
  }
  return slice;
}

void EngineCore::run() {
  step_.slices.clear();
  int decode_rows = 0;
  int prefill_rows = 0;
  for (const Part& part : batch_) {
    step_.slices.push_back(slice_of(*part.seq, part.rows));
    (step_.slices.back().decode ? decode_rows : prefill_rows) += part.rows;
  }
  const auto start = Clock::now();
  bool copied = false;
  try {
    executor_->copy_blocks(copies_);
    copied = true;
    executor_->collect(executor_->submit(step_), result_);
    sample();
    for (size_t i = 0; i < batch_.size(); i++) {
      guarded(*batch_[i].seq, [&] { advance(i); });
    }
  } catch (const std::exception& e) {
    fail(as_error(e, Code::kGenerationFailed), copied);
  }
  const double seconds = ms_since(start) / 1e3;
  scheduler_.observe(decode_rows, prefill_rows, seconds);
  steps_++;
  prefill_tokens_ += prefill_rows;
  decode_tokens_ += decode_rows;
  step_seconds_ += seconds;
}

/// Those of the step, and nobody else. Without their copies the last blocks
/// hold who knows what.
void EngineCore::fail(const Error& error, bool copied) {
  for (const Part& part : batch_) {
    if (!copied) {
      cache_->release(part.seq->agent->kv);
    }
    if (part.seq->phase != Phase::kDone) {
      finish(*part.seq, Finish::kError, error);
    }
  }
}

void EngineCore::sample() {
  sampled_.clear();
  for (size_t i = 0; i < batch_.size(); i++) {
    if (step_.slices[i].output == Output::kLogits) {
      sampled_.push_back(i);
    }
  }
  while (choosers_.size() < sampled_.size()) {
    choosers_.emplace_back().reserve(model_->config.vocab_size);
  }
  executor_->parallel(static_cast<int>(sampled_.size()), [this](int n) {
    const size_t i = sampled_[n];
    choosers_[n].choose(*batch_[i].seq, result_.logits[i], result_.tokens[i]);
  });
  // In the order of the batch from here on.
  choices_.assign(batch_.size(), nullptr);
  for (size_t n = 0; n < sampled_.size(); n++) {
    choices_[sampled_[n]] = &choosers_[n].choice();
  }
}

void EngineCore::advance(size_t part) {
  Sequence& seq = *batch_[part].seq;
  const int rows = batch_[part].rows;
  const bool complete = rows == seq.pending();
  if (seq.request.score) {
    score(seq, rows, result_.logits[part]);
  }
  cache_->commit(
      seq.agent->kv,
      std::span<const int32_t>(seq.tokens).subspan(seq.cached(), rows));
  seq.agent->version++;
  if (!complete) {
    events_.events.push_back({seq.request.id, seq.cached(), seq.prompt_size});
  } else if (seq.request.score) {
    finish(seq, Finish::kStop);
  } else if (choices_[part]) {
    accept(seq, *choices_[part]);
  } else {
    Choice choice;
    choice.token = result_.tokens[part];
    choice.ends = seq.is_end(choice.token);
    accept(seq, choice);
  }
}

void EngineCore::accept(Sequence& seq, const Choice& choice) {
  if (choice.error) {
    finish(seq, Finish::kError, choice.error);
    return;
  }
  if (seq.generated() == 0) {
    seq.usage.first_token_ms = ms_since(seq.submitted);
  }
  if (choice.ends) {
    finish(seq, Finish::kStop);
    return;
  }
  if (seq.phase != Phase::kDecode) {
    begin_answer(seq);
  }
  seq.tokens.push_back(choice.token);
  const auto logprobs = static_cast<int32_t>(choice.logprobs.size());
  events_.events.push_back(
      {seq.request.id,
       choice.token,
       logprobs == 0 ? StepEvent::kToken : -1 - logprobs});
  events_.logprobs.insert(
      events_.logprobs.end(), choice.logprobs.begin(), choice.logprobs.end());
  if (choice.last) {
    finish(seq, Finish::kStop);
  } else if (static_cast<int>(seq.tokens.size()) >= seq.limit) {
    finish(seq, Finish::kLength);
  }
}

/// Makes room for its bookkeeping at once, so that its steps need none.
void EngineCore::begin_answer(Sequence& seq) {
  seq.phase = Phase::kDecode;
  seq.tokens.reserve(seq.target);
  cache_->expect(seq.agent->kv, seq.target);
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

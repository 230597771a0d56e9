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

/// What the answers bring beyond a token each.
void EngineCore::draft() {
  const auto answers = std::ranges::count_if(
      ready_, [](const Sequence* seq) { return seq->phase == Phase::kDecode; });
  const DraftTerms terms = scheduler_.draft_terms(static_cast<int>(answers));
  int left = kDraftRows;
  for (Sequence* seq : ready_) {
    if (seq->phase == Phase::kDecode && seq->speculation) {
      const int wanted = seq->limit - static_cast<int>(seq->tokens.size()) - 1;
      seq->speculation->propose(seq->tokens, std::min(wanted, left), terms);
      left -= seq->drafted();
    }
  }
}

std::span<int> EngineCore::plan() {
  draft();
  loads_.clear();
  for (const Sequence* seq : ready_) {
    loads_.push_back(
        {.pending = seq->pending(),
         .decoding = seq->phase == Phase::kDecode,
         .drafted = seq->drafted(),
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
bool EngineCore::reserve(Sequence& seq, int& rows) {
  if (seq.drafted() > 0 && !cache_->reserve(seq.agent->kv, rows, copies_)) {
    seq.speculation->drop(); // nobody has to leave for a guess
    rows = 1;
  }
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
  slice.tokens = seq.drafted() > 0
      ? seq.speculation->rows()
      : std::span<const int32_t>(seq.tokens).subspan(seq.cached(), rows);
  slice.position = seq.cached();
  slice.table = &seq.agent->kv.table;
  slice.decode = seq.phase == Phase::kDecode;
  if (seq.request.score || seq.drafted() > 0) {
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
  Scheduler::Rows rows;
  for (const Part& part : batch_) {
    step_.slices.push_back(slice_of(*part.seq, part.rows));
    if (step_.slices.back().decode) {
      rows.decode++;
      rows.draft += part.rows - 1;
    } else {
      rows.prefill += part.rows;
    }
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
  scheduler_.observe(rows, seconds);
  steps_++;
  prefill_tokens_ += rows.prefill;
  decode_tokens_ += rows.decode;
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
    const Output output = step_.slices[i].output;
    const bool drafted = batch_[i].seq->drafted() > 0;
    if (output == Output::kLogits || drafted) {
      sampled_.push_back(i);
    }
  }
  while (choosers_.size() < sampled_.size()) {
    choosers_.emplace_back().reserve(model_->config.vocab_size);
  }
  choices_.assign(batch_.size(), {});
  executor_->parallel(static_cast<int>(sampled_.size()), [this](int n) {
    const size_t i = sampled_[n];
    Sequence& seq = *batch_[i].seq;
    const std::span<const float> logits = result_.logits[i];
    if (seq.drafted() > 0) {
      const auto draft = seq.speculation->rows().subspan(1);
      choices_[i] = choosers_[n].verify(seq, logits, draft);
    } else {
      const int32_t likeliest = result_.tokens[i];
      choices_[i] = {&choosers_[n].choose(seq, logits, likeliest), 1};
    }
  });
}

void EngineCore::advance(size_t part) {
  Sequence& seq = *batch_[part].seq;
  CachedSequence& kv = seq.agent->kv;
  const std::span<const Choice> choices = choices_[part];
  const std::span<const int32_t> tokens = seq.tokens;
  const int rows = batch_[part].rows;
  seq.agent->version++;
  if (seq.drafted() > 0) {
    // Rows of tokens that the answer has not are as if never computed.
    cache_->commit(kv, seq.speculation->rows().first(choices.size()));
    note_draft(seq, static_cast<int>(choices.size()) - 1);
    answer(seq, choices);
    return;
  }
  if (seq.request.score) {
    score(seq, rows, result_.logits[part]);
  }
  cache_->commit(kv, tokens.subspan(seq.cached(), rows));
  if (seq.pending() > 0) {
    events_.events.push_back({seq.request.id, seq.cached(), seq.prompt_size});
  } else if (seq.request.score) {
    finish(seq, Finish::kStop);
  } else if (!choices.empty()) {
    answer(seq, choices);
  } else {
    Choice choice;
    choice.token = result_.tokens[part];
    choice.ends = seq.is_end(choice.token);
    accept(seq, choice);
  }
}

void EngineCore::note_draft(Sequence& seq, int accepted) {
  Speculation& speculation = *seq.speculation;
  speculation.learn(accepted);
  seq.usage.drafted_tokens += speculation.drafted();
  seq.usage.accepted_tokens += accepted;
  drafted_tokens_ += speculation.drafted();
  accepted_tokens_ += accepted;
  decode_tokens_ += accepted;
}

void EngineCore::answer(Sequence& seq, std::span<const Choice> choices) {
  for (const Choice& choice : choices) {
    accept(seq, choice); // only the last one can end it
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
  // A script is taken one token a step.
  if (options_.speculation && !seq.speculation && seq.request.script.empty()) {
    seq.speculation = std::make_unique<Speculation>(seq.target);
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

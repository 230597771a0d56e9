#include "engine/core.h"

#include <algorithm>
#include <set>

namespace stomp {

namespace {

// A request that names no max_tokens is admitted when this many fit; if it
// wants more and the pool is full by then, preemption sorts it out.
constexpr int kUnstatedAnswerTokens = 1024;

int smallest_context(
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks,
    int max_context) {
  for (size_t g = 0; g < spec.groups.size(); g++) {
    if (spec.groups[g].kind == AttentionKind::kGlobal) {
      max_context = std::min(max_context, blocks[g] * spec.block_tokens);
    }
  }
  return max_context;
}

} // namespace

EngineCore::EngineCore(
    const EngineOptions& options,
    std::shared_ptr<const Model> model,
    std::unique_ptr<Executor> executor_with_model,
    Engine::OnStep on_step,
    std::function<void()> wake,
    std::shared_ptr<GrammarCache> grammars)
    : options_(options),
      model_(std::move(model)),
      executor_(std::move(executor_with_model)),
      on_step_(std::move(on_step)),
      grammars_(std::move(grammars)),
      scheduler_(
          {.prefill_step_tokens = options.prefill_step_tokens,
           .min_chunk_tokens = std::min(
               executor_->info().min_chunk_tokens,
               options.prefill_step_tokens)}) {
  const ExecutorInfo executor = executor_->info();
  numerics_ = executor.numerics;
  const ModelCacheSpec spec =
      make_cache_spec(model_->config, options.block_tokens, executor.kv);
  int context = model_->config.max_context;
  if (options.max_context > 0) {
    context = std::min(context, options.max_context);
  }
  const std::vector<int> blocks = plan_pool(
      spec, options.cache_budget_bytes, context, options.prefill_step_tokens);
  executor_->allocate_pool(spec, blocks);
  cache_ = std::make_unique<KvCache>(spec, blocks);
  max_context_ = smallest_context(spec, blocks, context);

  std::unique_ptr<DiskTier> disk;
  if (!options.cache_dir.empty()) {
    disk = std::make_unique<DiskTier>(
        options.cache_dir, model_->fingerprint, std::move(wake));
  }
  agents_ = std::make_unique<AgentStore>(
      *cache_,
      *executor_,
      std::move(disk),
      options.disk_budget_bytes,
      AgentStore::Identity{
          model_->config.name, model_->fingerprint, numerics_});
}

EngineCore::~EngineCore() = default;

EngineInfo EngineCore::info() const {
  return {model_->config, model_->fingerprint, max_context_, executor_->info()};
}

EngineStats EngineCore::stats() const {
  EngineStats s;
  s.executor = executor_->info();
  s.memory = executor_->memory();
  s.spec = cache_->spec();
  const BlockPool& pool = cache_->pool();
  for (int g = 0; g < pool.groups(); g++) {
    s.pool_capacity.push_back(pool.capacity(g));
    s.pool_free.push_back(pool.free(g));
    s.pool_cached.push_back(pool.cached(g));
  }
  s.cache = use_;
  s.cache.indexed_blocks = cache_->indexed_blocks();
  s.active = static_cast<int>(active_.size());
  s.waiting = waiting_.size();
  s.agents_hot = agents_->hot();
  s.steps = steps_;
  s.prefill_tokens = prefill_tokens_;
  s.decode_tokens = decode_tokens_;
  s.step_seconds = step_seconds_;
  s.drafted_tokens = drafted_tokens_;
  s.accepted_tokens = accepted_tokens_;
  s.preemptions = preemptions_;
  const AgentStore::Counters& c = agents_->counters();
  s.evictions_hot = c.evictions;
  s.demotions = c.demotions;
  s.disk_bytes = agents_->disk_bytes();
  s.disk_shared_bytes = agents_->disk_shared_bytes();
  s.saves = c.saves;
  s.save_failures = c.failures;
  s.save_seconds = c.seconds;
  s.last_save_error = c.last_error;
  return s;
}

void EngineCore::check_tokens(const char* what, std::span<const int32_t> tokens)
    const {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= model_->config.vocab_size) {
      throw Error(
          Code::kInvalidRequest,
          what + (" holds token " + std::to_string(token)) +
              ", but the vocabulary ends at " +
              std::to_string(model_->config.vocab_size - 1) + ".");
    }
  }
}

void EngineCore::check_guidance(const Request& request) const {
  check_tokens("The script", request.script);
  check_tokens("The end of the thoughts", request.reasoning_end);
  std::set<int32_t> left_out;
  for (const LogitBias& b : request.logits.bias) {
    check_tokens("The logit bias", std::span(&b.token, 1));
    if (b.bias <= kRuledOut) {
      left_out.insert(b.token);
    }
  }
  if (static_cast<int>(left_out.size()) == model_->config.vocab_size) {
    throw Error(
        Code::kInvalidRequest,
        "The logit bias rules every token out. Leave it some to choose from.");
  }
}

void EngineCore::check(const Request& request) const {
  if (shutting_down_) {
    throw Error(
        Code::kShuttingDown,
        "The engine is shutting down; send the request to another server or "
        "wait for the restart.");
  }
  if (request.prompt.empty()) {
    throw Error(Code::kInvalidRequest, "The prompt has no tokens.");
  }
  check_tokens("The prompt", request.prompt);
  check_guidance(request);
  const int n = static_cast<int>(request.prompt.size());
  const int most = request.score ? max_context_ : max_context_ - 1;
  if (n > most) {
    throw Error(
        Code::kContextOverflow,
        "The prompt has " + std::to_string(n) +
            " tokens, but this model and pool hold " +
            std::to_string(max_context_) +
            " tokens of prompt and answer together. Shorten the conversation" +
            (max_context_ < model_->config.max_context
                 ? ", or raise --cache-budget-mb or --max-context."
                 : "."),
        {{"promptTokens", std::to_string(n)},
         {"contextTokens", std::to_string(max_context_)}});
  }
  // Requests that find a place in the batch do not wait.
  const int places =
      std::max(0, options_.max_batch_size - static_cast<int>(active_.size()));
  if (waiting_.size() >= options_.max_queue + places) {
    throw Error(
        Code::kQueueFull,
        "Already " + std::to_string(waiting_.size()) +
            " requests are waiting; try again later or raise --max-queue.",
        {{"waiting", std::to_string(waiting_.size())}});
  }
}

uint64_t EngineCore::seed_of(const std::string& salt) const {
  return KvCache::seed(model_->fingerprint + '\n' + numerics_ + '\n' + salt);
}

/// What its answer is guided by.
void EngineCore::prepare(Sequence& seq) {
  const Request& r = seq.request;
  seq.ends = r.stop_ids;
  if (!r.ignore_eos) {
    const std::vector<int32_t>& eos = model_->config.eos_ids;
    seq.ends.insert(seq.ends.end(), eos.begin(), eos.end());
  }
  std::shared_ptr<const Grammar> grammar;
  if (!r.grammar.empty()) {
    grammar = grammars_->get(r.grammar);
  }
  seq.guidance = Guidance::of(r, std::move(grammar), seq.ends);
}

void EngineCore::submit(Request request) {
  auto seq = std::make_unique<Sequence>();
  seq->submitted = Clock::now();
  seq->prompt_size = static_cast<int>(request.prompt.size());
  seq->usage.prompt_tokens = seq->prompt_size;
  seq->tokens = request.prompt;
  seq->request = std::move(request);
  try {
    check(seq->request);
    prepare(*seq);
  } catch (const Error& error) {
    finish(*seq, Finish::kError, error);
    emit();
    return;
  }
  const Request& r = seq->request;
  seq->limit = r.score ? seq->prompt_size : max_context_;
  seq->target = std::min(seq->limit, seq->prompt_size + kUnstatedAnswerTokens);
  if (r.max_tokens > 0 && !r.score) {
    seq->limit = static_cast<int>(std::min<int64_t>(
        seq->limit, int64_t{seq->prompt_size} + r.max_tokens));
    seq->target = seq->limit;
  }
  seq->seed = seed_of(r.cache_salt);
  seq->agent = agents_->get(r.agent, seq->seed);
  by_id_[r.id] = seq.get();
  waiting_.push(std::move(seq));
}

void EngineCore::cancel(int32_t request) {
  const auto found = by_id_.find(request);
  if (found != by_id_.end()) {
    found->second->cancelled = true;
  }
}

void EngineCore::cancel_agent(const std::string& agent) {
  for (auto& [id, seq] : by_id_) {
    if (seq->request.agent == agent) {
      seq->cancelled = true;
    }
  }
  sweep();
  emit();
}

void EngineCore::set_batch_window(int milliseconds) {
  options_.batch_window_ms = milliseconds;
}

/// Of an idle engine; a batch that is full waits for nobody.
std::optional<Clock::time_point> EngineCore::gathering_until() const {
  if (options_.batch_window_ms == 0 || !active_.empty() || waiting_.empty() ||
      waiting_.size() >= options_.max_batch_size) {
    return std::nullopt;
  }
  const Clock::time_point until =
      waiting_.oldest() + std::chrono::milliseconds(options_.batch_window_ms);
  return Clock::now() < until ? std::optional(until) : std::nullopt;
}

void EngineCore::clear_caches(
    bool disk,
    std::set<std::string> keep,
    const Engine::Done& done) {
  std::set<std::string> busy;
  for (const auto& [id, seq] : by_id_) {
    busy.insert(seq->request.agent);
  }
  if (disk) {
    busy.merge(keep);
    agents_->remove_all(busy);
    cache_->drop_cached();
    done(std::nullopt);
    return;
  }
  agents_->evict_all(busy, [this, done](std::optional<Error> error) {
    cache_->drop_cached();
    done(std::move(error));
  });
}

void EngineCore::shut_down() {
  shutting_down_ = true;
  for (auto& [id, seq] : by_id_) {
    seq->cancelled = true;
  }
  sweep();
  emit();
}

void EngineCore::finish(
    Sequence& seq,
    Finish reason,
    std::optional<Error> error) {
  const bool was_running = seq.agent && seq.agent->running == &seq;
  seq.usage.generated_tokens = seq.generated();
  seq.usage.total_ms = ms_since(seq.submitted);
  FinishEvent event;
  event.request = seq.request.id;
  event.reason = reason;
  event.usage = seq.usage;
  event.error = std::move(error);
  event.logprobs = std::move(seq.logprobs);
  events_.finished.push_back(std::move(event));
  seq.phase = Phase::kDone;
  if (seq.agent && !was_running) {
    seq.agent->parked = false;
  }
  finished_++;
  by_id_.erase(seq.request.id);
  restores_.erase(&seq);
  if (was_running) {
    Agent& agent = *seq.agent;
    agent.running = nullptr;
    agent.requests++;
    agent.prompt_tokens += seq.usage.prompt_tokens;
    agent.cached_tokens += seq.usage.cached_tokens;
    cache_->truncate(agent.kv, agent.kv.table.n_tokens);
    cache_->publish_tail(agent.kv);
    agents_->finished(seq.agent);
  } else if (seq.agent && seq.agent->id.empty()) {
    cache_->release(seq.agent->kv);
  }
}

void EngineCore::for_each(const std::function<void(Sequence&)>& f) {
  waiting_.for_each(f);
  for (const SequencePtr& seq : active_) {
    f(*seq);
  }
}

void EngineCore::fail_all(const Error& error) {
  for_each([&](Sequence& seq) {
    if (seq.phase != Phase::kDone) {
      finish(seq, Finish::kError, error);
    }
  });
  sweep();
  emit();
}

void EngineCore::copy_blocks(Sequence& seq) {
  try {
    executor_->copy_blocks(copies_);
  } catch (...) {
    cache_->release(seq.agent->kv); // its last block holds who knows what
    throw;
  }
}

void EngineCore::sweep() {
  for_each([&](Sequence& seq) {
    if (seq.cancelled && seq.phase != Phase::kDone) {
      finish(seq, Finish::kCancelled);
    }
  });
  waiting_.erase_done();
  std::erase_if(active_, [](const SequencePtr& seq) {
    return seq->phase == Phase::kDone;
  });
}

void EngineCore::emit() {
  if (!events_.empty()) {
    on_step_(events_);
    events_.clear();
  }
}

bool EngineCore::work() {
  const uint64_t finished = finished_;
  sweep();
  bool busy = false;
  kept_back_until_ = gathering_until();
  if (!kept_back_until_) {
    busy |= admit();
    busy |= restore();
    busy |= step();
    sweep();
  }
  busy |= finished_ != finished; // who waits may have room now
  emit();
  while (options_.max_agents > 0 && !shutting_down_ &&
         agents_->hot() > options_.max_agents &&
         agents_->evict_one() == AgentStore::Eviction::kDone) {
    busy = true;
  }
  busy |= agents_->pump();
  return busy;
}

} // namespace stomp

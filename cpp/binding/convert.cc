#include "convert.h"

namespace stomp::binding {

namespace {

std::string text(const Napi::Object& o, const char* key) {
  const Napi::Value value = o.Get(key);
  if (!value.IsString()) {
    throw Napi::TypeError::New(o.Env(), std::string(key) + " must be a string");
  }
  return value.As<Napi::String>().Utf8Value();
}

double number(const Napi::Object& o, const char* key) {
  const Napi::Value value = o.Get(key);
  if (!value.IsNumber()) {
    throw Napi::TypeError::New(o.Env(), std::string(key) + " must be a number");
  }
  return value.As<Napi::Number>().DoubleValue();
}

int integer(const Napi::Object& o, const char* key) {
  return static_cast<int>(number(o, key));
}

bool boolean(const Napi::Object& o, const char* key) {
  const Napi::Value value = o.Get(key);
  if (!value.IsBoolean()) {
    throw Napi::TypeError::New(
        o.Env(), std::string(key) + " must be a boolean");
  }
  return value.As<Napi::Boolean>().Value();
}

std::vector<int32_t> integers(const Napi::Object& o, const char* key) {
  const Napi::Value value = o.Get(key);
  if (!value.IsTypedArray() ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw Napi::TypeError::New(
        o.Env(), std::string(key) + " must be an Int32Array");
  }
  const auto array = value.As<Napi::Int32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<float> floats(const Napi::Object& o, const char* key) {
  const Napi::Value value = o.Get(key);
  if (!value.IsTypedArray() ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
    throw Napi::TypeError::New(
        o.Env(), std::string(key) + " must be a Float32Array");
  }
  const auto array = value.As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<LogitBias> logit_bias(const Napi::Object& o) {
  const std::vector<int32_t> ids = integers(o, "biasIds");
  const std::vector<float> biases = floats(o, "biases");
  if (ids.size() != biases.size()) {
    throw Napi::TypeError::New(o.Env(), "biasIds and biases differ in length");
  }
  std::vector<LogitBias> bias;
  for (size_t i = 0; i < ids.size(); i++) {
    bias.push_back({ids[i], biases[i]});
  }
  return bias;
}

Priority priority(const Napi::Object& o) {
  const std::string name = text(o, "priority");
  if (name == "high") {
    return Priority::kHigh;
  }
  if (name == "normal") {
    return Priority::kNormal;
  }
  if (name == "low") {
    return Priority::kLow;
  }
  throw Napi::TypeError::New(o.Env(), "priority must be high, normal or low");
}

Napi::Object executor(Napi::Env env, const ExecutorInfo& info) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", info.name);
  o.Set("device", info.device);
  o.Set("isa", info.isa);
  o.Set("numerics", info.numerics);
  o.Set("threads", info.threads);
  return o;
}

double number_of(uint64_t value) {
  return static_cast<double>(value);
}

Napi::Object usage(Napi::Env env, const Usage& u) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("promptTokens", u.prompt_tokens);
  o.Set("cachedTokens", u.cached_tokens);
  o.Set("ownTokens", u.own_tokens);
  o.Set("sharedTokens", u.shared_tokens);
  o.Set("restoredTokens", u.restored_tokens);
  o.Set("generatedTokens", u.generated_tokens);
  o.Set("draftedTokens", u.drafted_tokens);
  o.Set("acceptedTokens", u.accepted_tokens);
  o.Set("missReason", u.miss_reason);
  o.Set("queuedMs", u.queued_ms);
  o.Set("firstTokenMs", u.first_token_ms);
  o.Set("totalMs", u.total_ms);
  return o;
}

const char* name(Finish reason) {
  switch (reason) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      return "cancelled";
    case Finish::kError:
      return "error";
  }
  return "error";
}

const char* name(AgentTier tier) {
  switch (tier) {
    case AgentTier::kActive:
      return "active";
    case AgentTier::kHot:
      return "hot";
    case AgentTier::kWarm:
      return "warm";
    case AgentTier::kCold:
      return "cold";
  }
  return "warm";
}

Napi::Object error_object(Napi::Env env, const Error& error) {
  Napi::Object fields = Napi::Object::New(env);
  for (const auto& [key, value] : error.fields()) {
    fields.Set(key, value);
  }
  Napi::Object o = Napi::Object::New(env);
  o.Set("code", code_name(error.code()));
  o.Set("message", error.what());
  o.Set("fields", fields);
  return o;
}

template <class T>
Napi::Array array(Napi::Env env, const std::vector<T>& values) {
  Napi::Array list = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); i++) {
    if constexpr (std::is_same_v<T, std::string>) {
      list.Set(i, Napi::String::New(env, values[i]));
    } else {
      list.Set(i, Napi::Number::New(env, static_cast<double>(values[i])));
    }
  }
  return list;
}

} // namespace

EngineOptions engine_options(const Napi::Object& o) {
  EngineOptions options;
  options.model_path = text(o, "modelPath");
  options.executor = text(o, "executor");
  options.mlx_library = text(o, "mlxLibrary");
  options.threads = integer(o, "threads");
  options.exact = boolean(o, "exact");
  options.kv_bits = integer(o, "kvBits");
  options.block_tokens = integer(o, "blockTokens");
  options.cache_budget_bytes =
      static_cast<size_t>(number(o, "cacheBudgetBytes"));
  options.max_batch_size = integer(o, "maxBatchSize");
  options.prefill_step_tokens = integer(o, "prefillStepTokens");
  options.max_queue = integer(o, "maxQueue");
  options.max_agents = integer(o, "maxAgents");
  options.max_context = integer(o, "maxContext");
  options.speculation = boolean(o, "speculation");
  options.cache_dir = text(o, "cacheDir");
  options.disk_budget_bytes =
      static_cast<uint64_t>(number(o, "diskBudgetBytes"));
  options.batch_window_ms = integer(o, "batchWindowMs");
  return options;
}

Request request(const Napi::Object& o) {
  Request r;
  r.id = integer(o, "id");
  r.agent = text(o, "agent");
  r.prompt = integers(o, "prompt");
  r.priority = priority(o);
  r.max_tokens = integer(o, "maxTokens");
  r.stop_ids = integers(o, "stopIds");
  r.ignore_eos = boolean(o, "ignoreEos");
  r.sampling.temperature = static_cast<float>(number(o, "temperature"));
  r.sampling.top_k = integer(o, "topK");
  r.sampling.top_p = static_cast<float>(number(o, "topP"));
  r.sampling.min_p = static_cast<float>(number(o, "minP"));
  r.sampling.seed = static_cast<uint64_t>(number(o, "seed"));
  r.logits.repetition_penalty =
      static_cast<float>(number(o, "repetitionPenalty"));
  r.logits.presence_penalty = static_cast<float>(number(o, "presencePenalty"));
  r.logits.frequency_penalty =
      static_cast<float>(number(o, "frequencyPenalty"));
  r.logits.bias = logit_bias(o);
  r.top_logprobs = integer(o, "topLogprobs");
  r.grammar = text(o, "grammar");
  r.reasoning_end = integers(o, "reasoningEnd");
  r.reasoning_budget = integer(o, "reasoningBudget");
  r.script = integers(o, "script");
  r.cache_salt = text(o, "cacheSalt");
  r.score = boolean(o, "score");
  return r;
}

Napi::Object to_js(Napi::Env env, const EngineInfo& info) {
  const ModelConfig& c = info.config;
  Napi::Object o = Napi::Object::New(env);
  o.Set("family", c.family);
  o.Set("name", c.name);
  o.Set("fingerprint", info.fingerprint);
  o.Set("nLayers", c.n_layers);
  o.Set("dModel", c.d_model);
  o.Set("nHeads", c.n_heads);
  o.Set("nKvHeads", c.n_kv_heads);
  o.Set("headDim", c.head_dim);
  o.Set("vocabSize", c.vocab_size);
  o.Set("maxContext", info.max_context);
  o.Set("eosIds", array(env, c.eos_ids));
  o.Set("executor", executor(env, info.executor));
  return o;
}

Napi::Object to_js(Napi::Env env, const FinishEvent& event) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("request", event.request);
  o.Set("reason", name(event.reason));
  o.Set("usage", usage(env, event.usage));
  if (event.error) {
    o.Set("error", error_object(env, *event.error));
  }
  if (!event.logprobs.empty()) {
    auto values = Napi::Float32Array::New(env, event.logprobs.size());
    std::copy(event.logprobs.begin(), event.logprobs.end(), values.Data());
    o.Set("logprobs", values);
  }
  return o;
}

Napi::Object to_js(Napi::Env env, const EngineStats& s) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("executor", executor(env, s.executor));
  Napi::Object memory = Napi::Object::New(env);
  memory.Set("weightsBytes", number_of(s.memory.weights_bytes));
  memory.Set("poolBytes", number_of(s.memory.pool_bytes));
  memory.Set("scratchBytes", number_of(s.memory.scratch_bytes));
  o.Set("memory", memory);
  o.Set("blockTokens", s.spec.block_tokens);
  Napi::Array pool = Napi::Array::New(env, s.pool_capacity.size());
  for (uint32_t g = 0; g < s.pool_capacity.size(); g++) {
    Napi::Object group = Napi::Object::New(env);
    group.Set("capacity", s.pool_capacity[g]);
    group.Set("free", s.pool_free[g]);
    group.Set("cached", s.pool_cached[g]);
    group.Set("blockBytes", number_of(s.spec.block_bytes(g)));
    pool.Set(g, group);
  }
  o.Set("pool", pool);
  Napi::Object cache = Napi::Object::New(env);
  cache.Set("lookups", number_of(s.cache.lookups));
  cache.Set("lookupTokens", number_of(s.cache.lookup_tokens));
  cache.Set("ownHitTokens", number_of(s.cache.own_hit_tokens));
  cache.Set("sharedHitTokens", number_of(s.cache.shared_hit_tokens));
  cache.Set("indexedBlocks", number_of(s.cache.indexed_blocks));
  o.Set("cache", cache);
  o.Set("active", s.active);
  o.Set("waiting", s.waiting);
  o.Set("agentsHot", s.agents_hot);
  o.Set("steps", number_of(s.steps));
  o.Set("prefillTokens", number_of(s.prefill_tokens));
  o.Set("decodeTokens", number_of(s.decode_tokens));
  o.Set("draftedTokens", number_of(s.drafted_tokens));
  o.Set("acceptedTokens", number_of(s.accepted_tokens));
  o.Set("preemptions", number_of(s.preemptions));
  o.Set("evictionsHot", number_of(s.evictions_hot));
  o.Set("demotions", number_of(s.demotions));
  o.Set("diskBytes", number_of(s.disk_bytes));
  o.Set("diskSharedBytes", number_of(s.disk_shared_bytes));
  o.Set("saves", number_of(s.saves));
  o.Set("saveFailures", number_of(s.save_failures));
  o.Set("saveSeconds", s.save_seconds);
  o.Set("stepSeconds", s.step_seconds);
  o.Set("lastSaveError", s.last_save_error);
  return o;
}

Napi::Array to_js(Napi::Env env, const std::vector<AgentInfo>& agents) {
  Napi::Array list = Napi::Array::New(env, agents.size());
  for (uint32_t i = 0; i < agents.size(); i++) {
    const AgentInfo& a = agents[i];
    Napi::Object o = Napi::Object::New(env);
    o.Set("id", a.id);
    o.Set("tier", name(a.tier));
    o.Set("tokens", a.tokens);
    o.Set("blocks", a.blocks);
    o.Set("poolBytes", number_of(a.pool_bytes));
    o.Set("diskBytes", number_of(a.disk_bytes));
    o.Set("saved", a.saved);
    o.Set("lastUsedMs", static_cast<double>(a.last_used_ms));
    o.Set("requests", number_of(a.requests));
    o.Set("promptTokens", number_of(a.prompt_tokens));
    o.Set("cachedTokens", number_of(a.cached_tokens));
    list.Set(i, o);
  }
  return list;
}

Napi::Value to_js(Napi::Env env, const MetaValue& value) {
  return std::visit(
      [env](const auto& v) -> Napi::Value {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return Napi::String::New(env, v);
        } else if constexpr (std::is_arithmetic_v<T>) {
          return Napi::Number::New(env, static_cast<double>(v));
        } else {
          return array(env, v);
        }
      },
      value);
}

Napi::Error to_js_error(Napi::Env env, const Error& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  const Napi::Object o = error_object(env, error);
  js.Value().Set("code", o.Get("code"));
  js.Value().Set("fields", o.Get("fields"));
  return js;
}

} // namespace stomp::binding

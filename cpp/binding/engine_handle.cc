#include "engine_handle.h"

#include <algorithm>
#include <cstring>

#include "convert.h"

namespace stomp::binding {

namespace {

constexpr char kOnStep[] = "onStep";
constexpr char kOnProgress[] = "onProgress";
constexpr char kEvents[] = "events";

// Of one call to JavaScript: far more than a step brings.
constexpr size_t kEventsPerCall = 1024;
static_assert(sizeof(StepEvent) == 3 * sizeof(int32_t));

Napi::Value as_js(Napi::Env env, const std::string& value) {
  return Napi::String::New(env, value);
}
template <class T>
Napi::Value as_js(Napi::Env env, const T& value) {
  return to_js(env, value);
}

std::string text(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::String>().Utf8Value();
}

/// Calls into JavaScript with the status ignored: in a worker that is being
/// terminated the call fails, and that must not take the process down. The
/// callbacks report their own exceptions.
void call(
    const Napi::Object& self,
    const char* callback,
    std::initializer_list<napi_value> arguments) {
  napi_value result;
  napi_call_function(
      self.Env(),
      self,
      self.Get(callback),
      arguments.size(),
      arguments.begin(),
      &result);
}

} // namespace

Napi::Function EngineHandle::define(Napi::Env env) {
  return DefineClass(
      env,
      "NativeEngine",
      {
          InstanceMethod<&EngineHandle::submit>("submit"),
          InstanceMethod<&EngineHandle::cancel>("cancel"),
          InstanceMethod<&EngineHandle::agents>("agents"),
          InstanceMethod<&EngineHandle::create>("create"),
          InstanceMethod<&EngineHandle::fork>("fork"),
          InstanceMethod<&EngineHandle::load_agent>("load"),
          InstanceMethod<&EngineHandle::save>("save"),
          InstanceMethod<&EngineHandle::transcript>("transcript"),
          InstanceMethod<&EngineHandle::evict>("evict"),
          InstanceMethod<&EngineHandle::remove>("remove"),
          InstanceMethod<&EngineHandle::stats>("stats"),
          InstanceMethod<&EngineHandle::silent_ms>("silentMs"),
          InstanceMethod<&EngineHandle::set_vocabulary>("setVocabulary"),
          InstanceMethod<&EngineHandle::compile>("compile"),
          InstanceMethod<&EngineHandle::set_batch_window>("setBatchWindow"),
          InstanceMethod<&EngineHandle::clear_caches>("clearCaches"),
          InstanceMethod<&EngineHandle::close>("close"),
      });
}

EngineHandle::EngineHandle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EngineHandle>(info), env_(info.Env()) {
  napi_add_env_cleanup_hook(env_, &EngineHandle::on_teardown, this);
}

EngineHandle::~EngineHandle() {
  napi_remove_env_cleanup_hook(env_, &EngineHandle::on_teardown, this);
  stop();
}

void EngineHandle::on_teardown(void* self) {
  static_cast<EngineHandle*>(self)->stop();
}

void EngineHandle::stop() {
  if (poster_) {
    poster_->abort(); // before the thread is joined: it may be posting
  }
  engine_.reset();
}

Engine& EngineHandle::engine(Napi::Env env) {
  if (!engine_) {
    throw to_js_error(env, Error(Code::kShuttingDown, "The engine is closed."));
  }
  return *engine_;
}

void EngineHandle::hold() {
  poster_->hold();
  Ref();
}

void EngineHandle::let_go() {
  poster_->let_go();
  Unref();
}

Napi::Promise EngineHandle::promise(Napi::Env env, Engine::Done& done) {
  const Deferred deferred = std::make_shared<Napi::Promise::Deferred>(env);
  hold();
  done = [this, deferred](std::optional<Error> error) {
    poster_->post([this, deferred, error = std::move(error)](Napi::Env env) {
      let_go();
      if (error) {
        deferred->Reject(to_js_error(env, *error).Value());
      } else {
        deferred->Resolve(env.Undefined());
      }
    });
  };
  return deferred->Promise();
}

template <class T>
Napi::Promise EngineHandle::promise(Napi::Env env, Engine::Reply<T>& reply) {
  const Deferred deferred = std::make_shared<Napi::Promise::Deferred>(env);
  hold();
  reply = [this, deferred](std::optional<Error> error, T value) {
    poster_->post(
        [this, deferred, error = std::move(error), value = std::move(value)](
            Napi::Env env) {
          let_go();
          if (error) {
            deferred->Reject(to_js_error(env, *error).Value());
          } else {
            deferred->Resolve(as_js(env, value));
          }
        });
  };
  return deferred->Promise();
}

Napi::Promise EngineHandle::load(
    EngineOptions options,
    Napi::Function on_progress,
    Napi::Function on_step) {
  const Napi::Env env = Env();
  poster_ = std::make_unique<Poster>(env, [this](Napi::Env e) { deliver(e); });
  // Properties, not persistent references: the callbacks lead back to this
  // object, and only the collector can see through such a ring.
  Value().DefineProperties(
      {Napi::PropertyDescriptor::Value(kOnProgress, on_progress),
       Napi::PropertyDescriptor::Value(kOnStep, on_step)});
  make_step_array(env);
  const Deferred deferred = std::make_shared<Napi::Promise::Deferred>(env);
  hold();
  engine_ = std::make_unique<Engine>(
      std::move(options),
      [this](double fraction) {
        poster_->post([this, fraction](Napi::Env env) {
          call(Value(), kOnProgress, {Napi::Number::New(env, fraction)});
        });
      },
      [this, deferred](std::optional<Error> error, const EngineInfo& info) {
        poster_->post([this, deferred, error, info](Napi::Env env) {
          const Napi::Object self = Value();
          let_go();
          if (error) {
            deferred->Reject(to_js_error(env, *error).Value());
            stop();
          } else {
            Napi::Object result = Napi::Object::New(env);
            result.Set("engine", self);
            result.Set("info", to_js(env, info));
            deferred->Resolve(result);
          }
        });
      },
      [this](StepEvents& events) {
        if (mailbox_.put(events)) {
          poster_->ring();
        }
      });
  return deferred->Promise();
}

/// One array for all calls: what a step brings is written into it.
void EngineHandle::make_step_array(Napi::Env env) {
  Napi::Int32Array array = Napi::Int32Array::New(env, kEventsPerCall * 3);
  step_array_ = array.Data();
  Value().DefineProperty(Napi::PropertyDescriptor::Value(kEvents, array));
}

/// As pairs of token and log-probability; ids are far below 2^24, up to where
/// floats have every integer.
Napi::Value EngineHandle::logprobs(Napi::Env env, size_t from, size_t to) {
  size_t n = 0;
  for (size_t i = from; i < to; i++) {
    n += delivered_.events[i].logprobs();
  }
  if (n == 0) {
    return env.Undefined();
  }
  auto array = Napi::Float32Array::New(env, 2 * n);
  for (size_t i = 0; i < n; i++) {
    const TokenLogprob& one = delivered_.logprobs[told_logprobs_ + i];
    array[2 * i] = static_cast<float>(one.token);
    array[2 * i + 1] = one.logprob;
  }
  told_logprobs_ += n;
  return array;
}

void EngineHandle::deliver(Napi::Env env) {
  mailbox_.take(delivered_);
  told_logprobs_ = 0;
  const Napi::Object self = Value(); // alive: not yet let go
  const Napi::Value array = self.Get(kEvents);
  const std::vector<StepEvent>& events = delivered_.events;
  size_t from = 0;
  do {
    const size_t n = std::min(kEventsPerCall, events.size() - from);
    std::memcpy(step_array_, events.data() + from, n * sizeof(StepEvent));
    const Napi::Value likely = logprobs(env, from, from + n);
    from += n;
    // A request's end comes behind its tokens.
    const bool last = from == events.size();
    const size_t ends = last ? delivered_.finished.size() : 0;
    Napi::Array finished = Napi::Array::New(env, ends);
    for (uint32_t i = 0; i < ends; i++) {
      finished.Set(i, to_js(env, delivered_.finished[i]));
      let_go(); // held since submit()
    }
    call(self, kOnStep, {array, Napi::Number::New(env, n), finished, likely});
  } while (from < events.size());
  delivered_.clear();
}

void EngineHandle::submit(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  e.submit(request(info[0].As<Napi::Object>()));
  hold(); // until its FinishEvent
}

void EngineHandle::cancel(const Napi::CallbackInfo& info) {
  engine(info.Env()).cancel(info[0].As<Napi::Number>().Int32Value());
}

Napi::Value EngineHandle::agents(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Reply<std::vector<AgentInfo>> reply;
  const Napi::Promise result = promise(info.Env(), reply);
  e.agents(std::move(reply));
  return result;
}

Napi::Value EngineHandle::create(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.create(text(info, 0), std::move(done));
  return result;
}

Napi::Value EngineHandle::load_agent(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.load(text(info, 0), std::move(done));
  return result;
}

Napi::Value EngineHandle::fork(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.fork(text(info, 0), text(info, 1), std::move(done));
  return result;
}

Napi::Value EngineHandle::save(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.save(text(info, 0), text(info, 1), std::move(done));
  return result;
}

Napi::Value EngineHandle::transcript(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Reply<std::string> reply;
  const Napi::Promise result = promise(info.Env(), reply);
  e.transcript(text(info, 0), std::move(reply));
  return result;
}

Napi::Value EngineHandle::evict(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.evict(text(info, 0), std::move(done));
  return result;
}

Napi::Value EngineHandle::remove(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.remove(text(info, 0), std::move(done));
  return result;
}

Napi::Value EngineHandle::stats(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Reply<EngineStats> reply;
  const Napi::Promise result = promise(info.Env(), reply);
  e.stats(std::move(reply));
  return result;
}

Napi::Value EngineHandle::silent_ms(const Napi::CallbackInfo& info) {
  // A closed engine keeps nobody waiting.
  const double ms = engine_ ? engine_->silent_ms() : 0;
  return Napi::Number::New(info.Env(), ms);
}

Napi::Value EngineHandle::set_vocabulary(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto ends = info[1].As<Napi::Int32Array>();
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.set_vocabulary(
      {bytes.Data(), bytes.Data() + bytes.ElementLength()},
      {ends.Data(), ends.Data() + ends.ElementLength()},
      std::move(done));
  return result;
}

Napi::Value EngineHandle::compile(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  e.compile(text(info, 0), std::move(done));
  return result;
}

void EngineHandle::set_batch_window(const Napi::CallbackInfo& info) {
  engine(info.Env()).set_batch_window(info[0].As<Napi::Number>().Int32Value());
}

Napi::Value EngineHandle::clear_caches(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  Engine::Done done;
  const Napi::Promise result = promise(info.Env(), done);
  const auto ids = info[1].As<Napi::Array>();
  std::set<std::string> keep;
  for (uint32_t i = 0; i < ids.Length(); i++) {
    keep.insert(ids.Get(i).As<Napi::String>().Utf8Value());
  }
  e.clear_caches(
      info[0].As<Napi::Boolean>().Value(), std::move(keep), std::move(done));
  return result;
}

Napi::Value EngineHandle::close(const Napi::CallbackInfo& info) {
  Engine& e = engine(info.Env());
  const Deferred deferred =
      std::make_shared<Napi::Promise::Deferred>(info.Env());
  hold();
  e.close([this, deferred](std::optional<Error> error) {
    poster_->post([this, deferred, error = std::move(error)](Napi::Env env) {
      engine_.reset(); // joins a thread that has nothing left to do
      let_go();
      if (error) {
        deferred->Reject(to_js_error(env, *error).Value());
      } else {
        deferred->Resolve(env.Undefined());
      }
    });
  });
  return deferred->Promise();
}

} // namespace stomp::binding

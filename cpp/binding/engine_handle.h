// The JavaScript object around one engine. JavaScript thread only; what comes
// from the engine thread arrives through the poster.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/step_mailbox.h"
#include "napi_cpp.h"
#include "poster.h"

namespace stomp::binding {

class EngineHandle : public Napi::ObjectWrap<EngineHandle> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit EngineHandle(const Napi::CallbackInfo& info);
  ~EngineHandle() override;

  /// Starts loading; the promise yields { engine, info }.
  Napi::Promise load(
      EngineOptions options,
      Napi::Function on_progress,
      Napi::Function on_step);

 private:
  using Deferred = std::shared_ptr<Napi::Promise::Deferred>;

  void submit(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value agents(const Napi::CallbackInfo& info);
  Napi::Value create(const Napi::CallbackInfo& info);
  Napi::Value fork(const Napi::CallbackInfo& info);
  Napi::Value load_agent(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value transcript(const Napi::CallbackInfo& info);
  Napi::Value evict(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value silent_ms(const Napi::CallbackInfo& info);
  Napi::Value set_vocabulary(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  void set_batch_window(const Napi::CallbackInfo& info);
  Napi::Value clear_caches(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  /// Throws a JavaScript error after close().
  Engine& engine(Napi::Env env);
  /// A promise, and the callback that settles it from the engine thread.
  Napi::Promise promise(Napi::Env env, Engine::Done& done);
  template <class T>
  Napi::Promise promise(Napi::Env env, Engine::Reply<T>& reply);
  /// While something is under way, neither the process nor this object ends.
  void hold();
  void let_go();
  void make_step_array(Napi::Env env);
  /// What the steps since the last call brought, in one call to JavaScript.
  void deliver(Napi::Env env);
  /// The log-probabilities of delivered events, from one to another; undefined
  /// where there are none.
  Napi::Value logprobs(Napi::Env env, size_t from, size_t to);
  void stop();

  static void on_teardown(void* self);

  StepMailbox mailbox_;
  StepEvents delivered_;          // kept to avoid allocation
  size_t told_logprobs_ = 0;      // of those delivered
  int32_t* step_array_ = nullptr; // the events property's elements

  std::unique_ptr<Poster> poster_;
  std::unique_ptr<Engine> engine_; // calls the poster: goes first
  napi_env env_;
};

} // namespace stomp::binding

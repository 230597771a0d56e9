#include "poster.h"

#include <memory>

namespace stomp::binding {

Poster::Poster(Napi::Env env) : env_(env) {
  napi_value name = Napi::String::New(env, "stomp-serve engine");
  const napi_status status = napi_create_threadsafe_function(
      env,
      nullptr,
      nullptr,
      name,
      0, // unbounded: an engine step is never made to wait for JavaScript
      1,
      nullptr,
      nullptr,
      nullptr,
      &Poster::call,
      &function_);
  if (status != napi_ok) {
    throw Napi::Error::New(env, "Cannot create the engine's callback.");
  }
  napi_unref_threadsafe_function(env_, function_);
}

Poster::~Poster() {
  abort();
}

void Poster::post(Closure closure) {
  auto boxed = std::make_unique<Closure>(std::move(closure));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!function_) {
    return;
  }
  const napi_status status = napi_call_threadsafe_function(
      function_, boxed.get(), napi_tsfn_nonblocking);
  if (status == napi_ok) {
    boxed.release(); // call() owns it now
  } else if (status == napi_closing) {
    function_ = nullptr; // this call has given our reference back
  }
}

void Poster::call(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Closure> closure(static_cast<Closure*>(data));
  if (env == nullptr) {
    return; // torn down with calls still queued
  }
  const Napi::HandleScope scope(env);
  try {
    (*closure)(Napi::Env(env));
  } catch (const Napi::Error&) {
    // Only a worker that is being terminated fails here: values can no longer
    // be made, and there is nobody left to tell.
  }
}

void Poster::hold() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (held_++ == 0 && function_) {
    napi_ref_threadsafe_function(env_, function_);
  }
}

void Poster::let_go() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--held_ == 0 && function_) {
    napi_unref_threadsafe_function(env_, function_);
  }
}

void Poster::abort() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (function_) {
    napi_release_threadsafe_function(function_, napi_tsfn_abort);
    function_ = nullptr;
  }
}

} // namespace stomp::binding

#include "poster.h"

namespace stomp::binding {

Poster::Poster(Napi::Env env, Closure on_ring)
    : env_(env), on_ring_(std::move(on_ring)) {
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
      this,
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
  queue(std::make_unique<Closure>(std::move(closure)));
}

void Poster::ring() {
  queue(nullptr);
}

void Poster::queue(std::unique_ptr<Closure> closure) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!function_) {
    return;
  }
  const napi_status status = napi_call_threadsafe_function(
      function_, closure.get(), napi_tsfn_nonblocking);
  if (status == napi_ok) {
    closure.release(); // call() owns it now
  } else if (status == napi_closing) {
    function_ = nullptr; // this call has given our reference back
  }
}

void Poster::call(napi_env env, napi_value, void* poster, void* data) {
  const std::unique_ptr<Closure> closure(static_cast<Closure*>(data));
  if (env == nullptr) {
    return; // torn down with calls still queued: the poster may be gone
  }
  const Napi::HandleScope scope(env);
  try {
    const Closure& run =
        closure ? *closure : static_cast<Poster*>(poster)->on_ring_;
    run(Napi::Env(env));
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

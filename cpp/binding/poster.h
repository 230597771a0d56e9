// From any thread to the JavaScript thread: one thread-safe function per
// engine that carries closures. REQUIRES: created, held() and let_go() and
// abort() on the JavaScript thread.
#pragma once

#include <functional>
#include <mutex>

#include "napi_cpp.h"

namespace stomp::binding {

class Poster {
 public:
  using Closure = std::function<void(Napi::Env)>;

  explicit Poster(Napi::Env env);
  ~Poster();

  Poster(const Poster&) = delete;
  Poster& operator=(const Poster&) = delete;

  /// Runs the closure on the JavaScript thread, in order. Any thread. Dropped
  /// when the environment is going away.
  void post(Closure closure);

  // The process stays alive while something is held: requests and promises
  // under way count, an idle engine does not.
  void hold();
  void let_go();

  /// Nothing is delivered after this.
  void abort();

 private:
  static void
  call(napi_env env, napi_value callback, void* context, void* data);

  napi_env env_;
  std::mutex mutex_;                            // guards function_
  napi_threadsafe_function function_ = nullptr; // null once it is closing
  int held_ = 0;
};

} // namespace stomp::binding

// From any thread to the JavaScript thread: one thread-safe function per
// engine that carries closures. REQUIRES: created, held() and let_go() and
// abort() on the JavaScript thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "napi_cpp.h"

namespace stomp::binding {

class Poster {
 public:
  using Closure = std::function<void(Napi::Env)>;

  /// `on_ring` runs on the JavaScript thread after ring().
  Poster(Napi::Env env, Closure on_ring);
  ~Poster();

  Poster(const Poster&) = delete;
  Poster& operator=(const Poster&) = delete;

  /// Runs the closure on the JavaScript thread, in order. Any thread. Dropped
  /// when the environment is going away.
  void post(Closure closure);

  /// Has on_ring called once, in order with what is posted. Costs no closure.
  /// Any thread; dropped as above.
  void ring();

  // The process stays alive while something is held: requests and promises
  // under way count, an idle engine does not.
  void hold();
  void let_go();

  /// Nothing is delivered after this.
  void abort();

 private:
  static void
  call(napi_env env, napi_value callback, void* context, void* data);

  /// Takes over `closure`, null for a ring, if the call could be queued.
  void queue(std::unique_ptr<Closure> closure);

  napi_env env_;
  const Closure on_ring_;
  std::mutex mutex_;                            // guards function_
  napi_threadsafe_function function_ = nullptr; // null once it is closing
  int held_ = 0;
};

} // namespace stomp::binding

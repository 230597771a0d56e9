// The one error type of the core. Thread-safe: immutable once thrown.
//
// Everything below the binding throws stomp::Error; the binding and the engine
// thread are the only places that catch. `code` is a contract with TypeScript
// (ts/errors.ts holds the same closed set); `what()` says what to do next.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace stomp {

enum class Code {
  kInvalidRequest,
  kContextOverflow,
  kPoolExhausted,
  kQueueFull,
  kAgentNotFound,
  kAgentExists,
  kIncompatibleCache,
  kCacheCorrupt,
  kCachePersistence,
  kCacheInUse,
  kModelNotFound,
  kModelInvalid,
  kModelUnsupported,
  kExecutorUnavailable,
  kShuttingDown,
  kCancelled,
  kGenerationFailed,
};

/// The wire name, for example "POOL_EXHAUSTED".
const char* code_name(Code code);

class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  Error(Code code, const std::string& message, Fields fields = {})
      : std::runtime_error(message), code_(code), fields_(std::move(fields)) {}

  Code code() const { return code_; }
  const Fields& fields() const { return fields_; }

 private:
  Code code_;
  Fields fields_;
};

/// `e` itself when it is one of ours, else its text under `otherwise`.
Error as_error(const std::exception& e, Code otherwise);

} // namespace stomp

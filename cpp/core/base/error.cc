#include "base/error.h"

namespace stomp {

const char* code_name(Code code) {
  switch (code) {
    case Code::kInvalidRequest:
      return "INVALID_REQUEST";
    case Code::kContextOverflow:
      return "CONTEXT_OVERFLOW";
    case Code::kPoolExhausted:
      return "POOL_EXHAUSTED";
    case Code::kQueueFull:
      return "QUEUE_FULL";
    case Code::kAgentNotFound:
      return "AGENT_NOT_FOUND";
    case Code::kAgentExists:
      return "AGENT_EXISTS";
    case Code::kIncompatibleCache:
      return "INCOMPATIBLE_CACHE";
    case Code::kCacheCorrupt:
      return "CACHE_CORRUPT";
    case Code::kCachePersistence:
      return "CACHE_PERSISTENCE";
    case Code::kCacheInUse:
      return "CACHE_IN_USE";
    case Code::kModelNotFound:
      return "MODEL_NOT_FOUND";
    case Code::kModelInvalid:
      return "MODEL_INVALID";
    case Code::kModelUnsupported:
      return "MODEL_UNSUPPORTED";
    case Code::kExecutorUnavailable:
      return "EXECUTOR_UNAVAILABLE";
    case Code::kShuttingDown:
      return "SHUTTING_DOWN";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kGenerationFailed:
      return "GENERATION_FAILED";
  }
  return "GENERATION_FAILED";
}

Error as_error(const std::exception& e, Code otherwise) {
  const Error* known = dynamic_cast<const Error*>(&e);
  return known ? *known : Error(otherwise, e.what());
}

} // namespace stomp

// Any bytes as JSON text, and as a config.json: read or refused with an Error.
#include "base/error.h"
#include "base/json.h"
#include "model/hf_config.h"
#include "replay.h"

namespace {

/// Every member can be found again under its key.
void walk(const stomp::Json& json) {
  if (const auto* items = json.array()) {
    for (const stomp::Json& item : *items) {
      walk(item);
    }
  }
  if (const auto* members = json.members()) {
    for (const auto& [key, value] : *members) {
      if (json.find(key) != &value) {
        std::abort();
      }
      walk(value);
    }
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    walk(stomp::parse_json(text, "input"));
    (void)stomp::parse_hf_config(text, "input");
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}

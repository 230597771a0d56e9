// The one wording of "we do not know this family". Pure; any thread.
#pragma once

#include <string>

#include "base/error.h"
#include "model/config.h"

namespace stomp {

inline Error unsupported_family(
    const std::string& what,
    const std::string& family) {
  std::string list;
  for (const std::string& known : supported_families()) {
    list += (list.empty() ? "" : ", ") + known;
  }
  return Error(
      Code::kModelUnsupported,
      what + ": model family '" + family +
          "' is not supported; supported: " + list,
      {{"family", family}, {"supported", list}});
}

} // namespace stomp

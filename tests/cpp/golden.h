// What mlx-lm answered, as fixtures/scripts wrote it down.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "check.h"

namespace golden_files {

/// Golden logits are rounded to six places; both sides compute in f32.
inline constexpr double kTolerance = 5e-4;

/// A file or folder below tests/fixtures.
inline std::string fixture(const std::string& name) {
  return std::string(STOMP_FIXTURES "/") + name;
}

inline stomp::Json golden(const std::string& name) {
  std::ifstream file(fixture("golden/" + name));
  std::ostringstream text;
  text << file.rdbuf();
  return stomp::parse_json(text.str(), name);
}

inline std::vector<int32_t> ids_of(const stomp::Json& json) {
  std::vector<int32_t> ids;
  for (const stomp::Json& id : *json.array()) {
    ids.push_back(static_cast<int32_t>(*id.integer()));
  }
  return ids;
}

inline std::vector<double> numbers_of(const stomp::Json& json) {
  std::vector<double> values;
  for (const stomp::Json& entry : *json.array()) {
    CHECK(entry.number(&values.emplace_back()));
  }
  return values;
}

} // namespace golden_files

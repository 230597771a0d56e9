// The members of a JSON object as config.json has them, each under the type
// that was asked for. Pure; any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace stomp {

/// Typed access to the members of one object; null counts as absent.
class Fields {
 public:
  Fields(const Json& json, std::string what)
      : json_(json), what_(std::move(what)) {}

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(Code::kModelInvalid, what_ + ": " + why);
  }
  [[noreturn]] void unsupported(const std::string& why) const {
    throw Error(Code::kModelUnsupported, what_ + ": " + why);
  }

  const Json* find(const std::string& key) const {
    const Json* json = json_.find(key);
    return json != nullptr && !json->is_null() ? json : nullptr;
  }

  std::optional<int> integer(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    const int64_t* value = json->integer();
    if (value == nullptr || *value < 0 ||
        *value > std::numeric_limits<int>::max()) {
      fail("'" + key + "' is not a whole number from 0 on");
    }
    return static_cast<int>(*value);
  }

  int required_integer(const std::string& key) const {
    const auto value = integer(key);
    if (!value) {
      fail("'" + key + "' is missing");
    }
    return *value;
  }

  double number(const std::string& key, double otherwise) const {
    const Json* json = find(key);
    double value = otherwise;
    if (json != nullptr && !json->number(&value)) {
      fail("'" + key + "' is " + json->kind() + ", a number was expected");
    }
    return value;
  }

  double positive(const std::string& key, double otherwise) const {
    const double value = number(key, otherwise);
    if (!(value > 0) || !std::isfinite(value)) {
      fail("'" + key + "' is not a positive number");
    }
    return value;
  }

  std::optional<bool> boolean(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    if (json->boolean() == nullptr) {
      fail("'" + key + "' is " + json->kind() + ", a boolean was expected");
    }
    return *json->boolean();
  }

  std::optional<std::string> string(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    if (json->string() == nullptr) {
      fail("'" + key + "' is " + json->kind() + ", a string was expected");
    }
    return *json->string();
  }

  const Json& json() const { return json_; }
  const std::string& what() const { return what_; }

 private:
  const Json& json_;
  std::string what_;
};

} // namespace stomp

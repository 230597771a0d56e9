// A small JSON reader (RFC 8259) for files that may be hostile: bounded in
// depth, size and number of values, strict about UTF-8, escapes, numbers and
// trailing bytes, and refusing duplicate keys. A parsed value is immutable;
// any thread may read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace stomp {

struct JsonLimits {
  size_t max_bytes = size_t{100} << 20;
  size_t max_values = size_t{4} << 20; // bounds memory at some 200 MB
  int max_depth = 64;
};

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;

  Json() = default;
  explicit Json(bool value) : value_(value) {}
  explicit Json(int64_t value) : value_(value) {}
  explicit Json(double value) : value_(value) {}
  explicit Json(std::string value) : value_(std::move(value)) {}
  explicit Json(Array value) : value_(std::move(value)) {}
  /// find() is defined when the keys are unique.
  explicit Json(std::vector<Member> members);

  bool is_null() const { return is<std::monostate>(); }
  bool is_object() const { return is<Object>(); }

  // Null when the value is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const std::string* string() const {
    return std::get_if<std::string>(&value_);
  }
  const Array* array() const { return std::get_if<Array>(&value_); }
  /// Members in the order of the text; null unless an object.
  const std::vector<Member>* members() const;
  /// A number without fraction or exponent that fits.
  const int64_t* integer() const { return std::get_if<int64_t>(&value_); }
  /// Any number; false when the value is not one.
  bool number(double* out) const;

  /// The member, or null when absent or when this is not an object.
  const Json* find(std::string_view key) const;

  /// A key that occurs twice, or null.
  const std::string* duplicate_key() const;

  /// "a number", "an object", ... for messages.
  const char* kind() const;

 private:
  struct Object {
    std::vector<Member> members;
    std::vector<uint32_t> by_key; // indices of members, sorted by key
  };
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(value_);
  }

  std::
      variant<std::monostate, bool, int64_t, double, std::string, Array, Object>
          value_;
};

/// Throws kModelInvalid, naming `what` and the byte offset.
Json parse_json(
    std::string_view text,
    const std::string& what,
    const JsonLimits& limits = {});

} // namespace stomp

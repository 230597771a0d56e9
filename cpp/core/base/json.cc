#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <locale>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/utf8.h"

namespace stomp {

Json::Json(std::vector<Member> members) {
  Object object;
  object.by_key.resize(members.size());
  std::iota(object.by_key.begin(), object.by_key.end(), 0u);
  std::sort(
      object.by_key.begin(), object.by_key.end(), [&](uint32_t a, uint32_t b) {
        return members[a].first < members[b].first;
      });
  object.members = std::move(members);
  value_ = std::move(object);
}

const std::vector<Json::Member>* Json::members() const {
  const auto* object = std::get_if<Object>(&value_);
  return object != nullptr ? &object->members : nullptr;
}

bool Json::number(double* out) const {
  if (const auto* i = std::get_if<int64_t>(&value_)) {
    *out = static_cast<double>(*i);
    return true;
  }
  if (const auto* d = std::get_if<double>(&value_)) {
    *out = *d;
    return true;
  }
  return false;
}

const Json* Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) {
    return nullptr;
  }
  const auto& index = object->by_key;
  const auto it = std::lower_bound(
      index.begin(), index.end(), key, [&](uint32_t i, std::string_view k) {
        return object->members[i].first < k;
      });
  if (it == index.end() || object->members[*it].first != key) {
    return nullptr;
  }
  return &object->members[*it].second;
}

const std::string* Json::duplicate_key() const {
  const auto* object = std::get_if<Object>(&value_);
  for (size_t i = 1; object != nullptr && i < object->by_key.size(); i++) {
    const std::string& key = object->members[object->by_key[i]].first;
    if (key == object->members[object->by_key[i - 1]].first) {
      return &key;
    }
  }
  return nullptr;
}

const char* Json::kind() const {
  constexpr const char* kNames[] = {
      "null",
      "a boolean",
      "an integer",
      "a number",
      "a string",
      "an array",
      "an object"};
  return kNames[value_.index()];
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/// Finite, whatever the process's locale; false on overflow.
bool to_double(std::string_view text, double* out) {
#if defined(__cpp_lib_to_chars)
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *out);
  if (error == std::errc::result_out_of_range) {
    // Too small is zero, too large an error; the sign of the exponent tells.
    const size_t e = text.find_first_of("eE");
    *out = 0;
    return e != text.npos && text[e + 1] == '-';
  }
  return error == std::errc() && at == end;
#else
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  stream >> *out;
  return stream.eof() && std::isfinite(*out);
#endif
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& what, JsonLimits limits)
      : text_(text), what_(what), limits_(limits) {}

  Json document() {
    if (text_.size() > limits_.max_bytes) {
      fail(
          "is larger than the limit of " + std::to_string(limits_.max_bytes) +
          " bytes");
    }
    Json json = value(0);
    space();
    if (at_ != text_.size()) {
      fail("more text after the value");
    }
    return json;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(
        Code::kModelInvalid,
        what_ + ": invalid JSON at byte " + std::to_string(at_) + ": " + why,
        {{"offset", std::to_string(at_)}});
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      at_++;
      return true;
    }
    return false;
  }

  void space() {
    while (at_ < text_.size() && is_space(text_[at_])) {
      at_++;
    }
  }

  Json value(int depth) {
    if (++n_values_ > limits_.max_values) {
      fail("more than " + std::to_string(limits_.max_values) + " values");
    }
    space();
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return Json(string());
      case 't':
        return word("true", Json(true));
      case 'f':
        return word("false", Json(false));
      case 'n':
        return word("null", Json());
      default:
        return number();
    }
  }

  Json word(std::string_view expected, Json json) {
    if (text_.substr(at_, expected.size()) != expected) {
      fail("a value was expected");
    }
    at_ += expected.size();
    return json;
  }

  void descend(int depth) {
    if (depth >= limits_.max_depth) {
      fail("nested deeper than " + std::to_string(limits_.max_depth));
    }
    at_++;
    space();
  }

  Json array(int depth) {
    descend(depth);
    Json::Array items;
    if (take(']')) {
      return Json(std::move(items));
    }
    do {
      items.push_back(value(depth + 1));
      space();
    } while (take(','));
    if (!take(']')) {
      fail("',' or ']' was expected");
    }
    return Json(std::move(items));
  }

  Json object(int depth) {
    descend(depth);
    std::vector<Json::Member> members;
    if (take('}')) {
      return Json(std::move(members));
    }
    do {
      space();
      if (peek() != '"') {
        fail("a key in quotes was expected");
      }
      std::string key = string();
      space();
      if (!take(':')) {
        fail("':' was expected");
      }
      members.emplace_back(std::move(key), value(depth + 1));
      space();
    } while (take(','));
    if (!take('}')) {
      fail("',' or '}' was expected");
    }
    Json json(std::move(members));
    if (const std::string* twin = json.duplicate_key()) {
      fail("the object before has the key '" + *twin + "' twice");
    }
    return json;
  }

  void digits() {
    if (!is_digit(peek())) {
      fail("a digit was expected");
    }
    while (is_digit(peek())) {
      at_++;
    }
  }

  Json number() {
    const size_t start = at_;
    if (!is_digit(peek()) && peek() != '-') {
      fail("a value was expected");
    }
    take('-');
    if (!take('0')) {
      digits();
    } else if (is_digit(peek())) {
      fail("a number begins with 0");
    }
    bool integral = true;
    if (take('.')) {
      integral = false;
      digits();
    }
    if (take('e') || take('E')) {
      integral = false;
      if (!take('-')) {
        take('+');
      }
      digits();
    }
    return convert(text_.substr(start, at_ - start), integral);
  }

  /// Integers that do not fit int64 become doubles.
  Json convert(std::string_view text, bool integral) const {
    int64_t whole = 0;
    const auto end = text.data() + text.size();
    if (integral &&
        std::from_chars(text.data(), end, whole).ec == std::errc()) {
      return Json(whole);
    }
    double real = 0;
    if (!to_double(text, &real)) {
      fail("a number out of range");
    }
    return Json(real);
  }

  std::string string() {
    at_++;
    std::string out;
    while (true) {
      const size_t start = at_;
      while (at_ < text_.size() && plain(text_[at_])) {
        at_++;
      }
      append_utf8(out, start);
      if (take('"')) {
        return out;
      }
      if (!take('\\')) {
        fail(
            at_ < text_.size() ? "a control character in a string"
                               : "a string without its closing quote");
      }
      escape(out);
    }
  }

  static bool plain(char c) {
    return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20;
  }

  void append_utf8(std::string& out, size_t start) {
    const std::string_view piece = text_.substr(start, at_ - start);
    const size_t good = valid_utf8_prefix(piece);
    if (good != piece.size()) {
      at_ = start + good;
      fail("a string is not UTF-8");
    }
    out += piece;
  }

  void escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    const char c = peek();
    if (c == 'u') {
      at_++;
      encode_utf8(code_point(), out);
      return;
    }
    const size_t i = kNames.find(c);
    if (c == '\0' || i == std::string_view::npos) {
      fail("an unknown escape");
    }
    at_++;
    out += kValues[i];
  }

  uint32_t hex4() {
    uint32_t unit = 0;
    const char* begin = text_.data() + at_;
    const char* end = begin + std::min<size_t>(4, text_.size() - at_);
    const auto [stop, error] = std::from_chars(begin, end, unit, 16);
    if (error != std::errc() || stop != begin + 4) {
      fail("four hex digits were expected");
    }
    at_ += 4;
    return unit;
  }

  uint32_t code_point() {
    const uint32_t unit = hex4();
    if (unit < 0xd800 || unit > 0xdfff) {
      return unit;
    }
    const bool pair = unit < 0xdc00 && take('\\') && take('u');
    const uint32_t low = pair ? hex4() : 0;
    if (low < 0xdc00 || low > 0xdfff) {
      fail("half of a surrogate pair");
    }
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }

  std::string_view text_;
  const std::string& what_;
  JsonLimits limits_;
  size_t at_ = 0;
  size_t n_values_ = 0;
};

} // namespace

Json parse_json(
    std::string_view text,
    const std::string& what,
    const JsonLimits& limits) {
  return Parser(text, what, limits).document();
}

} // namespace stomp

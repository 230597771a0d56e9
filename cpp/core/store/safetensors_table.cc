#include "store/safetensors_table.h"

#include <algorithm>

#include "base/json.h"

namespace stomp {

namespace {

constexpr int kMetadataDepth = 1; // strings in an object
// 18 digits fit int64: more are the JSON reader's.
constexpr int kMaxDigits = 18;

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  std::optional<SafetensorsTable> table() {
    if (!skip("{") || rest_.starts_with('}')) {
      return std::nullopt;
    }
    do {
      if (!member()) {
        return std::nullopt;
      }
    } while (skip(","));
    const bool ends = skip("}") &&
        rest_.find_first_not_of(" \n\t\r") == std::string_view::npos;
    return ends ? std::optional(std::move(table_)) : std::nullopt;
  }

 private:
  bool skip(std::string_view text) {
    if (!rest_.starts_with(text)) {
      return false;
    }
    rest_.remove_prefix(text.size());
    return true;
  }

  /// `n` more values than the JSON reader has seen so far.
  bool count(size_t n) {
    values_ += n;
    return values_ <= JsonLimits{}.max_values;
  }

  bool member() {
    std::string_view name;
    if (!skip("\"") || !string(&name) || !skip(":")) {
      return false;
    }
    return name == "__metadata__" ? metadata() : tensor(name);
  }

  /// Up to the closing quote; ASCII without escapes.
  bool string(std::string_view* out) {
    size_t n = 0;
    while (n < rest_.size() && rest_[n] != '"') {
      const auto c = static_cast<unsigned char>(rest_[n]);
      if (c < 0x20 || c >= 0x80 || c == '\\') {
        return false;
      }
      n++;
    }
    *out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return skip("\"");
  }

  bool metadata() {
    const size_t n = object_bytes();
    if (n == 0 || has_metadata_) {
      return false;
    }
    has_metadata_ = true;
    JsonLimits limits;
    limits.max_depth = kMetadataDepth;
    Json json;
    try {
      json = parse_json(rest_.substr(0, n), "__metadata__", limits);
    } catch (const Error&) {
      return false; // to be said with its place in the whole text
    }
    for (const auto& [key, value] : *json.members()) {
      if (value.string() == nullptr) {
        return false;
      }
      table_.metadata.emplace_back(key, *value.string());
    }
    rest_.remove_prefix(n);
    return count(1 + table_.metadata.size());
  }

  /// Of the object that begins here, if braces stand in its strings only; 0
  /// when there is none.
  size_t object_bytes() const {
    bool quoted = false;
    for (size_t i = 0; i < rest_.size() && rest_[0] == '{'; i++) {
      const char c = rest_[i];
      if (c == '"') {
        quoted = !quoted;
      } else if (c == '\\') {
        i++;
      } else if (c == '}' && !quoted) {
        return i + 1;
      }
    }
    return 0;
  }

  bool tensor(std::string_view name) {
    DeclaredTensor& t = table_.tensors.emplace_back();
    t.tensor.name = name;
    const bool read = skip("{\"dtype\":\"") && dtype(&t.tensor.dtype) &&
        skip(",\"shape\":[") && shape(&t.tensor.shape) &&
        skip(",\"data_offsets\":[") && number(&t.begin) && skip(",") &&
        number(&t.end) && skip("]}");
    // The object, its three fields, their numbers.
    return read && count(4 + t.tensor.shape.size() + 2);
  }

  bool dtype(Dtype* out) {
    std::string_view name;
    if (!string(&name)) {
      return false;
    }
    const std::optional<Dtype> found = dtype_named(name);
    *out = found.value_or(Dtype::kU8);
    return found.has_value();
  }

  bool shape(std::vector<uint64_t>* out) {
    if (skip("]")) {
      return true;
    }
    uint64_t dims[kMaxTensorDims];
    size_t n = 0;
    do {
      if (n == kMaxTensorDims || !number(&dims[n])) {
        return false;
      }
      n++;
    } while (skip(","));
    out->assign(dims, dims + n);
    return skip("]");
  }

  bool number(uint64_t* out) {
    const size_t most = std::min<size_t>(rest_.size(), kMaxDigits + 1);
    uint64_t value = 0;
    size_t n = 0;
    for (; n < most && rest_[n] >= '0' && rest_[n] <= '9'; n++) {
      value = 10 * value + static_cast<uint64_t>(rest_[n] - '0');
    }
    if (n == 0 || n > kMaxDigits || (n > 1 && rest_[0] == '0')) {
      return false;
    }
    *out = value;
    rest_.remove_prefix(n);
    return true;
  }

  std::string_view rest_;
  SafetensorsTable table_;
  bool has_metadata_ = false;
  size_t values_ = 1; // the header itself
};

} // namespace

std::optional<SafetensorsTable> scan_table(std::string_view header) {
  return Scanner(header).table();
}

} // namespace stomp

#include "store/safetensors_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "store/safetensors_table.h"

namespace stomp {

static_assert(
    std::endian::native == std::endian::little,
    "safetensors files are read in place");

namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// A header is an object of objects; its only arrays hold numbers.
constexpr int kMaxDepth = 4;

struct DtypeInfo {
  const char* name;
  size_t bytes;
};

/// In the order of the enumeration.
constexpr DtypeInfo kDtypes[] = {
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E4M3", 1},
    {"F8_E5M2", 1},
    {"F8_E8M0", 1},
    {"U16", 2},
    {"I16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"U32", 4},
    {"I32", 4},
    {"F32", 4},
    {"U64", 8},
    {"I64", 8},
    {"F64", 8},
    {"C64", 8},
};

/// What the parts of a header need to complain.
class Reader {
 public:
  Reader(const MappedFile& file, Code invalid)
      : file_(file), invalid_(invalid) {}

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(
        invalid_,
        file_.path() + ": invalid safetensors: " + why,
        {{"path", file_.path()}});
  }

  /// Length field and text together; leaves room for no doubt.
  size_t header_bytes() const {
    uint64_t n = 0;
    if (file_.size() < sizeof n) {
      fail("the file has no header");
    }
    std::memcpy(&n, file_.data(), sizeof n);
    if (n > kMaxHeaderBytes) {
      fail(
          "the header claims " + std::to_string(n) + " bytes, the limit is " +
          std::to_string(kMaxHeaderBytes));
    }
    if (n > file_.size() - sizeof n) {
      fail(
          "the header claims " + std::to_string(n) + " bytes, the file has " +
          std::to_string(file_.size() - sizeof n));
    }
    return sizeof n + static_cast<size_t>(n);
  }

  std::string_view text(size_t header_bytes) const {
    const char* text = reinterpret_cast<const char*>(file_.data()) + 8;
    return {text, header_bytes - 8};
  }

  Json parse(size_t header_bytes) const {
    JsonLimits limits;
    limits.max_depth = kMaxDepth;
    try {
      Json json = parse_json(text(header_bytes), "header", limits);
      if (json.is_object()) {
        return json;
      }
    } catch (const Error& e) {
      fail(e.what());
    }
    fail("the header is not a JSON object");
  }

  SafetensorsFile::Metadata metadata(const Json& json) const {
    SafetensorsFile::Metadata out;
    if (!json.is_object()) {
      fail("__metadata__ is not an object");
    }
    for (const auto& [key, value] : *json.members()) {
      if (value.string() == nullptr) {
        fail("__metadata__ '" + key + "' is not a string");
      }
      out.emplace_back(key, *value.string());
    }
    return out;
  }

  DeclaredTensor tensor(const std::string& name, const Json& json) const {
    const std::string who = "tensor '" + name + "'";
    DeclaredTensor t;
    t.tensor.name = name;
    t.tensor.dtype = dtype(json.find("dtype"), who);
    t.tensor.shape =
        naturals(json.find("shape"), kMaxTensorDims, who + ": shape");
    const auto ends =
        naturals(json.find("data_offsets"), 2, who + ": data_offsets");
    if (ends.size() != 2) {
      fail_offsets(t);
    }
    t.begin = ends[0];
    t.end = ends[1];
    return t;
  }

  /// `data` points at the tensor's bytes only once they are known to exist.
  SafetensorsTensor place(DeclaredTensor t, size_t header_bytes) const {
    const uint64_t data_bytes = file_.size() - header_bytes;
    if (t.begin > t.end) {
      fail_offsets(t);
    }
    if (t.end > data_bytes) {
      fail(
          who(t.tensor) + " ends at " + std::to_string(t.end) +
          ", the file has " + std::to_string(data_bytes) +
          " bytes of data; it is cut short or damaged");
    }
    t.tensor.bytes = t.end - t.begin;
    check_size(t.tensor);
    t.tensor.data = file_.data() + header_bytes + t.begin;
    return std::move(t.tensor);
  }

  /// One after the other, from the first byte of data to the last.
  void check_order(
      const std::vector<SafetensorsTensor>& tensors,
      size_t header_bytes) const {
    const std::byte* expected = file_.data() + header_bytes;
    for (const SafetensorsTensor& t : tensors) {
      if (t.data != expected) {
        fail(
            "tensor '" + t.name +
            (t.data < expected ? "' overlaps the one before it"
                               : "' leaves a hole before it"));
      }
      expected += t.bytes;
    }
    if (expected != file_.data() + file_.size()) {
      fail("there are bytes after the last tensor");
    }
  }

 private:
  static std::string who(const SafetensorsTensor& t) {
    return "tensor '" + t.name + "'";
  }

  [[noreturn]] void fail_offsets(const DeclaredTensor& t) const {
    fail(who(t.tensor) + ": data_offsets is not a pair of begin and end");
  }

  Dtype dtype(const Json* json, const std::string& who) const {
    if (json == nullptr || json->string() == nullptr) {
      fail(who + ": dtype is missing or not a string");
    }
    const auto dtype = dtype_named(*json->string());
    if (!dtype) {
      fail(who + " has the unknown dtype '" + *json->string() + "'");
    }
    return *dtype;
  }

  std::vector<uint64_t>
  naturals(const Json* json, size_t max, const std::string& what) const {
    if (json == nullptr || json->array() == nullptr) {
      fail(what + " is missing or not an array");
    }
    if (json->array()->size() > max) {
      fail(what + " has more than " + std::to_string(max) + " numbers");
    }
    std::vector<uint64_t> out;
    for (const Json& item : *json->array()) {
      if (item.integer() == nullptr || *item.integer() < 0) {
        fail(what + " holds something that is not a whole number from 0 on");
      }
      out.push_back(static_cast<uint64_t>(*item.integer()));
    }
    return out;
  }

  /// REQUIRES: t.bytes is no more than the file has.
  void check_size(const SafetensorsTensor& t) const {
    // A dimension of 0 makes the product 0 whatever the others are.
    const bool empty = std::count(t.shape.begin(), t.shape.end(), 0u) > 0;
    uint64_t bytes = empty ? 0 : dtype_bytes(t.dtype);
    for (size_t d = 0; d < t.shape.size() && !empty; d++) {
      if (t.shape[d] > t.bytes / bytes) {
        bytes = UINT64_MAX;
        break;
      }
      bytes *= t.shape[d];
    }
    if (bytes != t.bytes) {
      fail(
          who(t) + ": shape and dtype do not give the " +
          std::to_string(t.bytes) + " bytes that data_offsets does");
    }
  }

  const MappedFile& file_;
  Code invalid_;
};

const std::string& name_of(const SafetensorsTensor& t) {
  return t.name;
}

const std::string& name_of_declared(const DeclaredTensor& t) {
  return t.tensor.name;
}

/// The name's first bytes as a number: unless equal, they compare as names do.
uint64_t first_bytes(const std::string& name) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof value; i++) {
    value = value << 8 | (i < name.size() ? static_cast<uint8_t>(name[i]) : 0);
  }
  return value;
}

/// The tensors' indices in the order of their names; false when two have the
/// same name.
template <class T, class Name>
bool index(
    const std::vector<T>& tensors,
    Name name,
    std::vector<uint32_t>& by_name) {
  // Sorting goes by numbers, and looks at few names.
  std::vector<std::pair<uint64_t, uint32_t>> keys;
  keys.reserve(tensors.size());
  for (uint32_t i = 0; i < tensors.size(); i++) {
    keys.emplace_back(first_bytes(name(tensors[i])), i);
  }
  std::sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first
        ? a.first < b.first
        : name(tensors[a.second]) < name(tensors[b.second]);
  });
  bool unique = true;
  by_name.clear();
  for (const auto& [number, i] : keys) {
    unique &=
        by_name.empty() || name(tensors[by_name.back()]) != name(tensors[i]);
    by_name.push_back(i);
  }
  return unique;
}

} // namespace

const char* dtype_name(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].name;
}

std::optional<Dtype> dtype_named(std::string_view name) {
  for (size_t i = 0; i < std::size(kDtypes); i++) {
    if (name == kDtypes[i].name) {
      return static_cast<Dtype>(i);
    }
  }
  return std::nullopt;
}

size_t dtype_bytes(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].bytes;
}

SafetensorsFile::SafetensorsFile(
    const std::string& path,
    Code missing,
    Code invalid,
    Code unreadable)
    : file_(path, missing, invalid, unreadable) {
  const Reader reader(file_, invalid);
  header_bytes_ = reader.header_bytes();
  std::optional<SafetensorsTable> table =
      scan_table(reader.text(header_bytes_));
  if (table && index(table->tensors, name_of_declared, by_name_)) {
    metadata_ = std::move(table->metadata);
    tensors_.reserve(table->tensors.size());
    for (DeclaredTensor& t : table->tensors) {
      tensors_.push_back(reader.place(std::move(t), header_bytes_));
    }
  } else {
    const Json header = reader.parse(header_bytes_);
    for (const auto& [name, json] : *header.members()) {
      if (name == "__metadata__") {
        metadata_ = reader.metadata(json);
      } else {
        tensors_.push_back(
            reader.place(reader.tensor(name, json), header_bytes_));
      }
    }
    by_name_.clear();
  }
  // Empty tensors come before the one that begins where they lie.
  const auto before = [](const auto& a, const auto& b) {
    return std::pair(a.data, a.bytes) < std::pair(b.data, b.bytes);
  };
  if (!std::is_sorted(tensors_.begin(), tensors_.end(), before)) {
    std::stable_sort(tensors_.begin(), tensors_.end(), before);
    by_name_.clear();
  }
  reader.check_order(tensors_, header_bytes_);
  if (by_name_.empty()) {
    index(tensors_, name_of, by_name_);
  }
}

const std::string* SafetensorsFile::find_metadata(std::string_view key) const {
  for (const auto& [k, value] : metadata_) {
    if (k == key) {
      return &value;
    }
  }
  return nullptr;
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto it = std::lower_bound(
      by_name_.begin(),
      by_name_.end(),
      name,
      [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
  return it != by_name_.end() && tensors_[*it].name == name ? &tensors_[*it]
                                                            : nullptr;
}

} // namespace stomp

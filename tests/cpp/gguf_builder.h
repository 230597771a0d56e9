// Writes small GGUF files into strings, good ones and deliberately bad ones,
// and remembers where every count, length, type and offset lies so that tests
// can damage each of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

class GgufBuilder {
 public:
  enum Type : uint32_t {
    kU8,
    kI8,
    kU16,
    kI16,
    kU32,
    kI32,
    kF32,
    kBool,
    kString,
    kArray,
    kU64,
    kI64,
    kF64,
  };

  struct Field {
    size_t offset = 0;
    size_t width = 0; // bytes
  };

  uint32_t version = 3;
  uint64_t alignment = 32; // of the data; also write general.alignment

  template <class T>
  GgufBuilder& scalar(const std::string& key, Type type, T value) {
    Entry& entry = begin(key, type);
    put(entry, value);
    return *this;
  }
  GgufBuilder& u32(const std::string& key, uint32_t value) {
    return scalar(key, kU32, value);
  }
  GgufBuilder& f32(const std::string& key, float value) {
    return scalar(key, kF32, value);
  }
  GgufBuilder& string(const std::string& key, const std::string& value) {
    put_string(begin(key, kString), value);
    return *this;
  }
  GgufBuilder& strings(
      const std::string& key,
      const std::vector<std::string>& values) {
    Entry& entry = begin_array(key, kString, values.size());
    for (const std::string& value : values) {
      put_string(entry, value);
    }
    return *this;
  }
  template <class T>
  GgufBuilder&
  array(const std::string& key, Type type, const std::vector<T>& values) {
    Entry& entry = begin_array(key, type, values.size());
    for (const T& value : values) {
      put(entry, value);
    }
    return *this;
  }
  GgufBuilder& drop(const std::string& key) {
    std::erase_if(entries_, [&](const Entry& e) { return e.key == key; });
    return *this;
  }

  /// `data` is of whatever size: a wrong one makes a wrong file.
  GgufBuilder& tensor(
      const std::string& name,
      const std::vector<uint64_t>& dims,
      uint32_t type,
      const std::string& data) {
    tensors_.push_back({name, dims, type, data});
    return *this;
  }
  GgufBuilder& drop_tensor(const std::string& name) {
    std::erase_if(tensors_, [&](const Tensor& t) { return t.name == name; });
    return *this;
  }

  std::string build() {
    fields_.clear();
    std::string out = "GGUF";
    field(out, version);
    field(out, static_cast<uint64_t>(tensors_.size()));
    field(out, static_cast<uint64_t>(entries_.size()));
    for (const Entry& e : entries_) {
      append_string(out, e.key);
      for (const Field& f : e.fields) {
        fields_.push_back({out.size() + f.offset, f.width});
      }
      out += e.bytes;
    }
    uint64_t offset = 0;
    for (const Tensor& t : tensors_) {
      append_string(out, t.name);
      field(out, static_cast<uint32_t>(t.dims.size()));
      for (const uint64_t dim : t.dims) {
        field(out, dim);
      }
      field(out, t.type);
      field(out, offset);
      offset += padded(t.data.size());
    }
    header_bytes_ = out.size();
    for (const Tensor& t : tensors_) {
      out.resize(padded(out.size()));
      out += t.data;
    }
    return out;
  }

  /// Of the last build().
  const std::vector<Field>& fields() const { return fields_; }
  size_t header_bytes() const { return header_bytes_; }

 private:
  struct Entry {
    std::string key;
    std::string bytes;
    std::vector<Field> fields; // offsets within bytes
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type;
    std::string data;
  };

  size_t padded(size_t n) const {
    return (n + alignment - 1) / alignment * alignment;
  }

  template <class T>
  static void raw(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <class T>
  void field(std::string& out, T value) {
    fields_.push_back({out.size(), sizeof value});
    raw(out, value);
  }
  void append_string(std::string& out, std::string_view text) {
    field(out, static_cast<uint64_t>(text.size()));
    out += text;
  }

  template <class T>
  static void put(Entry& entry, T value) {
    raw(entry.bytes, value);
  }
  template <class T>
  static void put_field(Entry& entry, T value) {
    entry.fields.push_back({entry.bytes.size(), sizeof value});
    raw(entry.bytes, value);
  }
  static void put_string(Entry& entry, std::string_view text) {
    put_field(entry, static_cast<uint64_t>(text.size()));
    entry.bytes += text;
  }
  Entry& begin(const std::string& key, uint32_t type) {
    entries_.push_back({key, {}, {}});
    put_field(entries_.back(), type);
    return entries_.back();
  }
  Entry& begin_array(const std::string& key, Type type, uint64_t n) {
    Entry& entry = begin(key, kArray);
    put_field(entry, static_cast<uint32_t>(type));
    put_field(entry, n);
    return entry;
  }

  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
  std::vector<Field> fields_;
  size_t header_bytes_ = 0;
};

/// The little-endian number `value` over the field's bytes.
inline void
overwrite(std::string& bytes, const GgufBuilder::Field& field, uint64_t value) {
  std::memcpy(bytes.data() + field.offset, &value, field.width);
}

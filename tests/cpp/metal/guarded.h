// Memory whose ends are found out: what lies beyond is a page that must not be
// touched, or, on the other side, bytes that are looked at afterwards.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulator {

/// What a kernel did that a device need not survive.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Which end of the memory lies at a page that must not be touched.
enum class Edge { kBegin, kEnd };

class Guarded {
 public:
  /// All ones at first, which is a NaN of any type.
  Guarded(std::string name, size_t bytes, Edge edge);
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded();

  const std::string& name() const { return name_; }
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  void poison() { std::memset(data_, 0xff, size_); }

  template <typename T>
  std::span<T> as() const {
    return {reinterpret_cast<T*>(data_), size_ / sizeof(T)};
  }

  /// Whether `address` is in this memory or in the pages around it.
  bool surrounds(const void* address) const;
  /// "4 bytes after the end of keys".
  std::string place_of(const void* address) const;
  /// Throws Fault when the bytes beyond the unguarded end have changed.
  void check_surroundings() const;

 private:
  std::span<std::byte> slack() const;

  std::string name_;
  size_t size_;
  std::byte* data_ = nullptr;
  std::byte* map_ = nullptr;
  size_t map_bytes_ = 0;
};

/// All there are, for whoever has an address and asks whose it is.
const std::vector<const Guarded*>& all_guarded();

} // namespace emulator

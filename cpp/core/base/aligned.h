// Memory for tensors: whole pages from the system, zero, aligned and touched
// only when used, so that reserving a large pool costs address space and no
// memory. Move-only; not synchronised.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace stomp {

inline constexpr size_t kCacheLine = 64;

/// n rounded up to a multiple of `to`.
template <class T>
constexpr T round_up(T n, T to) {
  return (n + to - 1) / to * to;
}

class PageBuffer {
 public:
  PageBuffer() = default;
  /// Throws std::bad_alloc. `huge` asks for huge pages: for bytes that will
  /// all be used and are read from end to end.
  explicit PageBuffer(size_t bytes, bool huge = false);
  ~PageBuffer();

  PageBuffer(PageBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; } // bytes asked for

  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  std::byte* data_ = nullptr; // null when size_ is 0
  size_t size_ = 0;
};

/// Pieces of a few large buffers in huge pages, which pieces of a megabyte
/// would not have each for itself: the processor looks up one place where it
/// would look up hundreds. Zero, aligned to cache lines, and there for as long
/// as the arena.
class PageArena {
 public:
  /// Throws std::bad_alloc.
  std::byte* take(size_t bytes);
  template <class T>
  T* take_array(size_t n) {
    return reinterpret_cast<T*>(take(n * sizeof(T)));
  }
  size_t taken() const { return taken_; } // bytes

 private:
  std::vector<PageBuffer> buffers_;
  size_t used_ = 0; // of the last one
  size_t taken_ = 0;
};

/// Lets the system drop the pages that lie wholly inside [data, data + bytes)
/// if they are an unmodified, read-only mapping of a file, whose bytes come
/// back on the next access. Any other memory is left alone. Linux only;
/// elsewhere it does nothing. Returns the bytes given back.
size_t release_file_pages(const void* data, size_t bytes);

} // namespace stomp

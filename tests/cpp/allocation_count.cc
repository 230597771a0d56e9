#include "allocation_count.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t count = 0;

void* counted(std::size_t size, std::size_t alignment) noexcept {
  count++;
  // aligned_alloc wants whole multiples.
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  return alignment <= alignof(std::max_align_t)
      ? std::malloc(size ? size : 1)
      : std::aligned_alloc(alignment, whole ? whole : alignment);
}

void* counted_or_throw(std::size_t size, std::size_t alignment) {
  void* memory = counted(size, alignment);
  if (!memory) {
    throw std::bad_alloc();
  }
  return memory;
}

} // namespace

uint64_t stomp::test::allocations_of_this_thread() {
  return count;
}

// All forms there are: AddressSanitizer brings its own of those that are not
// replaced, and wants new and delete to be of one kind.
using Alignment = std::align_val_t;

void* operator new(std::size_t size) {
  return counted_or_throw(size, 1);
}
void* operator new[](std::size_t size) {
  return counted_or_throw(size, 1);
}
void* operator new(std::size_t size, Alignment alignment) {
  return counted_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, Alignment alignment) {
  return counted_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, 1);
}
void* operator new(
    std::size_t size,
    Alignment alignment,
    const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](
    std::size_t size,
    Alignment alignment,
    const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(alignment));
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, Alignment) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, Alignment) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete(void* memory, Alignment, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, Alignment) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, Alignment) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](
    void* memory,
    Alignment,
    const std::nothrow_t&) noexcept {
  std::free(memory);
}

#include "allocation_count.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t count = 0;

void* counted(std::size_t size, std::size_t alignment) {
  count++;
  // aligned_alloc wants whole multiples.
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t)
      ? std::malloc(size ? size : 1)
      : std::aligned_alloc(alignment, whole ? whole : alignment);
  if (!memory) {
    throw std::bad_alloc();
  }
  return memory;
}

} // namespace

uint64_t stomp::test::allocations_of_this_thread() {
  return count;
}

// The array forms and those that do not throw call these.
void* operator new(std::size_t size) {
  return counted(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

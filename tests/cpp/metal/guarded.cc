// See guarded.h.
#include "guarded.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace emulator {

namespace {

constexpr std::byte kUntouched{0xa5};

std::vector<const Guarded*>& registry() {
  // Never destroyed: what is guarded may be.
  static auto& all = *new std::vector<const Guarded*>;
  return all;
}

} // namespace

const std::vector<const Guarded*>& all_guarded() {
  return registry();
}

Guarded::Guarded(std::string name, size_t bytes, Edge edge)
    : name_(std::move(name)), size_(bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inner = (bytes + page - 1) / page * page + page;
  map_bytes_ = inner + 2 * page;
  void* map =
      mmap(nullptr, map_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) {
    throw std::bad_alloc();
  }
  map_ = static_cast<std::byte*>(map);
  if (mprotect(map_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(map_, map_bytes_);
    throw std::bad_alloc();
  }
  std::fill_n(map_ + page, inner, kUntouched);
  data_ = map_ + page + (edge == Edge::kEnd ? inner - bytes : 0);
  poison();
  registry().push_back(this);
}

Guarded::~Guarded() {
  std::erase(registry(), this);
  munmap(map_, map_bytes_);
}

bool Guarded::surrounds(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  return at >= map_ && at < map_ + map_bytes_;
}

std::string Guarded::place_of(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  if (at < data_) {
    return std::to_string(data_ - at) + " bytes before the begin of " + name_;
  }
  return std::to_string(at - data_ - static_cast<ptrdiff_t>(size_)) +
      " bytes after the end of " + name_;
}

std::span<std::byte> Guarded::slack() const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::byte* const begin = map_ + page;
  std::byte* const end = map_ + map_bytes_ - page;
  return data_ == begin ? std::span(data_ + size_, end)
                        : std::span(begin, data_);
}

void Guarded::check_surroundings() const {
  for (const std::byte& b : slack()) {
    if (b != kUntouched) {
      throw Fault("a write " + place_of(&b));
    }
  }
}

} // namespace emulator

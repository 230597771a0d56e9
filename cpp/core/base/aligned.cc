#include "base/aligned.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <new>

namespace stomp {

namespace {

#ifdef MADV_HUGEPAGE
constexpr size_t kHugePage = size_t{2} << 20;
#endif

#ifdef __linux__
struct Range {
  uintptr_t begin;
  uintptr_t end;
};

/// Calls f with the address range of every mapping of a file that this
/// process cannot have written to.
template <class F>
void each_read_only_file_mapping(F f) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (!maps) {
    return;
  }
  char line[512];
  bool whole = true; // the previous piece ended its line
  while (std::fgets(line, sizeof line, maps)) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    uint64_t inode = 0;
    char access[5] = "";
    const bool parsed = whole &&
        std::sscanf(
            line,
            "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %" SCNu64,
            &begin,
            &end,
            access,
            &inode) == 4;
    whole = false;
    for (const char* c = line; *c; c++) {
      whole = whole || *c == '\n';
    }
    if (parsed && inode != 0 && access[0] == 'r' && access[1] == '-') {
      f(Range{begin, end});
    }
  }
  std::fclose(maps);
}
#endif

} // namespace

PageBuffer::PageBuffer(size_t bytes, bool huge) : size_(bytes) {
  if (bytes == 0) {
    return;
  }
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p == MAP_FAILED) {
    throw std::bad_alloc();
  }
  data_ = static_cast<std::byte*>(p);
#ifdef MADV_HUGEPAGE
  if (huge && bytes >= kHugePage) {
    madvise(p, bytes, MADV_HUGEPAGE);
  }
#else
  (void)huge;
#endif
}

PageBuffer::~PageBuffer() {
  if (data_) {
    munmap(data_, size_);
  }
}

std::byte* PageArena::take(size_t bytes) {
  constexpr size_t kBufferBytes = size_t{32} << 20;
  const size_t piece = round_up(bytes, kCacheLine);
  if (buffers_.empty() || buffers_.back().size() - used_ < piece) {
    buffers_.emplace_back(piece > kBufferBytes ? piece : kBufferBytes, true);
    used_ = 0;
  }
  std::byte* at = buffers_.back().data() + used_;
  used_ += piece;
  taken_ += piece;
  return at;
}

size_t release_file_pages(const void* data, size_t bytes) {
#ifdef __linux__
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = round_up(from, page);
  const uintptr_t last = (from + bytes) / page * page;
  size_t released = 0;
  each_read_only_file_mapping([&](Range map) {
    const uintptr_t begin = first > map.begin ? first : map.begin;
    const uintptr_t end = last < map.end ? last : map.end;
    if (begin < end &&
        madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) ==
            0) {
      released += end - begin;
    }
  });
  return released;
#else
  (void)data;
  (void)bytes;
  return 0;
#endif
}

} // namespace stomp

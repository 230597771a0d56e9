// free_memory.h, where there is something to see: glibc's own allocator, which
// a sanitizer replaces.
#include "base/free_memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "check.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)

using namespace stomp;

namespace {

size_t resident_bytes() {
  FILE* file = std::fopen("/proc/self/statm", "r");
  size_t total = 0;
  size_t resident = 0;
  const int read = file ? std::fscanf(file, "%zu %zu", &total, &resident) : 0;
  if (file) {
    std::fclose(file);
  }
  CHECK_EQUAL(read, 2);
  return resident * 4096;
}

} // namespace

TEST("free memory: goes back although younger memory is in use") {
  constexpr size_t kPiece = 1024;
  constexpr size_t kMegabytes = 64;
  const size_t before = resident_bytes();
  std::vector<void*> pieces(kMegabytes << 10);
  for (void*& piece : pieces) {
    piece = std::malloc(kPiece);
    std::memset(piece, 1, kPiece);
  }
  void* kept = pieces.back();
  pieces.pop_back();
  for (void* piece : pieces) {
    std::free(piece);
  }
  CHECK(resident_bytes() > before + (kMegabytes << 19));
  return_free_memory();
  CHECK(resident_bytes() < before + (kMegabytes << 18));
  std::free(kept);
}

#endif

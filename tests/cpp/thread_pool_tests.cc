// Promises of base/thread_pool.h, base/aligned.h and base/cpu_features.h.
#include "base/thread_pool.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "base/aligned.h"
#include "base/cpu_features.h"
#include "check.h"

using stomp::PageBuffer;
using stomp::ThreadPool;

namespace {

/// Processor time of the whole process, in milliseconds.
double busy_ms() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return t.tv_sec * 1e3 + t.tv_usec / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

#ifdef __linux__
/// Resident memory of this process in bytes.
size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  size_t pages = 0;
  in >> pages >> pages;
  return pages * 4096;
}
#endif

} // namespace

TEST("thread pool: every index is visited exactly once, whatever the threads") {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    CHECK_EQUAL(pool.size(), threads);
    for (int n : {0, 1, 2, 7, 1000, 100000}) {
      std::vector<std::atomic<int>> visits(n);
      std::atomic<bool> stray{false};
      pool.run(n, [&](int i, int worker) noexcept {
        visits[i]++;
        stray = stray || worker < 0 || worker >= threads;
      });
      for (const auto& v : visits) {
        CHECK_EQUAL(v.load(), 1);
      }
      CHECK(!stray);
    }
  }
}

TEST("thread pool: a worker's number belongs to one thread at a time") {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<int> clashes{0};
  for (int round = 0; round < 200; round++) {
    pool.run(16, [&](int, int worker) noexcept {
      clashes += inside[worker]++ != 0;
      inside[worker]--;
    });
  }
  CHECK_EQUAL(clashes.load(), 0);
}

TEST(
    "thread pool: what a loop wrote is there for the next and for the caller") {
  ThreadPool pool(3);
  std::vector<int> values(257); // plain ints: a race would show under TSan
  for (int round = 1; round <= 2000; round++) {
    pool.run(257, [&](int i, int) noexcept { values[i] += 1; });
    CHECK_EQUAL(values[round % 257], round);
  }
}

#ifdef __linux__
TEST("thread pool: its threads have a name") {
  ThreadPool pool(2);
  std::atomic<int> named{0};
  std::atomic<int> met{0};
  pool.run(2, [&](int, int) noexcept {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof(name));
    named += std::strcmp(name, "stomp-compute") == 0;
    // Each thread has one of the two.
    for (met++; met < 2;) {
      std::this_thread::yield();
    }
  });
  CHECK_EQUAL(named.load(), 1); // the other one is the caller's
}
#endif

TEST("thread pool: a loop never waits for workers that are asleep") {
  ThreadPool pool(3);
  for (int round = 0; round < 20; round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> sum{0};
    pool.run(10, [&](int i, int) noexcept { sum += i; });
    CHECK_EQUAL(sum.load(), 45);
  }
}

TEST("thread pool: workers that lose their core between loops miss nothing") {
  // More threads than cores: many look at one loop and arrive at a later one.
  ThreadPool pool(7);
  for (int round = 0; round < 20000; round++) {
    std::atomic<int> sum{0};
    const int n = 2 + round % 40;
    pool.run_ranges(n, 1, [&](int begin, int end, int) noexcept {
      for (int i = begin; i < end; i++) {
        sum.fetch_add(i + 1, std::memory_order_relaxed);
      }
    });
    CHECK_EQUAL(sum.load(), n * (n + 1) / 2);
  }
}

TEST("thread pool: idle workers cost no processor time") {
  ThreadPool pool(3);
  pool.run(100, [](int, int) noexcept {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double before = busy_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Spinning workers would have burnt hundreds.
  CHECK(busy_ms() - before < 30);
}

TEST("thread pool: comes and goes cleanly, used or not") {
  for (int i = 0; i < 50; i++) {
    ThreadPool pool(1 + i % 4);
    if (i % 2) {
      pool.run(3, [](int, int) noexcept {});
    }
  }
}

TEST("page buffer: zero, page-aligned, and owned by whoever it moved to") {
  PageBuffer a(100000);
  CHECK_EQUAL(a.size(), size_t{100000});
  CHECK_EQUAL(reinterpret_cast<uintptr_t>(a.data()) % 4096, uintptr_t{0});
  for (size_t i = 0; i < a.size(); i += 997) {
    CHECK(a.data()[i] == std::byte{0});
  }
  a.data()[5] = std::byte{7};
  PageBuffer b(std::move(a));
  // NOLINTNEXTLINE(bugprone-use-after-move): what it is left with is promised
  CHECK(a.data() == nullptr);
  CHECK(b.data()[5] == std::byte{7});
  a = std::move(b);
  CHECK(a.data()[5] == std::byte{7});
  CHECK(PageBuffer(0).data() == nullptr);
}

TEST("page arena: pieces are zero, aligned, apart, and as large as asked") {
  stomp::PageArena arena;
  CHECK_EQUAL(arena.taken(), size_t{0});
  std::vector<std::byte*> pieces;
  const std::vector<size_t> sizes = {1, 64, 1000, size_t{40} << 20, 63, 4096};
  for (size_t i = 0; i < sizes.size(); i++) {
    std::byte* piece = arena.take(sizes[i]);
    CHECK_EQUAL(reinterpret_cast<uintptr_t>(piece) % 64, uintptr_t{0});
    for (size_t at = 0; at < sizes[i]; at += sizes[i] > 9999 ? 4096 : 1) {
      CHECK(piece[at] == std::byte{0});
    }
    piece[0] = piece[sizes[i] - 1] = static_cast<std::byte>(i + 1);
    pieces.push_back(piece);
  }
  for (size_t i = 0; i < sizes.size(); i++) {
    CHECK(pieces[i][0] == static_cast<std::byte>(i + 1));
    CHECK(pieces[i][sizes[i] - 1] == static_cast<std::byte>(i + 1));
  }
  CHECK(arena.taken() >= (size_t{40} << 20) + 5224);
}

#ifdef __linux__
TEST("page buffer: reserving gigabytes makes nothing resident") {
  const size_t before = resident_bytes();
  PageBuffer buffer(size_t{4} << 30);
  buffer.data()[size_t{3} << 30] = std::byte{1};
  CHECK(resident_bytes() < before + (size_t{8} << 20));
}

TEST("released file pages read the same again; other memory is left alone") {
  constexpr size_t kBytes = 1 << 20;
  std::FILE* file = std::tmpfile();
  CHECK(file != nullptr);
  const std::vector<char> content(kBytes, 'x');
  CHECK_EQUAL(std::fwrite(content.data(), 1, kBytes, file), kBytes);
  std::fflush(file);
  void* map = mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, fileno(file), 0);
  CHECK(map != MAP_FAILED);
  CHECK(std::memcmp(map, content.data(), kBytes) == 0);
  CHECK_EQUAL(stomp::release_file_pages(map, kBytes), kBytes);
  CHECK(std::memcmp(map, content.data(), kBytes) == 0);
  // A stretch that holds no whole page.
  CHECK_EQUAL(
      stomp::release_file_pages(static_cast<char*>(map) + 100, 4096),
      size_t{0});
  munmap(map, kBytes);
  std::fclose(file);
  const std::vector<char> heap(kBytes, 'y');
  CHECK_EQUAL(stomp::release_file_pages(heap.data(), kBytes), size_t{0});
  CHECK(heap[kBytes / 2] == 'y');
}
#endif

TEST("usable cores lie between one and what the machine has") {
  const int cores = stomp::usable_cores();
  CHECK(cores >= 1 && cores <= 32);
  CHECK(cores <= static_cast<int>(std::thread::hardware_concurrency()));
  const stomp::CpuFeatures& f = stomp::cpu_features();
  CHECK(!f.avx512vnni || f.avx2);
  CHECK(!f.amx || f.avx512vnni);
  CHECK(!f.dotprod || !f.avx2);
}

// What this machine can do at most: memory read rates and arithmetic peaks, on
// a number of threads at once. One binary for every processor: what it offers
// is found out at run time.
//
//   ceilings THREADS MODEL_BYTES
//
// prints one JSON object a line, {"name", "value", "unit"}; GB and GOP are
// powers of ten, one multiply-add counts as two operations.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "peaks.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

constexpr double kSeconds = 0.3;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Calls work(thread) on every thread until the time is over; work returns
/// how much it did. Returns the sum of the threads' rates per second.
template <class Work>
double rate(int threads, Work work) {
  std::atomic<int> ready{0};
  std::vector<double> rates(threads);
  const auto body = [&](int self) {
    work(self); // warm up: pages, caches, tile configuration
    ready++;
    while (ready.load() < threads) {
      std::this_thread::yield();
    }
    const auto start = Clock::now();
    double done = 0;
    do {
      done += work(self);
    } while (seconds_since(start) < kSeconds);
    rates[self] = done / seconds_since(start);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; i++) {
    others.emplace_back(body, i);
  }
  body(0);
  double sum = rates[0];
  for (int i = 1; i < threads; i++) {
    others[i - 1].join();
    sum += rates[i];
  }
  return sum;
}

void print(const char* name, double value, const char* unit) {
  std::printf(
      R"({"name":"%s","value":%.4g,"unit":"%s"})"
      "\n",
      name,
      value,
      unit);
  std::fflush(stdout);
}

/// Every thread reads its own share of one buffer, over and over.
void measure_read(const char* name, size_t bytes, int threads) {
  const size_t share = bytes / threads / 4096 * 4096;
  std::vector<std::vector<uint64_t>> shares(threads);
  std::vector<uint64_t> sink(threads * 8);
  const double bytes_per_second = rate(threads, [&](int self) {
    if (shares[self].empty()) {
      shares[self].resize(share / 8); // by its own thread: memory near to it
#if defined(__linux__)
      madvise(shares[self].data(), share, MADV_HUGEPAGE);
#endif
    }
    sink[self * 8] += read_all(shares[self].data(), share);
    return static_cast<double>(share);
  });
  print(name, bytes_per_second / 1e9, "GB/s");
}

void measure_peak(const Peak& peak, int threads) {
  if (!peak.available()) {
    return;
  }
  const double per_call = peak.ops_per_round * kRounds;
  const double ops = rate(threads, [&](int) {
    peak.run(kRounds);
    return per_call;
  });
  print(peak.name, ops / 1e9, "GOP/s");
}

/// Surely beyond the caches, and surely within the memory.
size_t large_bytes() {
  const size_t wanted = size_t{2} << 30;
#if defined(__linux__)
  const size_t free = static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) *
      static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return free / 2 < wanted ? free / 2 : wanted;
#else
  return wanted / 2;
#endif
}

} // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  const long long model = argc > 2 ? std::atoll(argv[2]) : 0;
  if (threads < 1 || threads > 1024 || model < 1 << 20) {
    std::fprintf(stderr, "usage: ceilings THREADS MODEL_BYTES\n");
    return 2;
  }
  measure_read("read model size", static_cast<size_t>(model), threads);
  measure_read("read memory", large_bytes(), threads);
  for (const Peak& peak : peaks()) {
    measure_peak(peak, threads);
  }
  return 0;
}

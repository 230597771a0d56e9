// The loop of operations that go row by row. Engine thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.h"

namespace stomp::cpu {

/// Calls f(row, worker) for rows [0, n) of `cols` elements, on all threads when
/// that pays. f throws nothing.
template <class F>
void each_row(ThreadPool& threads, int n, int cols, F f) {
  // Elements below which the caller does it alone.
  constexpr int64_t kFewElements = 2048;
  const int64_t elements = int64_t{n} * cols;
  if (elements < kFewElements) {
    for (int row = 0; row < n; row++) {
      f(row, 0);
    }
    return;
  }
  const int stride = std::max(1, n / (threads.size() * 8));
  threads.run((n + stride - 1) / stride, [&](int i, int worker) noexcept {
    for (int row = i * stride; row < std::min((i + 1) * stride, n); row++) {
      f(row, worker);
    }
  });
}

} // namespace stomp::cpu

// kv_tiles.h: where each element of a key goes, and that nothing else changes.
#include "exec/cpu/kv_tiles.h"

#include <vector>

#include "check.h"
#include "exec/cpu/kernels.h"

using namespace stomp::cpu;

namespace {

constexpr uint16_t kUntouched = 0xffff;
constexpr int kTokens[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40, 48, 64};
constexpr int kDims[] = {1, 7, 8, 9, 16, 20, 63, 64, 80, 128, 130};

/// Rows (n, dim) in which every element is another, `stride` apart.
std::vector<uint16_t> numbered(int n, int dim, size_t stride) {
  std::vector<uint16_t> rows(n * stride, kUntouched);
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < dim; d++) {
      rows[t * stride + d] = static_cast<uint16_t>(t * dim + d);
    }
  }
  return rows;
}

void check_round_trip(int n, int dim, size_t stride) {
  const std::vector<uint16_t> rows = numbered(n, dim, stride);
  const int tiles = (n + kTileTokens - 1) / kTileTokens;
  std::vector<uint16_t> all(
      static_cast<size_t>(tiles) * kTileTokens * dim, kUntouched);
  rows_to_tiles(rows.data(), stride, n, dim, all.data());
  for (int t = 0; t < tiles * kTileTokens; t++) {
    for (int d = 0; d < dim; d++) {
      const size_t tile = static_cast<size_t>(t / kTileTokens) * dim;
      const int expected = t < n ? t * dim + d : int{kUntouched};
      CHECK_EQUAL(
          int{all[(tile + d) * kTileTokens + t % kTileTokens]}, expected);
    }
  }
  std::vector<uint16_t> back(rows.size(), kUntouched);
  tiles_to_rows(all.data(), n, dim, back.data(), stride);
  CHECK(back == rows);
}

} // namespace

TEST("kv tiles: every element has its place, and comes back from there") {
  for (const int n : kTokens) {
    for (const int dim : kDims) {
      check_round_trip(n, dim, dim);
      check_round_trip(n, dim, 3 * dim + 1);
    }
  }
}

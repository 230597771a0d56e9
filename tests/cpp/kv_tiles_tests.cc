// kv_tiles.h: where each element of a key goes, and that nothing else changes.
#include "exec/cpu/kv_tiles.h"

#include <vector>

#include "check.h"
#include "exec/cpu/kernels.h"

using namespace stomp::cpu;

namespace {

/// What no element of the tests is, in so few bits.
template <class Element>
constexpr Element kUntouched = 0xff;
constexpr int kTokens[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40, 48, 64};
constexpr int kDims[] = {1, 7, 8, 9, 16, 20, 63, 64, 80, 128, 130};

/// Another for every element, as far as the bits go.
template <class Element>
Element number(int i) {
  return static_cast<Element>(sizeof(Element) > 1 ? 0x100 + i : i % 0xfb);
}

/// Rows (n, dim) of numbers, `stride` apart.
template <class Element>
std::vector<Element> numbered(int n, int dim, size_t stride) {
  std::vector<Element> rows(n * stride, kUntouched<Element>);
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < dim; d++) {
      rows[t * stride + d] = number<Element>(t * dim + d);
    }
  }
  return rows;
}

template <class Element>
void check_round_trip(int n, int dim, size_t stride) {
  const std::vector<Element> rows = numbered<Element>(n, dim, stride);
  const int tiles = (n + kTileTokens - 1) / kTileTokens;
  std::vector<Element> all(
      static_cast<size_t>(tiles) * kTileTokens * dim, kUntouched<Element>);
  rows_to_tiles(rows.data(), stride, n, dim, all.data());
  for (int t = 0; t < tiles * kTileTokens; t++) {
    for (int d = 0; d < dim; d++) {
      const size_t tile = static_cast<size_t>(t / kTileTokens) * dim;
      const int expected =
          t < n ? number<Element>(t * dim + d) : kUntouched<Element>;
      CHECK_EQUAL(
          int{all[(tile + d) * kTileTokens + t % kTileTokens]}, expected);
    }
  }
  std::vector<Element> back(rows.size(), kUntouched<Element>);
  tiles_to_rows(all.data(), n, dim, back.data(), stride);
  CHECK(back == rows);
}

} // namespace

TEST("kv tiles: every element has its place, and comes back from there") {
  for (const int n : kTokens) {
    for (const int dim : kDims) {
      for (const int stride : {dim, 3 * dim + 1}) {
        check_round_trip<uint16_t>(n, dim, stride);
        check_round_trip<uint8_t>(n, dim, stride);
      }
    }
  }
}

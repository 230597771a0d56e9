// Products of bf16 on the matrix units, against double precision. Products of
// what is bf16 already are exact: only their f32 sums are judged.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernel_weights.h"

using namespace kernel_checks;

namespace {

/// Rows and two panels of bf16, random.
struct Product {
  Product(int n_rows, int n_k, uint32_t seed)
      : n_rows(n_rows), n_k(n_k), tiles(n_rows, n_k * kTileK) {
    Random random(seed);
    for (int r = 0; r < n_rows; r++) {
      for (int k = 0; k < n_k * kTileK; k++) {
        tiles.at(r, k) = stomp::f32_to_bf16(random(-2, 2));
      }
    }
    for (auto& panel : panels) {
      for (int i = 0; i < n_k * kTileElements; i++) {
        panel.push_back(stomp::f32_to_bf16(random(-1, 1)));
      }
    }
  }

  int row_tiles() const { return (n_rows + kTileRows - 1) / kTileRows; }

  /// K tiles of each call; (rows, kStride), `start` before the first.
  static constexpr size_t kStride = 2 * kBlockColumns + 5;
  std::vector<float>
  run(const TileKernels& kernels, int panel_tiles, float start, bool add) {
    std::vector<float> y(row_tiles() * kTileRows * kStride, start);
    for (int k = 0; k < n_k; k += panel_tiles) {
      TileProduct p;
      p.rows = tiles.rows();
      p.first_k = k;
      p.n_k = std::min(panel_tiles, n_k - k);
      p.row_tiles = row_tiles();
      for (int i = 0; i < 2; i++) {
        p.panels[i] = panels[i].data() + k * kTileElements;
        p.out[i] = {y.data() + i * kBlockColumns, kStride, add || k > 0};
      }
      kernels.multiply(p);
    }
    return y;
  }

  int n_rows, n_k;
  Tiles tiles;
  std::vector<uint16_t> panels[2];
};

/// Products of bf16 are exact in f32 and are added up one after the other: K
/// roundings of at most 2^-24 of all that is added, and one for `start`.
void check_product(Product& p, const std::vector<float>& y, double start) {
  const int cols = p.n_k * kTileK;
  for (int r = 0; r < p.n_rows; r++) {
    for (int c = 0; c < 2 * kBlockColumns; c++) {
      const auto& panel = p.panels[c / kBlockColumns];
      double want = start;
      double size = std::fabs(start);
      for (int k = 0; k < cols; k++) {
        const float x = stomp::bf16_to_f32(p.tiles.at(r, k));
        const float w =
            stomp::bf16_to_f32(panel[panel_at(c % kBlockColumns, k)]);
        want += double{x} * w;
        size += std::fabs(double{x} * w);
      }
      check_close(
          y[r * Product::kStride + c],
          want,
          (cols + 1) * 0x1p-24 * size,
          "product");
    }
  }
}

} // namespace

TEST("cpu kernels: tile products of 1 to 5 row tiles, added or not") {
  const TileKernels* kernels = tile_kernels();
  for (int rows : {1, 7, 16, 17, 33, 48, 80}) {
    if (!kernels) {
      return;
    }
    for (int n_k : {1, 2, 18, 19}) {
      Product p(rows, n_k, rows + n_k);
      const auto y = p.run(*kernels, n_k, 99, false);
      check_product(p, y, 0);
      check_product(p, p.run(*kernels, n_k, 3, true), 3);
      for (int r = 0; r < rows; r++) {
        for (size_t c = 2 * kBlockColumns; c < Product::kStride; c++) {
          CHECK_EQUAL(y[r * Product::kStride + c], 99.0f);
        }
      }
    }
  }
}

TEST("cpu kernels: tile products cut into panels of K are the same bits") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  Product p(33, 40, 4);
  const auto whole = p.run(*kernels, 40, 0, false);
  check_product(p, whole, 0);
  const auto rows = [&](const std::vector<float>& y) {
    return std::vector<float>(
        y.begin(), y.begin() + p.n_rows * Product::kStride);
  };
  for (int panel : {1, 7, 18}) {
    CHECK(same_bits(rows(p.run(*kernels, panel, 0, false)), rows(whole)));
  }
}

TEST("cpu kernels: few row tiles are multiplied the same while widening") {
  const TileKernels* kernels = tile_kernels();
  for (int bits : {2, 4, 8, 0}) { // 0: E2M1
    if (!kernels) {
      return;
    }
    for (int cols : {32, 96, 576}) {
      const QuantisedWeights w(
          bits ? layout_of(cols, bits, 32, false, true) : e2m1_layout(cols),
          bits ? bits : 4,
          1);
      const auto block = w.pack();
      for (int rows : {1, 16, 17, 40, 64}) {
        Product p(rows, cols / kTileK, rows);
        for (auto& panel : p.panels) {
          kernels->widen_quantised(
              w.layout, block.data(), 0, p.n_k, panel.data());
        }
        for (bool add : {false, true}) {
          const auto want = p.run(*kernels, p.n_k, 3, add);
          auto y = std::vector<float>(want.size(), 3);
          for (int i = 0; i < 2; i++) {
            kernels->multiply_quantised(
                w.layout,
                block.data(),
                p.tiles.rows(),
                p.row_tiles(),
                {y.data() + i * kBlockColumns, Product::kStride, add});
          }
          CHECK(same_bits(y, want));
        }
      }
    }
  }
}

TEST("cpu kernels: a row of a tile product does not depend on the others") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  Product p(48, 5, 5);
  const auto together = p.run(*kernels, 5, 0, false);
  for (int r = 0; r < p.n_rows; r++) {
    // Alone, in another place, among rows that are no numbers.
    Product one(1, 5, 5);
    one.tiles = Tiles(48, 5 * kTileK);
    one.n_rows = 48;
    const int place = (r + 19) % 48;
    for (int k = 0; k < 5 * kTileK; k++) {
      one.tiles.at(place, k) = p.tiles.at(r, k);
    }
    one.panels[0] = p.panels[0];
    one.panels[1] = p.panels[1];
    const auto alone = one.run(*kernels, 5, 0, false);
    CHECK(std::equal(
        alone.begin() + place * Product::kStride,
        alone.begin() + place * Product::kStride + 2 * kBlockColumns,
        together.begin() + r * Product::kStride));
    CHECK(std::isnan(alone[(place + 1) % 48 * Product::kStride]));
  }
}

TEST("cpu kernels: tile products of what is no number are none, in that row") {
  const TileKernels* kernels = tile_kernels();
  if (!kernels) {
    return;
  }
  for (float bad : {kNan, kInf, -kInf}) {
    Product p(20, 3, 6);
    p.tiles.at(9, 50) = stomp::f32_to_bf16(bad);
    p.panels[1][panel_at(4, 10)] = stomp::f32_to_bf16(bad);
    const auto y = p.run(*kernels, 3, 0, false);
    for (int r = 0; r < 20; r++) {
      for (int c = 0; c < 2 * kBlockColumns; c++) {
        const bool spoilt = r == 9 || c == kBlockColumns + 4;
        CHECK_EQUAL(std::isfinite(y[r * Product::kStride + c]), !spoilt);
      }
    }
  }
}

// The linear kernels of every table against double precision on awkward
// shapes; and all tables against each other, to the bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernel_weights.h"

using namespace kernel_checks;

// ---- quantised ----

namespace {

constexpr size_t kStride = kBlockColumns + 3;

/// Random rows, the first of which has the largest codes there are.
std::vector<float> random_rows(int n, int cols, uint32_t seed) {
  Random random(seed);
  auto x = random.vector(static_cast<size_t>(n) * cols, -2, 2);
  std::fill_n(x.begin(), std::min(cols, 2 * kGroup), 1.0f);
  return x;
}

/// What the layer comes to in double precision, from the codes as they are.
struct Expected {
  double value = 0;
  double size = 0; // of all that is added up, whatever its sign
};

Expected
expected(const QuantisedWeights& w, const Quantised& q, int row, int column) {
  Expected e;
  for (int k = 0; k < w.layout.cols; k++) {
    const double x = double{q.scale(row, k)} * q.code(row, k);
    e.value += w.weight(column, k) * x;
    e.size += std::fabs(w.weight(column, k) * x);
  }
  return e;
}

std::vector<float> run_linear(
    const Kernels& kernels,
    const QuantisedWeights& w,
    const Quantised& q,
    const std::vector<std::byte>& block,
    bool add) {
  std::vector<float> y(q.n * kStride, 99.0f);
  for (size_t i = 0; i < y.size() && add; i++) {
    y[i] = i % kStride < kBlockColumns ? 0.5f * static_cast<float>(i) : 99.0f;
  }
  kernels.linear_quantised(
      w.layout, block.data(), q.rows, q.n, {y.data(), kStride, add});
  return y;
}

void check_numbers(
    const QuantisedWeights& w,
    const Quantised& q,
    const std::vector<float>& y) {
  for (int r = 0; r < q.n; r++) {
    for (int c = 0; c < kBlockColumns; c++) {
      const Expected want = expected(w, q, r, c);
      check_close(y[r * kStride + c], want.value, 1e-6 * want.size, "linear");
    }
    for (size_t c = kBlockColumns; c < kStride; c++) {
      CHECK_EQUAL(y[r * kStride + c], 99.0f);
    }
  }
}

/// Adding is one addition more, of the whole result.
void check_added(const std::vector<float>& y, const std::vector<float>& added) {
  for (size_t i = 0; i < y.size(); i++) {
    if (i % kStride < kBlockColumns) {
      CHECK_EQUAL(added[i], 0.5f * static_cast<float>(i) + y[i]);
    } else {
      CHECK_EQUAL(added[i], 99.0f);
    }
  }
}

void check_alone(
    const Kernels& kernels,
    const QuantisedWeights& w,
    const Quantised& q,
    const std::vector<std::byte>& block,
    const std::vector<float>& y) {
  for (int r = 0; r < q.n; r++) {
    std::vector<float> alone(kStride, 99.0f);
    kernels.linear_quantised(
        w.layout, block.data(), q.rows.from(r), 1, {alone.data(), kStride});
    CHECK(
        std::memcmp(
            alone.data(), y.data() + r * kStride, kStride * sizeof(float)) ==
        0);
  }
}

void check_quantised(const QuantisedWeights& w, int n_rows, uint32_t seed) {
  const auto x = random_rows(n_rows, w.layout.cols, seed);
  const auto block = w.pack();
  on_every_table([&](const Kernels& kernels) {
    const Quantised q(kernels, x, w.layout.cols);
    const auto y = run_linear(kernels, w, q, block, false);
    check_numbers(w, q, y);
    check_added(y, run_linear(kernels, w, q, block, true));
    check_alone(kernels, w, q, block, y);
    return y;
  });
}

} // namespace

TEST("cpu kernels: quantised linear, 1 to 34 rows of 576, alone or together") {
  for (int rows = 1; rows <= 34; rows++) {
    for (int bits : {4, 8}) {
      const auto layout = layout_of(576, bits, 32, false, bits == 4);
      check_quantised(QuantisedWeights(layout, bits, rows), rows, rows);
    }
  }
}

TEST("cpu kernels: quantised linear in every width, group and form of scale") {
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (int group : {32, 64, 128}) {
      for (bool f32 : {false, true}) {
        for (bool biases : {false, true}) {
          const auto layout = layout_of(3 * group, bits, group, f32, biases);
          check_quantised(QuantisedWeights(layout, bits, bits), 3, bits);
          check_quantised(QuantisedWeights(layout, bits, bits), 9, bits);
        }
      }
    }
  }
}

TEST("cpu kernels: quantised linear of E2M1, 1 to 20 rows") {
  for (int rows = 1; rows <= 20; rows++) {
    check_quantised(QuantisedWeights(e2m1_layout(160), 4, rows), rows, rows);
  }
}

TEST("cpu kernels: quantised linear of one group, and of long rows") {
  for (int cols : {32, 512, 544, 1056, 4096}) {
    check_quantised(
        QuantisedWeights(layout_of(cols, 4, 32, false, true), 4, cols),
        2,
        cols);
    check_quantised(
        QuantisedWeights(layout_of(cols, 8, 32, true, true), 8, cols),
        10,
        cols);
  }
}

namespace {

/// All weights `top`, which `code` stands for under a scale of one: every
/// result is an integer below 2^24, and exact.
void check_largest(QuantisedWeights w, int code, float bias, int top) {
  const int cols = w.layout.cols;
  std::fill(w.codes.begin(), w.codes.end(), static_cast<uint8_t>(code));
  std::fill(w.scales.begin(), w.scales.end(), 1.0f);
  std::fill(w.biases.begin(), w.biases.end(), bias);
  std::vector<float> x;
  std::vector<float> want;
  // All up, all down, and signs that change every 1, 2, 4, ... K.
  for (int period : {0, 0, 1, 2, 4, 8, 16, 32, 64}) {
    const float sign = x.empty() ? 127.0f : -127.0f;
    double sum = 0;
    for (int k = 0; k < cols; k++) {
      x.push_back(period && k / period % 2 ? 127.0f : sign);
      sum += double{x.back()} * top;
    }
    want.push_back(static_cast<float>(sum));
  }
  const auto block = w.pack();
  on_every_table([&](const Kernels& kernels) {
    const Quantised q(kernels, x, cols);
    const auto y = run_linear(kernels, w, q, block, false);
    for (int r = 0; r < q.n; r++) {
      CHECK_EQUAL(q.scale(r, 0), 1.0f);
      for (int c = 0; c < kBlockColumns; c++) {
        CHECK_EQUAL(y[r * kStride + c], want[r]);
      }
    }
    return y;
  });
}

} // namespace

TEST("cpu kernels: the largest codes there are saturate no sum") {
  for (int bits : {2, 4, 8}) {
    const int top = (1 << bits) - 1;
    const auto layout = layout_of(512, bits, 32, false, true);
    check_largest(QuantisedWeights(layout, bits, 1), top, 0, top);
  }
  // Of E2M1 the largest is 6, and counts twice.
  check_largest(QuantisedWeights(e2m1_layout(512), 4, 1), 7, -12, 12);
}

TEST("cpu kernels: what is no number reaches its own row's results alone") {
  const int cols = 96;
  const QuantisedWeights w(layout_of(cols, 4, 32, false, true), 4, 3);
  const auto block = w.pack();
  for (float bad : {kNan, kInf, -kInf}) {
    auto x = random_rows(20, cols, 3);
    x[size_t{7} * cols + 40] = bad;
    for (const Kernels* kernels : available_kernels()) {
      const Quantised q(*kernels, x, cols);
      const auto y = run_linear(*kernels, w, q, block, false);
      for (int r = 0; r < 20; r++) {
        for (int c = 0; c < kBlockColumns; c++) {
          CHECK_EQUAL(std::isfinite(y[r * kStride + c]), r != 7);
        }
      }
    }
  }
}

// ---- dense ----

namespace {

void check_dense(DenseType type, int cols, int n_rows, int columns) {
  const DenseWeights w({cols, type}, columns, cols + n_rows);
  const auto block = w.pack();
  Random random(n_rows);
  const auto x = random.vector(static_cast<size_t>(n_rows) * cols, -2, 2);
  on_every_table([&](const Kernels& kernels) {
    std::vector<std::byte> scratch(kernels.linear_scratch_bytes);
    const auto run = [&](const float* rows, int n, float start, bool add) {
      std::vector<float> y(n * kStride, start);
      kernels.linear_dense(
          w.layout,
          block.data(),
          rows,
          n,
          {y.data(), kStride, add},
          scratch.data());
      return y;
    };
    const auto y = run(x.data(), n_rows, 99, false);
    const auto added = run(x.data(), n_rows, 3, true);
    for (int r = 0; r < n_rows; r++) {
      const float* row = x.data() + static_cast<size_t>(r) * cols;
      for (int c = 0; c < kBlockColumns; c++) {
        double want = 0;
        for (int k = 0; k < cols; k++) {
          want += w.weight(c, k) * row[k];
        }
        check_close(y[r * kStride + c], want, 1e-6 * cols, "dense linear");
        check_close(
            added[r * kStride + c], want + 3, 1e-6 * (cols + 3), "added");
      }
      CHECK_EQUAL(y[r * kStride + kBlockColumns], 99.0f);
      const auto alone = run(row, 1, 99, false);
      CHECK(std::equal(alone.begin(), alone.end(), y.begin() + r * kStride));
      const auto alone_added = run(row, 1, 3, true);
      CHECK(std::equal(
          alone_added.begin(), alone_added.end(), added.begin() + r * kStride));
    }
    return y;
  });
}

} // namespace

TEST("cpu kernels: dense linear in every type, odd widths, rows alone or not") {
  for (DenseType type : {DenseType::kF32, DenseType::kF16, DenseType::kBF16}) {
    for (int rows = 1; rows <= 17; rows++) {
      check_dense(type, 51, rows, 16);
    }
    check_dense(type, 1, 3, 1);
    check_dense(type, 576, 5, 7);
    check_dense(type, 512, 9, 16);
    check_dense(type, 1026, 11, 16);
  }
}

// Every kernel but attention, of every table, against double precision on
// awkward shapes; and all tables against each other, to the bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "kernel_checks.h"

using namespace kernel_checks;

namespace {

/// Activations quantised by a table, with the memory they lie in.
struct Quantised {
  Quantised(const Kernels& kernels, const std::vector<float>& x, int cols)
      : codes(x.size() * kernels.code_bytes),
        scales(x.size() / kGroup),
        sums(x.size() / kGroup) {
    rows = {codes.data(), scales.data(), sums.data(), cols};
    for (size_t r = 0; r < x.size() / cols; r++) {
      kernels.quantise_row(
          x.data() + r * cols,
          rows.from(static_cast<int>(r), kernels.code_bytes));
    }
  }
  int code(size_t i) const {
    int16_t value;
    std::memcpy(&value, codes.data() + i * sizeof value, sizeof value);
    return value;
  }

  std::vector<std::byte> codes;
  std::vector<float> scales;
  std::vector<float> sums;
  QuantisedRows rows;
};

} // namespace

// ---- choice ----

TEST("cpu kernels: the best table by default, each by name, others refused") {
  CHECK_EQUAL(
      std::string(choose_kernels("").isa),
      std::string(available_kernels().front()->isa));
  for (const Kernels* kernels : available_kernels()) {
    CHECK(&choose_kernels(kernels->isa) == kernels);
  }
  CHECK_EQUAL(
      std::string(available_kernels().back()->isa), std::string("portable"));
  CHECK_ERROR(choose_kernels("vax"), stomp::Code::kExecutorUnavailable);
}

// ---- rows ----

TEST("cpu kernels: rms_norm") {
  for (int n : {1, 15, 16, 17, 50, 576, 1536}) {
    Random random(n);
    const auto x = random.vector(n, -3, 3);
    const auto w = random.vector(n, 0.5, 1.5);
    on_every_table([&](const Kernels& kernels) {
      std::vector<float> y(n);
      kernels.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
      double squares = 0;
      for (float v : x) {
        squares += double{v} * v;
      }
      const double scale = 1 / std::sqrt(squares / n + 1e-5);
      for (int i = 0; i < n; i++) {
        const double want = x[i] * scale * w[i];
        check_close(y[i], want, 2e-6 * std::fabs(want), "rms_norm");
      }
      return y;
    });
  }
}

TEST("cpu kernels: silu_mul, its exponential within 4e-7 from -60 to 60") {
  std::vector<float> gate;
  for (int i = -60000; i <= 60000; i += 7) {
    gate.push_back(i / 1000.0f);
  }
  const int n = static_cast<int>(gate.size());
  const std::vector<float> ones(n, 1.0f);
  on_every_table([&](const Kernels& kernels) {
    std::vector<float> y(n);
    kernels.silu_mul(gate.data(), ones.data(), n, y.data());
    for (int i = 0; i < n; i++) {
      const double g = gate[i];
      const double want = g / (1 + std::exp(-g));
      check_close(y[i], want, 4e-7 * std::fabs(want), "silu");
    }
    return y;
  });
}

TEST("cpu kernels: silu_mul at the ends") {
  const std::vector<float> gate = {
      -kInf, -1e30f, -200, -90, 0, 90, 200, 1e30f, kNan};
  const std::vector<float> up = {0, 2, 2, 2, 2, 2, 2, 2, 2};
  for (const Kernels* kernels : available_kernels()) {
    std::vector<float> y(gate.size());
    kernels->silu_mul(
        gate.data(), up.data(), static_cast<int>(gate.size()), y.data());
    check_close(y[1], 0, 1e-7, "silu far below 0");
    check_close(y[2], 0, 1e-30, "silu below 0");
    check_close(y[3], 0, 1e-30, "silu below 0");
    CHECK_EQUAL(y[4], 0.0f);
    CHECK_EQUAL(y[5], 180.0f);
    CHECK_EQUAL(y[6], 400.0f);
    CHECK_EQUAL(y[7], 2e30f);
    CHECK(std::isnan(y[8]));
  }
}

TEST("cpu kernels: add") {
  for (int n : {1, 16, 33, 576}) {
    Random random(n);
    const auto x = random.vector(n, -3, 3);
    const auto y = random.vector(n, -3, 3);
    on_every_table([&](const Kernels& kernels) {
      std::vector<float> z = x;
      kernels.add(z.data(), y.data(), n);
      for (int i = 0; i < n; i++) {
        CHECK_EQUAL(z[i], x[i] + y[i]);
      }
      return z;
    });
  }
}

TEST("cpu kernels: activations are quantised to within half a step") {
  const int cols = 576;
  Random random(1);
  auto x = random.vector(cols, -1, 1);
  for (int i = 0; i < kGroup; i++) {
    x[32 + i] = 0; // a group of zeros
    x[64 + i] *= 1e-20f;
    x[96 + i] *= 1e20f;
    x[128 + i] = i % 2 ? 1e-38f : -1e-40f; // as good as zero
  }
  on_every_table([&](const Kernels& kernels) {
    const Quantised q(kernels, x, cols);
    for (int i = 0; i < cols; i++) {
      const float scale = q.scales[i / kGroup];
      CHECK(std::abs(q.code(i)) <= 32767);
      check_close(
          scale * static_cast<double>(q.code(i)),
          x[i],
          0.505 * scale + 1.1e-38,
          "quantised");
    }
    for (int g = 0; g < cols / kGroup; g++) {
      int sum = 0;
      for (int i = 0; i < kGroup; i++) {
        sum += q.code(g * kGroup + i);
      }
      CHECK_EQUAL(q.sums[g], q.scales[g] * static_cast<float>(sum));
    }
    std::vector<float> all = q.scales;
    all.insert(all.end(), q.sums.begin(), q.sums.end());
    for (int i = 0; i < cols; i++) {
      all.push_back(static_cast<float>(q.code(i)));
    }
    return all;
  });
}

TEST("cpu kernels: a NaN or infinity survives quantisation as no number") {
  for (const Kernels* kernels : available_kernels()) {
    for (float bad : {kNan, -kNan, kInf, -kInf}) {
      std::vector<float> x(64, 1.0f);
      x[40] = bad;
      const Quantised q(*kernels, x, 64);
      CHECK(std::isfinite(q.scales[0]));
      CHECK(!std::isfinite(q.scales[1]));
    }
  }
}

TEST("cpu kernels: f16 is rounded as base/half.h rounds") {
  std::vector<float> x = {0.0f, -0.0f, 65504.0f, 65519.9f, 65520.0f, 1e30f};
  for (int e = -30; e <= 17; e++) {
    for (float m : {1.0f, 1.00048828125f, 1.0009765625f, 1.4997f, 1.99999f}) {
      x.push_back(std::ldexp(m, e));
      x.push_back(-std::ldexp(m, e));
    }
  }
  for (const Kernels* kernels : available_kernels()) {
    std::vector<uint16_t> y(x.size());
    kernels->to_f16(x.data(), static_cast<int>(x.size()), y.data());
    for (size_t i = 0; i < x.size(); i++) {
      CHECK_EQUAL(y[i], stomp::f32_to_f16(x[i]));
    }
  }
}

TEST("cpu kernels: arg_max takes the lowest id on ties") {
  for (const Kernels* kernels : available_kernels()) {
    for (int n : {1, 5, 16, 17, 100, 49152}) {
      Random random(n);
      auto x = random.vector(n, -5, 5);
      for (int at : {0, n / 3, n - 1}) {
        auto y = x;
        y[at] = 7;
        y[n - 1] = 7;
        const ArgMax best = kernels->arg_max(y.data(), n);
        CHECK_EQUAL(best.index, at);
        CHECK_EQUAL(best.value, 7.0f);
      }
      std::fill(x.begin(), x.end(), -kInf);
      x[n / 2] = -1e30f;
      CHECK_EQUAL(kernels->arg_max(x.data(), n).index, n / 2);
    }
  }
}

TEST("cpu kernels: arg_max refuses what is not a number") {
  for (const Kernels* kernels : available_kernels()) {
    for (int n : {16, 21, 160}) {
      for (int at : {0, n / 2, n - 1}) {
        for (float bad : {kNan, kInf}) {
          std::vector<float> x(n, 1.0f);
          x[at] = bad;
          CHECK_EQUAL(kernels->arg_max(x.data(), n).index, -1);
        }
      }
      const std::vector<float> nothing(n, -kInf);
      CHECK_EQUAL(kernels->arg_max(nothing.data(), n).index, -1);
    }
  }
}

// ---- linear ----

namespace {

/// A block of random quantised weights, and their values.
struct Weights {
  Weights(QuantisedLayout l, int bits, uint32_t seed)
      : layout(l),
        codes(size_t{kBlockColumns} * l.cols),
        scales(codes.size() / kGroup),
        biases(scales.size()) {
    Random random(seed);
    for (uint8_t& code : codes) {
      code = static_cast<uint8_t>(random.integer(1 << bits));
    }
    for (size_t i = 0; i < scales.size(); i++) {
      scales[i] = exact(random(-0.02f, 0.02f));
      biases[i] = layout.biases ? exact(random(-0.2f, 0.2f))
                                : -layout.centre * scales[i];
    }
    // The largest sums there can be.
    std::fill_n(codes.begin(), kGroup, uint8_t{0});
    std::fill_n(
        codes.begin() + kGroup, kGroup, static_cast<uint8_t>((1 << bits) - 1));
  }

  float exact(float x) const {
    return layout.f32_scales ? x : stomp::f16_to_f32(stomp::f32_to_f16(x));
  }
  double weight(int column, int k) const {
    const size_t i = static_cast<size_t>(column) * layout.cols + k;
    return double{scales[i / kGroup]} * codes[i] + biases[i / kGroup];
  }
  std::vector<std::byte> pack(const Kernels& kernels) const {
    std::vector<std::byte> block(kernels.quantised_block_bytes(layout));
    kernels.pack_quantised(
        layout, codes.data(), scales.data(), biases.data(), block.data());
    return block;
  }

  QuantisedLayout layout;
  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> biases;
};

void check_quantised(const Weights& w, int n_rows, uint32_t seed) {
  constexpr size_t kStride = kBlockColumns + 3;
  const int cols = w.layout.cols;
  Random random(seed);
  auto x = random.vector(static_cast<size_t>(n_rows) * cols, -2, 2);
  std::fill_n(x.begin(), std::min(cols, 2 * kGroup), 1.0f); // largest codes
  on_every_table([&](const Kernels& kernels) {
    const auto block = w.pack(kernels);
    const Quantised q(kernels, x, cols);
    std::vector<std::byte> scratch(kernels.linear_scratch_bytes);
    std::vector<float> y(n_rows * kStride, 99.0f);
    kernels.linear_quantised(
        w.layout,
        block.data(),
        q.rows,
        n_rows,
        y.data(),
        kStride,
        scratch.data());
    for (int r = 0; r < n_rows; r++) {
      for (int c = 0; c < kBlockColumns; c++) {
        double want = 0;
        double size = 0;
        for (int k = 0; k < cols; k++) {
          const size_t i = static_cast<size_t>(r) * cols + k;
          const double term = w.weight(c, k) * q.scales[i / kGroup] * q.code(i);
          want += term;
          size += std::fabs(term);
        }
        check_close(y[r * kStride + c], want, 1e-6 * size, "linear");
      }
      for (size_t c = kBlockColumns; c < kStride; c++) {
        CHECK_EQUAL(y[r * kStride + c], 99.0f);
      }
      // The same alone.
      std::vector<float> alone(kStride, 99.0f);
      kernels.linear_quantised(
          w.layout,
          block.data(),
          q.rows.from(r, kernels.code_bytes),
          1,
          alone.data(),
          kStride,
          scratch.data());
      CHECK(
          std::memcmp(
              alone.data(), y.data() + r * kStride, kStride * sizeof(float)) ==
          0);
    }
    return y;
  });
}

} // namespace

TEST("cpu kernels: quantised linear, 1 to 17 rows of 576, alone or together") {
  for (int rows = 1; rows <= 17; rows++) {
    check_quantised(Weights({576, 4, 8, false, true}, 4, rows), rows, rows);
    check_quantised(Weights({576, 8, 128, false, false}, 8, rows), rows, rows);
  }
}

TEST("cpu kernels: quantised linear in every width and form of scale") {
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (bool f32 : {false, true}) {
      for (bool biases : {false, true}) {
        const QuantisedLayout layout{
            96,
            bits <= 2       ? 2
                : bits <= 4 ? 4
                            : 8,
            1 << (bits - 1),
            f32,
            biases};
        check_quantised(Weights(layout, bits, bits), 3, bits);
        check_quantised(Weights(layout, bits, bits), 9, bits);
      }
    }
  }
}

TEST("cpu kernels: quantised linear of one group, and past a chunk of K") {
  for (int cols : {32, 512, 544, 1056}) {
    check_quantised(Weights({cols, 4, 8, false, true}, 4, cols), 2, cols);
    check_quantised(Weights({cols, 8, 128, true, true}, 8, cols), 10, cols);
  }
}

namespace {

/// Bytes of x as elements of `type`; x becomes what they stand for.
std::vector<std::byte> encode(DenseType type, std::vector<float>& x) {
  std::vector<std::byte> bytes;
  for (float& v : x) {
    uint32_t bits = 0;
    size_t size = 2;
    if (type == DenseType::kF16) {
      bits = stomp::f32_to_f16(v);
      v = stomp::f16_to_f32(static_cast<uint16_t>(bits));
    } else if (type == DenseType::kBF16) {
      bits = stomp::f32_to_bf16(v);
      v = stomp::bf16_to_f32(static_cast<uint16_t>(bits));
    } else {
      std::memcpy(&bits, &v, sizeof bits);
      size = 4;
    }
    const auto* p = reinterpret_cast<const std::byte*>(&bits);
    bytes.insert(bytes.end(), p, p + size);
  }
  return bytes;
}

void check_dense(DenseType type, int cols, int n_rows, int columns) {
  Random random(cols + n_rows);
  auto w = random.vector(static_cast<size_t>(columns) * cols, -1, 1);
  w[0] = 3e-6f; // a denormal as f16
  const auto bytes = encode(type, w);
  const auto x = random.vector(static_cast<size_t>(n_rows) * cols, -2, 2);
  const DenseLayout layout{cols, type};
  const std::byte* pointers[kBlockColumns] = {};
  for (int c = 0; c < columns; c++) {
    pointers[c] = bytes.data() + bytes.size() / columns * c;
  }
  on_every_table([&](const Kernels& kernels) {
    std::vector<std::byte> block(kernels.dense_block_bytes(layout));
    kernels.pack_dense(layout, pointers, block.data());
    std::vector<std::byte> scratch(kernels.linear_scratch_bytes);
    std::vector<float> y(n_rows * kBlockColumns);
    kernels.linear_dense(
        layout,
        block.data(),
        x.data(),
        n_rows,
        y.data(),
        kBlockColumns,
        scratch.data());
    for (int r = 0; r < n_rows; r++) {
      for (int c = 0; c < kBlockColumns; c++) {
        double want = 0;
        for (int k = 0; k < cols && c < columns; k++) {
          want += double{w[size_t(c) * cols + k]} * x[size_t(r) * cols + k];
        }
        check_close(
            y[r * kBlockColumns + c], want, 1e-6 * cols, "dense linear");
      }
      std::vector<float> alone(kBlockColumns);
      kernels.linear_dense(
          layout,
          block.data(),
          x.data() + static_cast<size_t>(r) * cols,
          1,
          alone.data(),
          kBlockColumns,
          scratch.data());
      CHECK(
          std::memcmp(
              alone.data(),
              y.data() + r * kBlockColumns,
              kBlockColumns * sizeof(float)) == 0);
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

// The kernels' results to the bit, as hashes: tables that are compared with
// each other only can all be wrong alike, and no machine has those of two
// architectures.
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "attention_cases.h"
#include "kernel_weights.h"

using namespace attention_cases;
using stomp::Activation;

namespace {

/// FNV-1a of all values put.
class Hash {
 public:
  template <class T>
  void put(const std::vector<T>& values) {
    static_assert(std::is_arithmetic_v<T>);
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    for (size_t i = 0; i < values.size() * sizeof(T); i++) {
      hash_ = (hash_ ^ bytes[i]) * 0x100000001b3u;
    }
  }
  std::string text() const {
    char text[17];
    std::snprintf(
        text, sizeof text, "%016llx", static_cast<unsigned long long>(hash_));
    return text;
  }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

void check_bits(
    const char* want,
    const std::function<void(const Kernels&, Hash&)>& body) {
  for (const Kernels* kernels : available_kernels()) {
    Hash hash;
    body(*kernels, hash);
    check::equal(
        hash.text(), std::string(want), kernels->isa, __FILE__, __LINE__);
  }
}

LinearOutput output(std::vector<float>& y) {
  return {y.data(), kBlockColumns, false};
}

/// A piece of random codes of 4 bits, all of it written.
struct SmallCodedPiece {
  explicit SmallCodedPiece(int dim)
      : k(size_t(kPieceTokens) * dim / 2),
        v(k.size()),
        scales(size_t(kPieceTokens) * ((dim + kKvGroup - 1) / kKvGroup) * 2) {
    Random random(dim);
    for (size_t i = 0; i < k.size(); i++) {
      k[i] = static_cast<uint8_t>(random.integer(256));
      v[i] = static_cast<uint8_t>(random.integer(256));
    }
    for (size_t i = 0; i < scales.size(); i++) {
      const bool bias = i >= scales.size() / 2;
      scales[i] = stomp::f32_to_f16(bias ? random(-2, 0) : random(0.01f, 0.3f));
    }
    piece.element = KvElement::kCode4;
    piece.scale_stride = kPieceTokens;
    piece.n_tokens = kPieceTokens;
    piece.head_dim = dim;
    for (int i = 0; i < kPieceTokens / kTileTokens; i++) {
      piece.k[i] = k.data() + size_t(i) * kTileTokens * dim / 2;
      piece.v[i] = v.data() + size_t(i) * kTileTokens * dim / 2;
      piece.k_scales[i] = piece.v_scales[i] = scales.data() + i * kTileTokens;
    }
  }
  SmallCodedPiece(const SmallCodedPiece&) = delete;

  std::vector<uint8_t> k, v;
  std::vector<uint16_t> scales;
  AttentionPiece piece;
};

/// A piece of random codes of 8 bits, all of it written.
struct CodedPiece {
  explicit CodedPiece(int dim)
      : k(size_t(kPieceTokens) * dim),
        v(k.size()),
        tops(size_t(kPieceTokens) * ((dim + kKvGroup - 1) / kKvGroup)) {
    Random random(dim);
    for (size_t i = 0; i < k.size(); i++) {
      k[i] = static_cast<int8_t>(random.integer(255) - kKvCodes);
      v[i] = static_cast<int8_t>(random.integer(255) - kKvCodes);
    }
    for (uint16_t& top : tops) {
      top = stomp::f32_to_f16(random(0.01f, 2));
    }
    piece.element = KvElement::kCode8;
    piece.scale_stride = kPieceTokens;
    piece.n_tokens = kPieceTokens;
    piece.head_dim = dim;
    for (int i = 0; i < kPieceTokens / kTileTokens; i++) {
      piece.k[i] = k.data() + size_t(i) * kTileTokens * dim;
      piece.v[i] = v.data() + size_t(i) * kTileTokens * dim;
      piece.k_scales[i] = piece.v_scales[i] = tops.data() + i * kTileTokens;
    }
  }
  CodedPiece(const CodedPiece&) = delete;

  std::vector<int8_t> k, v;
  std::vector<uint16_t> tops;
  AttentionPiece piece;
};

void put(const Queries::State& state, Hash& hash) {
  hash.put(state.max);
  hash.put(state.sum);
  hash.put(state.out);
}

} // namespace

TEST("cpu kernels: activations have the same bits on every architecture") {
  check_bits("61b4c7694050723b", [](const Kernels& kernels, Hash& hash) {
    const int n = 576;
    Random random(5);
    const auto x = random.vector(n, -9, 9);
    const auto y = random.vector(n, -9, 9);
    std::vector<float> out(n);
    for (const Activation activation :
         {Activation::kGeluTanh, Activation::kClampedSwiglu}) {
      kernels.activate(activation, x.data(), y.data(), n, out.data());
      hash.put(out);
    }
  });
}

TEST("cpu kernels: rows have the same bits on every architecture") {
  check_bits("c96c812ec3e98050", [](const Kernels& kernels, Hash& hash) {
    const int n = 576;
    Random random(1);
    const auto x = random.vector(n, -9, 9);
    auto y = random.vector(n, -2, 2);
    std::vector<float> out(n);
    kernels.rms_norm(x.data(), y.data(), n, 1e-5f, out.data());
    hash.put(out);
    kernels.activate(Activation::kSilu, x.data(), y.data(), n, out.data());
    hash.put(out);
    const Quantised q(kernels, x, n);
    hash.put(q.codes);
    hash.put(q.scales);
    hash.put(q.sums);
    std::vector<int8_t> codes(n);
    std::vector<uint16_t> halves(n);
    kernels.quantise_kv8(x.data(), n, codes.data(), halves.data(), 1);
    hash.put(codes);
    hash.put(halves);
    for (bool interleaved : {false, true}) {
      kernels.rotate(
          y.data(), {x.data(), x.data() + 50, 50, interleaved}, 0.125f);
    }
    hash.put(y);
  });
}

TEST("cpu kernels: linears have the same bits on every architecture") {
  check_bits("f523ef9761a506d9", [](const Kernels& kernels, Hash& hash) {
    for (int rows : {1, 3, 9}) {
      std::vector<float> y(size_t(rows) * kBlockColumns);
      for (int bits : {2, 4, 8}) {
        const QuantisedWeights w(
            layout_of(256, bits, 32, bits == 2, bits == 4), bits, rows);
        const auto block = w.pack();
        const auto x = Random(rows).vector(size_t(rows) * 256, -3, 3);
        const Quantised q(kernels, x, 256);
        kernels.linear_quantised(
            w.layout, block.data(), q.rows, rows, output(y));
        hash.put(y);
      }
      for (auto type : {DenseType::kF32, DenseType::kF16, DenseType::kBF16}) {
        const DenseWeights w({600, type}, kBlockColumns, rows);
        const auto block = w.pack();
        const auto x = Random(rows).vector(size_t(rows) * 600, -3, 3);
        std::vector<std::byte> scratch(kernels.linear_scratch_bytes);
        kernels.linear_dense(
            w.layout, block.data(), x.data(), rows, output(y), scratch.data());
        hash.put(y);
      }
    }
  });
}

TEST("cpu kernels: linears of E2M1 have the same bits everywhere") {
  check_bits("41f95539588cd2c2", [](const Kernels& kernels, Hash& hash) {
    for (int rows : {1, 3, 9}) {
      std::vector<float> y(size_t(rows) * kBlockColumns);
      const QuantisedWeights w(e2m1_layout(256), 4, rows);
      const auto block = w.pack();
      const auto x = Random(rows).vector(size_t(rows) * 256, -3, 3);
      const Quantised q(kernels, x, 256);
      kernels.linear_quantised(w.layout, block.data(), q.rows, rows, output(y));
      hash.put(y);
    }
  });
}

TEST("cpu kernels: attention has the same bits on every architecture") {
  check_bits("a4b14d75862539aa", [](const Kernels& kernels, Hash& hash) {
    for (int dim : {34, 64, 128}) {
      const Cache cache(2 * kPieceTokens, dim, dim);
      const CodedPiece coded(dim);
      std::vector<float> scratch(piece_scratch_floats(dim));
      for (int n : {1, 2, 9}) {
        const Queries queries(
            cache, std::vector<int>(n, 3), std::vector<int>(n, 120), n);
        auto all = queries.start(dim);
        auto next = all;
        kernels.attend_piece(cache.piece(0), queries.rows(all), scratch.data());
        kernels.attend_piece(
            cache.piece(kPieceTokens), queries.rows(next), scratch.data());
        kernels.merge_rows(queries.rows(next), queries.rows(all), dim);
        put(all, hash);
        auto of_codes = queries.start(dim);
        kernels.attend_piece(
            coded.piece, queries.rows(of_codes), scratch.data());
        put(of_codes, hash);
      }
    }
  });
}

TEST("cpu kernels: 4-bit keys and values have the same bits everywhere") {
  check_bits("da395c9f63411567", [](const Kernels& kernels, Hash& hash) {
    const int n = 576;
    auto x = Random(1).vector(n, -9, 9);
    kernels.spread(x.data(), n);
    hash.put(x);
    std::vector<uint8_t> codes(n / 2);
    std::vector<uint16_t> scales(n / kKvGroup);
    std::vector<uint16_t> biases(n / kKvGroup);
    kernels.quantise_kv4(
        x.data(), n, codes.data(), scales.data(), biases.data(), 1);
    hash.put(codes);
    hash.put(scales);
    hash.put(biases);
    for (int dim : {34, 64, 128}) {
      const Cache cache(2 * kPieceTokens, dim, dim);
      const SmallCodedPiece coded(dim);
      std::vector<float> scratch(piece_scratch_floats(dim));
      for (int rows : {1, 2, 9}) {
        const Queries queries(
            cache, std::vector<int>(rows, 3), std::vector<int>(rows, 60), rows);
        auto state = queries.start(dim);
        kernels.attend_piece(coded.piece, queries.rows(state), scratch.data());
        put(state, hash);
      }
    }
  });
}

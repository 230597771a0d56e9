// model/weights.h: both ways of reading a row agree with the formats'
// definitions, bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/half.h"
#include "check.h"
#include "model/weights.h"
#include "store/gguf_reader.h"
#include "tiny_model.h"

using namespace stomp;

namespace {

constexpr int kRows = 5;
constexpr int kCols = 256;

/// Bytes at an odd address: files promise no alignment.
class Unaligned {
 public:
  explicit Unaligned(const std::string& bytes) : bytes_("?" + bytes) {}
  const std::byte* data() const {
    return reinterpret_cast<const std::byte*>(bytes_.data()) + 1;
  }

 private:
  std::string bytes_;
};

uint8_t byte_at(const std::string& bytes, size_t i) {
  return static_cast<uint8_t>(bytes[i]);
}

float half_at(const std::string& bytes, size_t i) {
  uint16_t h = 0;
  std::memcpy(&h, bytes.data() + i, sizeof h);
  return f16_to_f32(h);
}

/// Weight i of a row of ggml blocks, from the format's definition.
float ggml_weight(WeightFormat format, const std::string& row, size_t i) {
  const size_t block = i / 32;
  const size_t j = i % 32;
  const auto nibble = [&](size_t codes) {
    const uint8_t byte = byte_at(row, codes + j % 16);
    return j < 16 ? byte & 15 : byte >> 4;
  };
  switch (format) {
    case WeightFormat::kQ4_0:
      return half_at(row, block * 18) * (nibble(block * 18 + 2) - 8);
    case WeightFormat::kQ4_1: {
      volatile float product =
          half_at(row, block * 20) * nibble(block * 20 + 4);
      return product + half_at(row, block * 20 + 2);
    }
    default:
      return half_at(row, block * 34) *
          static_cast<int8_t>(byte_at(row, block * 34 + 2 + j));
  }
}

/// Row by dequantise_row and by affine_row; both must give `want`.
void check_row(const WeightMatrix& w, int row, const std::vector<float>& want) {
  std::vector<float> got(w.cols);
  dequantise_row(w, row, got.data());
  CHECK(got == want);
  std::vector<uint8_t> codes(w.cols);
  std::vector<float> scales(w.cols / w.group);
  std::vector<float> biases(w.cols / w.group);
  affine_row(w, row, codes.data(), scales.data(), biases.data());
  for (int i = 0; i < w.cols; i++) {
    CHECK(codes[i] < 1 << code_bits(w));
    // Rounded before the sum, so that no contraction differs.
    volatile float product = scales[i / w.group] * codes[i];
    CHECK_EQUAL(product + biases[i / w.group], want[i]);
  }
}

void check_ggml(uint32_t type, WeightFormat format, size_t row_bytes) {
  std::mt19937 random(type + 1);
  const std::string bytes = tiny::ggml_bytes(type, kRows, kCols, random);
  CHECK_EQUAL(bytes.size(), row_bytes * kRows);
  const Unaligned data(bytes);
  WeightMatrix w;
  w.format = format;
  w.rows = kRows;
  w.cols = kCols;
  w.data = data.data();
  w.group = 32;
  CHECK(w.quantised());
  CHECK_EQUAL(w.bytes(), bytes.size());
  CHECK_EQUAL(code_bits(w), type == kGgmlQ8_0 ? 8 : 4);
  for (int r = 0; r < kRows; r++) {
    const std::string row = bytes.substr(row_bytes * r, row_bytes);
    std::vector<float> want(kCols);
    for (int i = 0; i < kCols; i++) {
      want[i] = ggml_weight(format, row, i);
    }
    check_row(w, r, want);
  }
}

/// Bit k of code i is bit (i * bits + k) of the stream.
std::string pack(const std::vector<uint8_t>& codes, int bits) {
  std::string out(codes.size() * bits / 8, '\0');
  for (size_t i = 0; i < codes.size(); i++) {
    for (int k = 0; k < bits; k++) {
      const size_t bit = i * bits + k;
      out[bit / 8] |= static_cast<char>(((codes[i] >> k) & 1) << (bit % 8));
    }
  }
  return out;
}

float widen(WeightFormat format, uint16_t bits) {
  return format == WeightFormat::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

/// A random affine matrix against its definition.
void check_affine(int bits, int group, WeightFormat scale_format) {
  std::mt19937 random(bits * 1000 + group);
  std::vector<uint8_t> codes(kRows * kCols);
  for (uint8_t& code : codes) {
    code = random() % (1u << bits);
  }
  const int n_groups = kRows * kCols / group;
  std::string scale_bytes[2];
  std::vector<float> values[2]; // scales, biases
  for (int which = 0; which < 2; which++) {
    for (int g = 0; g < n_groups; g++) {
      const float value = (static_cast<int>(random() % 200) - 100) / 77.0f;
      if (scale_format == WeightFormat::kF32) {
        scale_bytes[which].append(
            reinterpret_cast<const char*>(&value), sizeof value);
        values[which].push_back(value);
        continue;
      }
      const uint16_t half = scale_format == WeightFormat::kF16
          ? f32_to_f16(value)
          : f32_to_bf16(value);
      scale_bytes[which].append(
          reinterpret_cast<const char*>(&half), sizeof half);
      values[which].push_back(widen(scale_format, half));
    }
  }
  const std::string packed = pack(codes, bits);
  const Unaligned data(packed);
  const Unaligned scales(scale_bytes[0]);
  const Unaligned biases(scale_bytes[1]);
  WeightMatrix w;
  w.format = WeightFormat::kAffine;
  w.rows = kRows;
  w.cols = kCols;
  w.data = data.data();
  w.bits = bits;
  w.group = group;
  w.scale_format = scale_format;
  w.scales = scales.data();
  w.biases = biases.data();
  CHECK_EQUAL(w.bytes(), packed.size() + 2 * scale_bytes[0].size());
  CHECK_EQUAL(code_bits(w), bits);
  for (int r = 0; r < kRows; r++) {
    std::vector<float> want(kCols);
    for (int i = 0; i < kCols; i++) {
      const size_t at = static_cast<size_t>(r) * kCols + i;
      volatile float product = values[0][at / group] * codes[at];
      want[i] = product + values[1][at / group];
    }
    check_row(w, r, want);
  }
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

} // namespace

TEST("weights: GGUF's formats dequantise as they are defined") {
  check_ggml(kGgmlQ4_0, WeightFormat::kQ4_0, kCols / 32 * 18);
  check_ggml(kGgmlQ4_1, WeightFormat::kQ4_1, kCols / 32 * 20);
  check_ggml(kGgmlQ8_0, WeightFormat::kQ8_0, kCols / 32 * 34);
}

TEST("weights: affine codes of every width, group and scale type") {
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) {
      for (const WeightFormat scale :
           {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
        check_affine(bits, group, scale);
      }
    }
  }
}

TEST("weights: the bytes that MLX 0.32.2 packs mean what it put in") {
  // mlx::core::quantize of w[i] = (7 i + 3) mod 2^bits, w[0] = 0 and
  // w[1] = 2^bits - 1, in one group of 32: scale -1, bias 2^bits - 1.
  const std::pair<int, const char*> all[] = {
      {2, "e3e4e4e4e4e4e4e4"},
      {3, "878f68ac8f68ac8f68ac8f68"},
      {4, "0f7e90b2d4f6183a5c7e90b2d4f6183a"},
      {5, "1fb803b25ca4db87829eacf80b93d8b4998fa31a"},
      {6, "3fe09e60262d446fbf68a84d4ce1df702a6e5463fc78ac8e"},
      {8,
       "ff00eee7e0d9d2cbc4bdb6afa8a19a93"
       "8c857e777069625b544d463f38312a23"}};
  for (const auto& [bits, hex] : all) {
    const int top = (1 << bits) - 1;
    const std::string packed = from_hex(hex);
    const float scale = -1;
    const auto bias = static_cast<float>(top);
    WeightMatrix w;
    w.format = WeightFormat::kAffine;
    w.rows = 1;
    w.cols = 32;
    w.data = reinterpret_cast<const std::byte*>(packed.data());
    w.bits = bits;
    w.group = 32;
    w.scale_format = WeightFormat::kF32;
    w.scales = reinterpret_cast<const std::byte*>(&scale);
    w.biases = reinterpret_cast<const std::byte*>(&bias);
    std::vector<float> want(32);
    for (int i = 0; i < 32; i++) {
      want[i] = static_cast<float>((7 * i + 3) & top);
    }
    want[0] = 0;
    want[1] = bias;
    check_row(w, 0, want);
  }
}

namespace {

// What OCP's specification says the codes of E2M1 mean.
constexpr float kE2m1[] =
    {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};

/// Rows of MXFP4 with random codes and the exponents given, one for each 32.
struct Mxfp4 {
  Mxfp4(int n_rows, const std::vector<uint8_t>& of_row) : rows(n_rows) {
    std::mt19937 random(9);
    for (int row = 0; row < rows; row++) {
      for (const uint8_t e : of_row) {
        exponents.push_back(static_cast<char>(e + row));
      }
    }
    cols = 32 * static_cast<int>(of_row.size());
    for (int i = 0; i < rows * cols; i++) {
      codes.push_back(static_cast<uint8_t>(i < 16 ? i : random() % 16));
    }
  }

  float weight(int row, int column) const {
    const size_t i = static_cast<size_t>(row) * cols + column;
    const int e = static_cast<uint8_t>(exponents[i / 32]);
    return std::ldexp(kE2m1[codes[i]], e - 127);
  }
  std::vector<float> row(int r) const {
    std::vector<float> weights;
    for (int c = 0; c < cols; c++) {
      weights.push_back(weight(r, c));
    }
    return weights;
  }
  /// Codes i and i + 1 in a byte, as MLX and OpenAI have them.
  std::string pairs() const {
    std::string bytes;
    for (size_t i = 0; i < codes.size(); i += 2) {
      bytes.push_back(static_cast<char>(codes[i] | codes[i + 1] << 4));
    }
    return bytes;
  }
  /// ggml's blocks: an exponent, then codes i and i + 16 in a byte.
  std::string blocks() const {
    std::string bytes;
    for (size_t i = 0; i < codes.size(); i += 32) {
      bytes.push_back(exponents[i / 32]);
      for (size_t j = i; j < i + 16; j++) {
        bytes.push_back(static_cast<char>(codes[j] | codes[j + 16] << 4));
      }
    }
    return bytes;
  }

  int rows;
  int cols = 0;
  std::string exponents;
  std::vector<uint8_t> codes;
};

WeightMatrix mxfp4_matrix(
    const Mxfp4& in,
    const Unaligned& data,
    const Unaligned& exponents) {
  WeightMatrix w;
  w.format = WeightFormat::kMxfp4;
  w.rows = in.rows;
  w.cols = in.cols;
  w.data = data.data();
  w.bits = 4;
  w.group = 32;
  w.scales = exponents.data();
  return w;
}

} // namespace

TEST("weights: MXFP4 of either order, at the ends of its exponents too") {
  const Mxfp4 in(kRows, {0, 1, 120, 127, 247});
  const Unaligned pairs(in.pairs());
  const Unaligned exponents(in.exponents);
  const Unaligned blocks(in.blocks());
  const WeightMatrix apart = mxfp4_matrix(in, pairs, exponents);
  WeightMatrix together;
  together.format = WeightFormat::kMxfp4Blocks;
  together.rows = in.rows;
  together.cols = in.cols;
  together.data = blocks.data();
  together.group = 32;
  CHECK_EQUAL(apart.bytes(), in.pairs().size() + in.exponents.size());
  CHECK_EQUAL(together.bytes(), in.blocks().size());
  for (const WeightMatrix& w : {apart, together}) {
    for (int r = 0; r < in.rows; r++) {
      check_row(w, r, in.row(r));
      std::string codes(in.cols / 2, 0);
      std::string own(in.cols / 32, 0);
      mxfp4_row(
          w,
          r,
          reinterpret_cast<uint8_t*>(codes.data()),
          reinterpret_cast<uint8_t*>(own.data()));
      CHECK(codes == in.pairs().substr(codes.size() * r, codes.size()));
      CHECK(own == in.exponents.substr(own.size() * r, own.size()));
    }
  }
}

TEST("weights: an exponent that is no number makes weights that are none") {
  const Mxfp4 in(1, {255});
  const Unaligned pairs(in.pairs());
  const Unaligned exponents(in.exponents);
  std::vector<float> got(32);
  dequantise_row(mxfp4_matrix(in, pairs, exponents), 0, got.data());
  CHECK(std::all_of(
      got.begin(), got.end(), [](float w) { return std::isnan(w); }));
}

TEST("weights: rows of a matrix, one by one and by turns") {
  const Mxfp4 in(8, {100, 110});
  const Unaligned pairs(in.pairs());
  const Unaligned exponents(in.exponents);
  const WeightMatrix all = mxfp4_matrix(in, pairs, exponents);
  const WeightMatrix odd = rows_of(all, 1, 4, 2);
  const WeightMatrix later = rows_of(odd, 2, 2);
  for (int r = 0; r < 4; r++) {
    check_row(odd, r, in.row(2 * r + 1));
  }
  check_row(later, 0, in.row(5));
  check_row(later, 1, in.row(7));
  const auto ranges = file_ranges(later);
  CHECK(ranges[0].data() == all.data + 5 * in.cols / 2);
  CHECK_EQUAL(ranges[0].size(), size_t(4) * in.cols / 2);
  CHECK_EQUAL(ranges[1].size(), size_t(4) * in.cols / 32);
  CHECK(ranges[2].empty());
}

TEST("weights: dense rows widen exactly") {
  std::mt19937 random(3);
  std::vector<float> values(kRows * kCols);
  for (float& v : values) {
    v = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 64;
  }
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
    std::string bytes;
    std::vector<float> want;
    for (const float v : values) {
      const uint16_t half =
          format == WeightFormat::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
      if (format == WeightFormat::kF32) {
        bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
        want.push_back(v);
      } else {
        bytes.append(reinterpret_cast<const char*>(&half), sizeof half);
        want.push_back(widen(format, half));
      }
    }
    const Unaligned data(bytes);
    WeightMatrix w;
    w.format = format;
    w.rows = kRows;
    w.cols = kCols;
    w.data = data.data();
    CHECK(!w.quantised());
    CHECK_EQUAL(w.bytes(), bytes.size());
    for (int r = 0; r < kRows; r++) {
      std::vector<float> got(kCols);
      dequantise_row(w, r, got.data());
      CHECK(std::equal(got.begin(), got.end(), want.begin() + r * kCols));
    }
  }
}

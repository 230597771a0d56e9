#include "exec/cpu/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/half.h"

namespace stomp::cpu {

namespace {

/// Scales that are f16 in the file stay so, without loss.
bool f16_scales(const WeightMatrix& w) {
  return w.format != WeightFormat::kAffine ||
      w.scale_format == WeightFormat::kF16;
}

/// Formats whose bias is that of centred codes: it need not be stored.
bool symmetric(const WeightMatrix& w) {
  return w.format == WeightFormat::kQ4_0 || w.format == WeightFormat::kQ8_0;
}

QuantisedLayout quantised_layout(const WeightMatrix& w) {
  if (w.mxfp4()) {
    return {
        .cols = w.cols,
        .bits = 4,
        .e2m1 = true,
        .group = w.group,
        .f32_scales = true,
        .centre = 12};
  }
  const int bits = code_bits(w);
  return {
      .cols = w.cols,
      .bits = bits <= 2 ? 2
          : bits <= 4   ? 4
                        : 8,
      .group = w.group,
      .f32_scales = !f16_scales(w),
      .biases = !symmetric(w),
      .centre = 1 << (bits - 1)};
}

DenseLayout dense_layout(const WeightMatrix& w) {
  const DenseType type = w.format == WeightFormat::kF32 ? DenseType::kF32
      : w.format == WeightFormat::kF16                  ? DenseType::kF16
                                                        : DenseType::kBF16;
  return {w.cols, type};
}

/// One row of weights as affine_row yields it.
struct AffineRow {
  explicit AffineRow(const WeightMatrix& w)
      : codes(w.cols), scales(w.cols / w.group), biases(scales.size()) {}

  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> biases;
};

/// The codes of E2M1 for what affine_row makes of them.
uint8_t e2m1_code(uint8_t value) {
  constexpr uint8_t kNone = 0;
  constexpr uint8_t kCodes[25] = {
      15, kNone, kNone, kNone, 14, kNone, 13, kNone, 12,    11,    10, 9, 0, 1,
      2,  3,     4,     kNone, 5,  kNone, 6,  kNone, kNone, kNone, 7};
  return kCodes[value];
}

/// Puts a column's codes where kernels.h says. REQUIRES: zeros there.
void pack_codes(
    const QuantisedLayout& layout,
    const std::vector<uint8_t>& codes,
    int column,
    std::byte* block) {
  constexpr int kRowBytes = kBlockColumns * 4;
  const int fields = 8 / layout.bits;
  for (int k = 0; k < layout.cols; k++) {
    const int quad = k / 4;
    std::byte* row = block + layout.codes_at() +
        static_cast<size_t>(quad / fields) * kRowBytes;
    const uint8_t code = layout.e2m1 ? e2m1_code(codes[k]) : codes[k];
    row[column * 4 + k % 4] |= std::byte{code} << (quad % fields * layout.bits);
  }
}

void put_scale(bool f32, float value, std::byte* to) {
  if (f32) {
    std::memcpy(to, &value, sizeof value);
    return;
  }
  const uint16_t half = f32_to_f16(value);
  std::memcpy(to, &half, sizeof half);
}

void pack_affine(
    const QuantisedLayout& layout,
    const AffineRow& row,
    int column,
    std::byte* block) {
  const size_t bytes = layout.f32_scales ? 4 : 2;
  std::byte* to = block + column * bytes;
  for (size_t g = 0; g < row.scales.size(); g++) {
    put_scale(layout.f32_scales, row.scales[g], to);
    if (layout.biases) {
      std::byte* bias = to + kBlockColumns * bytes;
      put_scale(layout.f32_scales, row.biases[g], bias);
    }
    to += layout.affine_bytes();
  }
}

void pack_quantised(
    const WeightMatrix& w,
    const QuantisedLayout& layout,
    int block,
    AffineRow& scratch,
    std::byte* out) {
  for (int c = 0; c < kBlockColumns; c++) {
    const int row = block * kBlockColumns + c;
    if (row < w.rows) {
      affine_row(
          w,
          row,
          scratch.codes.data(),
          scratch.scales.data(),
          scratch.biases.data());
      pack_codes(layout, scratch.codes, c, out);
      pack_affine(layout, scratch, c, out);
    }
  }
}

void pack_dense(
    const WeightMatrix& w,
    const DenseLayout& layout,
    int block,
    std::byte* out) {
  const size_t bytes = layout.element_bytes();
  for (int c = 0; c < kBlockColumns; c++) {
    const int row = block * kBlockColumns + c;
    if (row >= w.rows) {
      return;
    }
    const std::byte* from = w.data + row * bytes * w.cols;
    std::byte* to = out + c * bytes;
    for (int k = 0; k < w.cols; k++) {
      std::memcpy(to, from, bytes);
      from += bytes;
      to += kBlockColumns * bytes;
    }
  }
}

void fill(const WeightMatrix& w, PackedPart& part, ThreadPool& threads) {
  std::vector<AffineRow> scratch;
  if (part.quantised) {
    scratch.assign(threads.size(), AffineRow(w));
  }
  threads.run(part.blocks, [&](int block, int worker) noexcept {
    std::byte* out = part.bytes + block * part.block_bytes;
    if (part.quantised) {
      pack_quantised(w, part.quantised_layout, block, scratch[worker], out);
    } else {
      pack_dense(w, part.dense_layout, block, out);
    }
  });
}

/// Gives the file's pages back once they are packed.
void release(const WeightMatrix& w) {
  for (const std::span<const std::byte> range : file_ranges(w)) {
    if (!range.empty()) {
      release_file_pages(range.data(), range.size());
    }
  }
}

} // namespace

PackedMatrix::PackedMatrix(
    const std::vector<const WeightMatrix*>& parts,
    ThreadPool& threads,
    PageArena& arena)
    : cols_(parts.front()->cols) {
  for (const WeightMatrix* w : parts) {
    PackedPart part;
    part.quantised = w->quantised();
    if (part.quantised) {
      part.quantised_layout = quantised_layout(*w);
      part.block_bytes = part.quantised_layout.bytes();
    } else {
      part.dense_layout = dense_layout(*w);
      part.block_bytes = part.dense_layout.bytes();
    }
    part.block_bytes = round_up(part.block_bytes, kCacheLine);
    part.first_block = blocks_;
    part.blocks = (w->rows + kBlockColumns - 1) / kBlockColumns;
    part.bytes = arena.take(part.blocks * part.block_bytes);
    fill(*w, part, threads);
    release(*w);
    blocks_ += part.blocks;
    parts_.push_back(part);
  }
  keep_bias(parts);
}

void PackedMatrix::keep_bias(const std::vector<const WeightMatrix*>& parts) {
  for (size_t i = 0; i < parts.size(); i++) {
    const WeightVector& bias = parts[i]->bias;
    if (!bias.empty()) {
      bias_.resize(columns());
      std::copy(
          bias.begin(), bias.end(), bias_.begin() + parts_[i].first_column());
    }
  }
}

PackedBlock PackedMatrix::block(int i) const {
  size_t p = parts_.size() - 1;
  while (parts_[p].first_block > i) {
    p--;
  }
  const PackedPart& part = parts_[p];
  return {
      &part,
      part.bytes +
          static_cast<size_t>(i - part.first_block) * part.block_bytes};
}

bool PackedMatrix::any_quantised() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const PackedPart& p) {
    return p.quantised;
  });
}

bool PackedMatrix::any_dense() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const PackedPart& p) {
    return !p.quantised;
  });
}

size_t PackedMatrix::bytes() const {
  size_t n = 0;
  for (const PackedPart& part : parts_) {
    n += part.blocks * part.block_bytes;
  }
  return n;
}

} // namespace stomp::cpu

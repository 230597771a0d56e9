#include "exec/cpu/packed_matrix.h"

#include <algorithm>

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
  const int bits = code_bits(w);
  return {
      .cols = w.cols,
      .stored_bits = bits <= 2 ? 2
          : bits <= 4          ? 4
                               : 8,
      .centre = 1 << (bits - 1),
      .f32_scales = !f16_scales(w),
      .biases = !symmetric(w)};
}

DenseLayout dense_layout(const WeightMatrix& w) {
  const DenseType type = w.format == WeightFormat::kF32 ? DenseType::kF32
      : w.format == WeightFormat::kF16                  ? DenseType::kF16
                                                        : DenseType::kBF16;
  return {w.cols, type};
}

/// One block's weights as affine_row yields them, with one scale for kGroup.
struct AffineBlock {
  explicit AffineBlock(int cols)
      : codes(size_t{kBlockColumns} * cols),
        scales(size_t{kBlockColumns} * cols / kGroup),
        biases(scales.size()) {}

  void read(const WeightMatrix& w, int block);

  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> biases;
};

/// groups values become n, each repeated; in place.
void spread(float* values, int groups, int n) {
  for (int i = n - 1; i >= 0; i--) {
    values[i] = values[static_cast<size_t>(i) * groups / n];
  }
}

void AffineBlock::read(const WeightMatrix& w, int block) {
  const int groups = w.cols / w.group;
  const int small = w.cols / kGroup;
  for (int c = 0; c < kBlockColumns; c++) {
    const int row = block * kBlockColumns + c;
    uint8_t* code = codes.data() + static_cast<size_t>(c) * w.cols;
    float* scale = scales.data() + static_cast<size_t>(c) * small;
    float* bias = biases.data() + static_cast<size_t>(c) * small;
    if (row >= w.rows) {
      std::fill_n(code, w.cols, uint8_t{0});
      std::fill_n(scale, small, 0.0f);
      std::fill_n(bias, small, 0.0f);
      continue;
    }
    affine_row(w, row, code, scale, bias);
    spread(scale, groups, small);
    spread(bias, groups, small);
  }
}

void pack_dense_block(
    const WeightMatrix& w,
    const PackedPart& part,
    int block,
    const Kernels& kernels,
    std::byte* out) {
  const size_t row_bytes =
      size_t{part.dense_layout.type == DenseType::kF32 ? 4u : 2u} * w.cols;
  const std::byte* columns[kBlockColumns] = {};
  for (int c = 0; c < kBlockColumns; c++) {
    const int row = block * kBlockColumns + c;
    columns[c] = row < w.rows ? w.data + row * row_bytes : nullptr;
  }
  kernels.pack_dense(part.dense_layout, columns, out);
}

void fill(
    const WeightMatrix& w,
    PackedPart& part,
    const Kernels& kernels,
    ThreadPool& threads) {
  std::byte* bytes = part.bytes.data();
  if (!part.quantised) {
    threads.run(part.blocks, [&](int block, int) noexcept {
      pack_dense_block(
          w, part, block, kernels, bytes + block * part.block_bytes);
    });
    return;
  }
  std::vector<AffineBlock> scratch(threads.size(), AffineBlock(w.cols));
  threads.run(part.blocks, [&](int block, int worker) noexcept {
    AffineBlock& affine = scratch[worker];
    affine.read(w, block);
    kernels.pack_quantised(
        part.quantised_layout,
        affine.codes.data(),
        affine.scales.data(),
        affine.biases.data(),
        bytes + block * part.block_bytes);
  });
}

/// Gives the file's pages back once they are packed.
void release(const WeightMatrix& w) {
  const size_t all = w.bytes();
  if (w.format != WeightFormat::kAffine) {
    release_file_pages(w.data, all);
    return;
  }
  const size_t codes = static_cast<size_t>(w.rows) * w.cols * w.bits / 8;
  release_file_pages(w.data, codes);
  release_file_pages(w.scales, (all - codes) / 2);
  release_file_pages(w.biases, (all - codes) / 2);
}

/// Blocks to hand out at once: enough work to be worth it, and enough pieces
/// for every thread to have several.
int stride_for(int blocks, int cols, int n_rows, int threads) {
  constexpr int64_t kWorthwhile = 1 << 16; // multiplications
  const int64_t block = int64_t{cols} * n_rows * kBlockColumns;
  const int worthwhile = static_cast<int>((kWorthwhile + block - 1) / block);
  const int few = std::max(1, blocks / (threads * 2));
  const int many = std::max(1, blocks / (threads * 32));
  return std::max(std::min(worthwhile, few), many);
}

} // namespace

PackedMatrix::PackedMatrix(
    const std::vector<const WeightMatrix*>& parts,
    const Kernels& kernels,
    ThreadPool& threads)
    : cols_(parts.front()->cols) {
  for (const WeightMatrix* w : parts) {
    PackedPart part;
    part.quantised = w->quantised();
    if (part.quantised) {
      part.quantised_layout = quantised_layout(*w);
      part.block_bytes = kernels.quantised_block_bytes(part.quantised_layout);
    } else {
      part.dense_layout = dense_layout(*w);
      part.block_bytes = kernels.dense_block_bytes(part.dense_layout);
    }
    part.block_bytes = round_up(part.block_bytes, kCacheLine);
    part.first_block = blocks_;
    part.blocks = (w->rows + kBlockColumns - 1) / kBlockColumns;
    part.bytes = PageBuffer(part.blocks * part.block_bytes, true);
    fill(*w, part, kernels, threads);
    release(*w);
    blocks_ += part.blocks;
    parts_.push_back(std::move(part));
  }
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
    n += part.bytes.size();
  }
  return n;
}

const PackedPart& PackedMatrix::part_of(int block) const {
  size_t i = parts_.size() - 1;
  while (parts_[i].first_block > block) {
    i--;
  }
  return parts_[i];
}

void PackedMatrix::multiply(
    const LinearInput& in,
    int n_rows,
    float* y,
    const Kernels& kernels,
    ThreadPool& threads,
    std::byte* scratch) const {
  const int stride = stride_for(blocks_, cols_, n_rows, threads.size());
  const size_t y_stride = columns();
  const auto one = [&](int block, std::byte* own) noexcept {
    const PackedPart& part = part_of(block);
    const std::byte* bytes =
        part.bytes.data() + (block - part.first_block) * part.block_bytes;
    float* to = y + static_cast<size_t>(block) * kBlockColumns;
    if (part.quantised) {
      kernels.linear_quantised(
          part.quantised_layout,
          bytes,
          in.quantised,
          n_rows,
          to,
          y_stride,
          own);
    } else {
      kernels.linear_dense(
          part.dense_layout, bytes, in.rows, n_rows, to, y_stride, own);
    }
  };
  threads.run((blocks_ + stride - 1) / stride, [&](int i, int worker) noexcept {
    std::byte* own = scratch + worker * kernels.linear_scratch_bytes;
    const int end = std::min((i + 1) * stride, blocks_);
    for (int block = i * stride; block < end; block++) {
      one(block, own);
    }
  });
}

} // namespace stomp::cpu

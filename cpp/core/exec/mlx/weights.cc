// See weights.h.
#include "exec/mlx/weights.h"

#include <cstdint>

namespace stomp::mlx_exec {

namespace {

mlx_dtype dtype_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF16:
      return MLX_FLOAT16;
    case WeightFormat::kBF16:
      return MLX_BFLOAT16;
    default:
      return MLX_FLOAT32;
  }
}

/// MLX's packing: codes as a little-endian stream of bits-wide numbers, which
/// 4 and 8 bits fill into whole words.
void pack(const std::vector<uint8_t>& codes, int bits, uint32_t* words) {
  const int per_word = 32 / bits;
  for (size_t i = 0; i < codes.size(); i += per_word) {
    uint32_t word = 0;
    for (int j = 0; j < per_word; j++) {
      word |= uint32_t{codes[i + j]} << (j * bits);
    }
    *words++ = word;
  }
}

Array concatenate(
    const Graph& graph,
    const std::vector<Matrix>& parts,
    Array Matrix::* member) {
  std::vector<Array> list;
  list.reserve(parts.size());
  for (const Matrix& part : parts) {
    list.push_back(part.*member);
  }
  return graph.concatenate(list, 0);
}

bool same_kind(const Matrix& a, const Matrix& b) {
  return a.bits == b.bits && a.group == b.group &&
      a.biases.empty() == b.biases.empty();
}

} // namespace

size_t Matrix::bytes() const {
  if (!bits) {
    return dense.bytes();
  }
  return codes.bytes() + scales.bytes() + (biases.empty() ? 0 : biases.bytes());
}

Matrix WeightLoader::upload(const WeightMatrix& w) const {
  if (w.format == WeightFormat::kAffine) {
    return upload_affine(w);
  }
  if (w.mxfp4()) {
    return upload_mxfp4(w);
  }
  if (w.quantised()) {
    return repack(w);
  }
  Matrix matrix;
  matrix.dense = graph_.cast(
      Array::from_bytes(w.data, {w.rows, w.cols}, dtype_of(w.format)), dtype_);
  return matrix;
}

Matrix WeightLoader::upload_affine(const WeightMatrix& w) const {
  const mlx_dtype stored = dtype_of(w.scale_format);
  const std::vector<int> groups = {w.rows, w.cols / w.group};
  Matrix matrix;
  matrix.bits = w.bits;
  matrix.group = w.group;
  matrix.codes =
      Array::from_bytes(w.data, {w.rows, w.cols / 32 * w.bits}, MLX_UINT32);
  matrix.scales =
      graph_.cast(Array::from_bytes(w.scales, groups, stored), dtype_);
  matrix.biases =
      graph_.cast(Array::from_bytes(w.biases, groups, stored), dtype_);
  return matrix;
}

Matrix WeightLoader::upload_mxfp4(const WeightMatrix& w) const {
  Matrix matrix;
  matrix.bits = 4;
  matrix.group = 32;
  const int groups = w.cols / 32;
  std::vector<uint8_t> codes(size_t(w.rows) * w.cols / 2);
  std::vector<uint8_t> exponents(size_t(w.rows) * groups);
  for (int row = 0; row < w.rows; row++) {
    mxfp4_row(
        w,
        row,
        &codes[size_t(row) * w.cols / 2],
        &exponents[size_t(row) * groups]);
  }
  matrix.codes =
      Array::from_bytes(codes.data(), {w.rows, w.cols / 8}, MLX_UINT32);
  matrix.scales =
      Array::from_bytes(exponents.data(), {w.rows, groups}, MLX_UINT8);
  return matrix;
}

Matrix WeightLoader::repack(const WeightMatrix& w) const {
  Matrix matrix;
  matrix.bits = code_bits(w);
  matrix.group = 32;
  const int words = w.cols / 32 * matrix.bits;
  const int groups = w.cols / 32;
  std::vector<uint8_t> codes(w.cols);
  std::vector<uint32_t> packed(size_t(w.rows) * words);
  std::vector<float> scales(size_t(w.rows) * groups);
  std::vector<float> biases(scales.size());
  for (int row = 0; row < w.rows; row++) {
    const size_t first = size_t(row) * groups;
    affine_row(w, row, codes.data(), &scales[first], &biases[first]);
    pack(codes, matrix.bits, &packed[size_t(row) * words]);
  }
  matrix.codes = Array::from_bytes(packed.data(), {w.rows, words}, MLX_UINT32);
  const std::vector<int> shape = {w.rows, groups};
  matrix.scales =
      graph_.cast(Array::from_bytes(scales.data(), shape, MLX_FLOAT32), dtype_);
  matrix.biases =
      graph_.cast(Array::from_bytes(biases.data(), shape, MLX_FLOAT32), dtype_);
  return matrix;
}

Matrix WeightLoader::stack(const std::vector<Matrix>& parts) const {
  Matrix matrix;
  matrix.bits = parts[0].bits;
  matrix.group = parts[0].group;
  Arrays all;
  if (matrix.bits) {
    matrix.codes = concatenate(graph_, parts, &Matrix::codes);
    matrix.scales = concatenate(graph_, parts, &Matrix::scales);
    all.add(matrix.codes);
    all.add(matrix.scales);
    if (!parts[0].biases.empty()) {
      matrix.biases = concatenate(graph_, parts, &Matrix::biases);
      all.add(matrix.biases);
    }
  } else {
    matrix.dense = concatenate(graph_, parts, &Matrix::dense);
    matrix.transposed = graph_.transpose(matrix.dense, {1, 0});
    all.add(matrix.dense);
    all.add(matrix.transposed);
  }
  evaluate(all);
  return matrix;
}

MatrixList WeightLoader::load(const std::vector<const WeightMatrix*>& parts) {
  if (parts.size() == 1 && parts[0]->data == shared_data_) {
    return shared_;
  }
  MatrixList list;
  std::vector<Matrix> alike;
  for (const WeightMatrix* part : parts) {
    Matrix next = upload(*part);
    if (!alike.empty() && !same_kind(alike[0], next)) {
      list.push_back(stack(alike));
      alike.clear();
    }
    alike.push_back(std::move(next));
  }
  list.push_back(stack(alike));
  for (const Matrix& matrix : list) {
    bytes_ += matrix.bytes();
  }
  if (!shared_data_) {
    shared_data_ = parts[0]->data;
    shared_ = list;
  }
  return list;
}

Matrix WeightLoader::load_stack(const std::vector<WeightMatrix>& matrices) {
  std::vector<Matrix> parts;
  for (const WeightMatrix& w : matrices) {
    parts.push_back(upload(w));
    if (!same_kind(parts[0], parts.back())) {
      throw Error(
          Code::kModelUnsupported,
          "the experts of a layer are quantised in several ways, which the "
          "MLX executor does not support; take --executor cpu");
    }
  }
  Matrix all = stack(parts);
  bytes_ += all.bytes();
  const auto n = static_cast<int>(matrices.size());
  for (Array Matrix::* member :
       {&Matrix::codes, &Matrix::scales, &Matrix::biases, &Matrix::dense}) {
    Array& array = all.*member;
    if (!array.empty()) {
      array = graph_.reshape(array, {n, array.dim(0) / n, array.dim(1)});
    }
  }
  if (!all.bits) {
    all.transposed = graph_.transpose(all.dense, {0, 2, 1});
  }
  return all;
}

Array WeightLoader::load_vector(const WeightVector& vector) {
  const Array array = graph_.cast(Array::from_floats(vector), dtype_);
  array.wait();
  bytes_ += array.bytes();
  return array;
}

Array apply(const Graph& graph, const Array& x, const MatrixList& matrices) {
  std::vector<Array> outputs;
  for (const Matrix& w : matrices) {
    outputs.push_back(
        w.bits ? graph.quantized_matmul(
                     x, w.codes, w.scales, w.biases, w.quantisation())
               : graph.matmul(x, w.transposed));
  }
  return graph.concatenate(outputs, 1);
}

Array lookup(
    const Graph& graph,
    const MatrixList& w,
    const Array& indices,
    mlx_dtype dtype) {
  const Matrix& table = w.at(0);
  if (!table.bits) {
    return graph.take(table.dense, indices);
  }
  return graph.dequantize(
      graph.take(table.codes, indices),
      graph.take(table.scales, indices),
      table.biases.empty() ? Array() : graph.take(table.biases, indices),
      table.quantisation(),
      dtype);
}

} // namespace stomp::mlx_exec

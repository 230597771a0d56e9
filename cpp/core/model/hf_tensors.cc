#include "model/hf_tensors.h"

#include <algorithm>
#include <optional>

#include "model/vector_weights.h"

namespace stomp {

namespace {

std::optional<WeightFormat> dense_format(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return WeightFormat::kF32;
    case Dtype::kF16:
      return WeightFormat::kF16;
    case Dtype::kBF16:
      return WeightFormat::kBF16;
    default:
      return std::nullopt;
  }
}

/// Of one matrix, or of n.
std::vector<uint64_t> shape(int n, int rows, int cols) {
  std::vector<uint64_t> all = {
      static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)};
  if (n > 0) {
    all.insert(all.begin(), static_cast<uint64_t>(n));
  }
  return all;
}

std::vector<WeightMatrix> cut(const WeightMatrix& all, int n) {
  const int rows = all.rows / n;
  std::vector<WeightMatrix> parts;
  parts.reserve(n);
  for (int i = 0; i < n; i++) {
    parts.push_back(rows_of(all, i * rows, rows));
  }
  return parts;
}

} // namespace

WeightMatrix HfTensors::matrix(const std::string& module, int rows, int cols) {
  return all(module, 0, rows, cols);
}

std::vector<WeightMatrix>
HfTensors::matrices(const std::string& module, int n, int rows, int cols) {
  return cut(all(module, n, rows, cols), n);
}

WeightMatrix
HfTensors::all(const std::string& module, int n, int rows, int cols) {
  if (has(module + ".scales")) {
    return quantised(module, n, rows, cols);
  }
  const SafetensorsTensor& t = take(module + ".weight", shape(n, rows, cols));
  WeightMatrix w;
  w.format = floating(t);
  w.rows = std::max(n, 1) * rows;
  w.cols = cols;
  w.data = t.data;
  return w;
}

MatrixFormat HfTensors::format_of(const std::string& module, int cols) const {
  const auto format = config_.format_of(module);
  if (!format) {
    fail(
        Code::kModelInvalid,
        "'" + module +
            "' has scales, but config.json has no quantization for it");
  }
  if (cols % format->group != 0) {
    fail(
        Code::kModelInvalid,
        "'" + module + "' has rows of " + std::to_string(cols) +
            " weights, not a multiple of the group of " +
            std::to_string(format->group));
  }
  return *format;
}

WeightMatrix
HfTensors::quantised(const std::string& module, int n, int rows, int cols) {
  const MatrixFormat format = format_of(module, cols);
  const auto words =
      static_cast<int>(static_cast<int64_t>(cols) * format.bits / 32);
  const SafetensorsTensor& codes =
      take(module + ".weight", shape(n, rows, words));
  const Shape groups = shape(n, rows, cols / format.group);
  const SafetensorsTensor& scales = take(module + ".scales", groups);
  if (codes.dtype != Dtype::kU32) {
    fail(Code::kModelInvalid, "'" + module + "': codes are not U32");
  }
  WeightMatrix w;
  w.rows = std::max(n, 1) * rows;
  w.cols = cols;
  w.data = codes.data;
  w.bits = format.bits;
  w.group = format.group;
  w.scales = scales.data;
  if (format.mxfp4) {
    w.format = WeightFormat::kMxfp4;
    if (scales.dtype != Dtype::kU8) {
      fail(Code::kModelInvalid, "'" + module + "': scales are not U8");
    }
    return w;
  }
  const SafetensorsTensor& biases = take(module + ".biases", groups);
  if (scales.dtype != biases.dtype) {
    fail(
        Code::kModelInvalid,
        "'" + module + "': scales and biases differ in type");
  }
  w.format = WeightFormat::kAffine;
  w.scale_format = floating(scales);
  w.biases = biases.data;
  return w;
}

std::vector<WeightMatrix>
HfTensors::blocks(const std::string& name, int n, int rows, int cols) {
  constexpr int kGroup = 32;
  if (cols % kGroup != 0) {
    fail(
        Code::kModelInvalid,
        "'" + name + "' has rows of " + std::to_string(cols) +
            " weights, not a multiple of 32");
  }
  Shape groups = shape(n, rows, cols / kGroup);
  const SafetensorsTensor& scales = take(name + "_scales", groups);
  groups.push_back(kGroup / 2);
  const SafetensorsTensor& codes = take(name + "_blocks", groups);
  if (codes.dtype != Dtype::kU8 || scales.dtype != Dtype::kU8) {
    fail(Code::kModelInvalid, "'" + name + "': blocks or scales are not U8");
  }
  WeightMatrix w;
  w.format = WeightFormat::kMxfp4;
  w.rows = n * rows;
  w.cols = cols;
  w.data = codes.data;
  w.bits = 4;
  w.group = kGroup;
  w.scales = scales.data;
  return cut(w, n);
}

WeightVector HfTensors::vector(const std::string& name, int size) {
  const SafetensorsTensor& t = take(name, {static_cast<uint64_t>(size)});
  return to_vector(t.data, floating(t), size);
}

std::vector<WeightVector>
HfTensors::vectors(const std::string& name, int n, int size) {
  const SafetensorsTensor& t = take(name, shape(0, n, size));
  const WeightFormat format = floating(t);
  const size_t step = t.bytes / n;
  std::vector<WeightVector> all;
  all.reserve(n);
  for (int i = 0; i < n; i++) {
    all.push_back(to_vector(t.data + i * step, format, size));
  }
  return all;
}

WeightVector HfTensors::norm(const std::string& module, int size) {
  WeightVector w = vector(module + ".weight", size);
  if (config_.norms_from_one) {
    for (float& x : w) {
      x += 1;
    }
  }
  return w;
}

std::string HfTensors::root() const {
  for (const char* root : {"language_model.model.", "model.language_model."}) {
    if (has(std::string(root) + "norm.weight")) {
      return root;
    }
  }
  return "model.";
}

std::string HfTensors::head() const {
  const std::string inner = "language_model.lm_head";
  return has(inner + ".weight") ? inner : "lm_head";
}

void HfTensors::refuse_rest() const {
  for (const auto& file : files_.files()) {
    for (const SafetensorsTensor& t : file->tensors()) {
      if (taken_.count(t.name) == 0 && !ignored(t.name)) {
        fail(
            Code::kModelUnsupported,
            "tensor '" + t.name + "' has no place in a " +
                config_.model.family + " model of this configuration");
      }
    }
  }
}

void HfTensors::refuse(const std::string& why) const {
  fail(Code::kModelUnsupported, why);
}

void HfTensors::fail(Code code, const std::string& why) const {
  throw Error(code, directory_ + ": " + why, {{"path", directory_}});
}

bool HfTensors::ignored(const std::string& name) const {
  // Older checkpoints carry the frequencies, which the config gives anyway.
  return name.ends_with(".rotary_emb.inv_freq") ||
      std::any_of(ignored_.begin(), ignored_.end(), [&](const std::string& m) {
           return name.starts_with(m + ".");
         });
}

const SafetensorsTensor& HfTensors::take(
    const std::string& name,
    const Shape& expected) {
  const SafetensorsTensor* t = files_.find(name);
  if (t == nullptr) {
    fail(Code::kModelInvalid, "tensor '" + name + "' is missing");
  }
  if (t->shape != expected) {
    fail(
        Code::kModelInvalid,
        "tensor '" + name + "' has the shape " + shape_text(t->shape) + ", " +
            shape_text(expected) + " follows from config.json");
  }
  taken_.insert(t->name);
  return *t;
}

WeightFormat HfTensors::floating(const SafetensorsTensor& t) const {
  const auto format = dense_format(t.dtype);
  if (!format) {
    fail(
        Code::kModelUnsupported,
        "tensor '" + t.name + "' has type " + dtype_name(t.dtype) +
            "; F32, F16 and BF16 are supported");
  }
  return *format;
}

} // namespace stomp

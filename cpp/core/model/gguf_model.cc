#include <optional>
#include <set>
#include <string_view>

#include "base/error.h"
#include "model/fingerprint.h"
#include "model/gguf_config.h"
#include "model/load.h"
#include "model/vector_weights.h"
#include "store/gguf_reader.h"

namespace stomp {

namespace {

std::optional<WeightFormat> format_of(uint32_t type) {
  switch (type) {
    case kGgmlF32:
      return WeightFormat::kF32;
    case kGgmlF16:
      return WeightFormat::kF16;
    case kGgmlBF16:
      return WeightFormat::kBF16;
    case kGgmlQ4_0:
      return WeightFormat::kQ4_0;
    case kGgmlQ4_1:
      return WeightFormat::kQ4_1;
    case kGgmlQ8_0:
      return WeightFormat::kQ8_0;
    case kGgmlMxfp4:
      return WeightFormat::kMxfp4Blocks;
    default:
      return std::nullopt;
  }
}

/// Hands out the file's tensors under their shapes and remembers which.
class Tensors {
 public:
  Tensors(const GgufFile& file, const std::string& family)
      : file_(file), family_(family) {}

  WeightMatrix matrix(const std::string& name, int rows, int cols) {
    return matrix_of(
        take(name, {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)}),
        rows,
        cols);
  }

  /// n of them, one behind the other in one tensor.
  std::vector<WeightMatrix>
  matrices(const std::string& name, int n, int rows, int cols) {
    const GgufTensor& t = take(
        name,
        {static_cast<uint64_t>(cols),
         static_cast<uint64_t>(rows),
         static_cast<uint64_t>(n)});
    const WeightMatrix all = matrix_of(t, n * rows, cols);
    std::vector<WeightMatrix> parts;
    parts.reserve(n);
    for (int i = 0; i < n; i++) {
      parts.push_back(rows_of(all, i * rows, rows));
    }
    return parts;
  }

  WeightVector vector(const std::string& name, int size) {
    const GgufTensor& t = take(name, {static_cast<uint64_t>(size)});
    return to_vector(t.data, dense_format(t), size);
  }

  /// n of them, one behind the other in one tensor.
  std::vector<WeightVector> vectors(const std::string& name, int n, int size) {
    const GgufTensor& t =
        take(name, {static_cast<uint64_t>(size), static_cast<uint64_t>(n)});
    const WeightFormat format = dense_format(t);
    const size_t step = t.bytes / n;
    std::vector<WeightVector> all;
    all.reserve(n);
    for (int i = 0; i < n; i++) {
      all.push_back(to_vector(t.data + i * step, format, size));
    }
    return all;
  }

  /// Read elsewhere, or of no consequence.
  void allow(std::string_view name) {
    if (const GgufTensor* t = file_.find_tensor(name)) {
      taken_.insert(t->name);
    }
  }

  void refuse_rest() const {
    for (const GgufTensor& t : file_.tensors()) {
      if (taken_.count(t.name) == 0) {
        fail(
            Code::kModelUnsupported,
            "tensor '" + t.name + "' has no place in a " + family_ +
                " model of this configuration");
      }
    }
  }

 private:
  [[noreturn]] void fail(Code code, const std::string& why) const {
    throw Error(code, file_.path() + ": " + why, {{"path", file_.path()}});
  }

  [[noreturn]] void refuse_type(const GgufTensor& t, const std::string& why)
      const {
    fail(
        Code::kModelUnsupported,
        "tensor '" + t.name + "' has type " + ggml_type_name(t.type) + "; " +
            why);
  }

  WeightFormat supported_format(const GgufTensor& t) const {
    const auto format = format_of(t.type);
    if (!format) {
      refuse_type(
          t, "F32, F16, BF16, Q4_0, Q4_1, Q8_0 and MXFP4 are supported");
    }
    return *format;
  }

  WeightFormat dense_format(const GgufTensor& t) const {
    const WeightFormat format = supported_format(t);
    if (format != WeightFormat::kF32 && format != WeightFormat::kF16 &&
        format != WeightFormat::kBF16) {
      refuse_type(t, "a norm or bias is F32, F16 or BF16");
    }
    return format;
  }

  WeightMatrix matrix_of(const GgufTensor& t, int rows, int cols) const {
    WeightMatrix w;
    w.format = supported_format(t);
    w.rows = rows;
    w.cols = cols;
    w.data = t.data;
    if (w.quantised()) {
      w.bits = code_bits(w);
      w.group = 32;
    }
    return w;
  }

  const GgufTensor& take(
      const std::string& name,
      const std::vector<uint64_t>& dims) {
    const GgufTensor* t = file_.find_tensor(name);
    if (t == nullptr) {
      fail(Code::kModelInvalid, "tensor '" + name + "' is missing");
    }
    if (t->dims != dims) {
      fail(
          Code::kModelInvalid,
          "tensor '" + name + "' has the shape " + shape_text(t->dims) + ", " +
              shape_text(dims) + " follows from the metadata");
    }
    taken_.insert(t->name);
    return *t;
  }

  const GgufFile& file_;
  const std::string family_;
  std::set<std::string_view> taken_; // names in file_
};

void load_attention(
    Tensors& in,
    const ModelConfig& c,
    const std::string& p,
    LayerWeights& w) {
  w.attention_norm = in.vector(p + "attn_norm.weight", c.d_model);
  w.q = in.matrix(p + "attn_q.weight", c.q_dim(), c.d_model);
  w.k = in.matrix(p + "attn_k.weight", c.kv_dim(), c.d_model);
  w.v = in.matrix(p + "attn_v.weight", c.kv_dim(), c.d_model);
  if (c.qkv_bias) {
    w.q.bias = in.vector(p + "attn_q.bias", c.q_dim());
    w.k.bias = in.vector(p + "attn_k.bias", c.kv_dim());
    w.v.bias = in.vector(p + "attn_v.bias", c.kv_dim());
  }
  if (c.qk_norm) {
    w.q_norm = in.vector(p + "attn_q_norm.weight", c.head_dim);
    w.k_norm = in.vector(p + "attn_k_norm.weight", c.head_dim);
  }
  if (c.sinks) {
    w.sinks = in.vector(p + "attn_sinks.weight", c.n_heads);
  }
  w.o = in.matrix(p + "attn_output.weight", c.d_model, c.q_dim());
  if (c.o_bias) {
    w.o.bias = in.vector(p + "attn_output.bias", c.d_model);
  }
}

/// Matrices with their biases, if the mixture has some.
std::vector<WeightMatrix> load_experts(
    Tensors& in,
    const MoeConfig& moe,
    const std::string& name,
    int rows,
    int cols) {
  auto all = in.matrices(name + ".weight", moe.n_experts, rows, cols);
  if (moe.biases) {
    auto biases = in.vectors(name + ".bias", moe.n_experts, rows);
    for (int e = 0; e < moe.n_experts; e++) {
      all[e].bias = std::move(biases[e]);
    }
  }
  return all;
}

ExpertWeights
load_mixture(Tensors& in, const ModelConfig& c, const std::string& p) {
  const MoeConfig& moe = c.moe;
  ExpertWeights w;
  w.router = in.matrix(p + "ffn_gate_inp.weight", moe.n_experts, c.d_model);
  if (moe.biases) {
    w.router.bias = in.vector(p + "ffn_gate_inp.bias", moe.n_experts);
  }
  w.gate = load_experts(in, moe, p + "ffn_gate_exps", moe.d_ff, c.d_model);
  w.up = load_experts(in, moe, p + "ffn_up_exps", moe.d_ff, c.d_model);
  w.down = load_experts(in, moe, p + "ffn_down_exps", c.d_model, moe.d_ff);
  return w;
}

LayerWeights load_layer(Tensors& in, const ModelConfig& c, int layer) {
  const std::string p = "blk." + std::to_string(layer) + ".";
  LayerWeights w;
  load_attention(in, c, p, w);
  // GPT-OSS's has the name of what it follows.
  const bool gpt_oss = c.family == "gpt_oss";
  w.ffn_norm = in.vector(
      p + (gpt_oss ? "post_attention_norm" : "ffn_norm") + ".weight",
      c.d_model);
  if (c.post_norms) {
    w.o_norm = in.vector(p + "post_attention_norm.weight", c.d_model);
    w.down_norm = in.vector(p + "post_ffw_norm.weight", c.d_model);
  }
  if (c.moe.in_layer(layer)) {
    w.experts = load_mixture(in, c, p);
    return w;
  }
  w.gate = in.matrix(p + "ffn_gate.weight", c.d_ff, c.d_model);
  w.up = in.matrix(p + "ffn_up.weight", c.d_ff, c.d_model);
  w.down = in.matrix(p + "ffn_down.weight", c.d_model, c.d_ff);
  return w;
}

ModelWeights load_weights(const GgufFile& file, const ModelConfig& c) {
  Tensors in(file, c.family);
  ModelWeights w;
  w.embedding = in.matrix("token_embd.weight", c.vocab_size, c.d_model);
  for (int l = 0; l < c.n_layers; l++) {
    w.layers.push_back(load_layer(in, c, l));
  }
  w.final_norm = in.vector("output_norm.weight", c.d_model);
  w.head = c.tied_embeddings
      ? w.embedding
      : in.matrix("output.weight", c.vocab_size, c.d_model);
  in.allow("rope_freqs.weight"); // in the configuration already
  in.refuse_rest();
  return w;
}

} // namespace

Model load_gguf(const std::string& path) {
  const auto file = std::make_shared<const GgufFile>(path);
  Model model;
  model.config = config_from_gguf(*file);
  model.weights = load_weights(*file, model.config);
  model.weights.mapping = file;
  model.file_bytes = file->file().size();
  Fingerprint fingerprint;
  fingerprint.add_text("gguf");
  fingerprint.add_file(file->file().size(), file->header());
  for (const GgufTensor& t : file->tensors()) {
    fingerprint.add_tensor({t.data, t.bytes});
  }
  model.fingerprint = fingerprint.finish();
  return model;
}

} // namespace stomp

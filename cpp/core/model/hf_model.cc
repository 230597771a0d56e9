#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

#include "base/error.h"
#include "model/fingerprint.h"
#include "model/hf_config.h"
#include "model/load.h"
#include "model/vector_weights.h"
#include "store/checkpoint_files.h"

namespace stomp {

namespace fs = std::filesystem;

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

/// The head's module.
std::string head_of(const CheckpointFiles& files) {
  const std::string inner = "language_model.lm_head";
  return files.find(inner + ".weight") != nullptr ? inner : "lm_head";
}

/// Hands out the checkpoint's tensors under their shapes and remembers which.
class Tensors {
 public:
  Tensors(
      const CheckpointFiles& files,
      const HfConfig& config,
      const std::string& directory)
      : files_(files), config_(config), directory_(directory) {}

  bool has(const std::string& name) const {
    return files_.find(name) != nullptr;
  }

  /// Dense, or quantised when scales lie beside the weights.
  WeightMatrix matrix(const std::string& module, int rows, int cols) {
    if (has(module + ".scales")) {
      return affine(module, rows, cols);
    }
    const SafetensorsTensor& t = take(module + ".weight", shape(rows, cols));
    WeightMatrix w;
    w.format = floating(t);
    w.rows = rows;
    w.cols = cols;
    w.data = t.data;
    return w;
  }

  WeightVector vector(const std::string& name, int size) {
    const SafetensorsTensor& t = take(name, {static_cast<uint64_t>(size)});
    return to_vector(t.data, floating(t), size);
  }

  /// A norm's weights.
  WeightVector norm(const std::string& module, int size) {
    WeightVector w = vector(module + ".weight", size);
    if (config_.norms_from_one) {
      for (float& x : w) {
        x += 1;
      }
    }
    return w;
  }

  /// What the names of the language model's tensors begin with: a model that
  /// also sees images has other parts beside it.
  std::string root() {
    for (const char* root :
         {"language_model.model.", "model.language_model."}) {
      if (has(std::string(root) + "norm.weight")) {
        return root;
      }
    }
    return "model.";
  }
  std::string head() const { return head_of(files_); }

  /// Part of the checkpoint that the model does not use.
  void ignore(const std::string& module) { ignored_.push_back(module); }

  void refuse_rest() const {
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

 private:
  [[noreturn]] void fail(Code code, const std::string& why) const {
    throw Error(code, directory_ + ": " + why, {{"path", directory_}});
  }

  static std::vector<uint64_t> shape(int rows, int cols) {
    return {static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)};
  }

  bool ignored(const std::string& name) const {
    // Older checkpoints carry the frequencies, which the config gives anyway.
    return name.ends_with(".rotary_emb.inv_freq") ||
        std::any_of(
               ignored_.begin(), ignored_.end(), [&](const std::string& m) {
                 return name.starts_with(m + ".");
               });
  }

  const SafetensorsTensor& take(
      const std::string& name,
      const std::vector<uint64_t>& expected) {
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

  WeightFormat floating(const SafetensorsTensor& t) const {
    const auto format = dense_format(t.dtype);
    if (!format) {
      fail(
          Code::kModelUnsupported,
          "tensor '" + t.name + "' has type " + dtype_name(t.dtype) +
              "; F32, F16 and BF16 are supported");
    }
    return *format;
  }

  WeightMatrix affine(const std::string& module, int rows, int cols) {
    const auto spec = config_.format_of(module);
    if (!spec) {
      fail(
          Code::kModelInvalid,
          "'" + module +
              "' has scales, but config.json has no quantization "
              "for it");
    }
    if (cols % spec->group != 0) {
      fail(
          Code::kModelInvalid,
          "'" + module + "' has rows of " + std::to_string(cols) +
              " weights, not a multiple of the group of " +
              std::to_string(spec->group));
    }
    const auto words =
        static_cast<int>(static_cast<int64_t>(cols) * spec->bits / 32);
    const SafetensorsTensor& codes =
        take(module + ".weight", shape(rows, words));
    const auto groups = shape(rows, cols / spec->group);
    const SafetensorsTensor& scales = take(module + ".scales", groups);
    const SafetensorsTensor& biases = take(module + ".biases", groups);
    if (codes.dtype != Dtype::kU32 || scales.dtype != biases.dtype) {
      fail(
          Code::kModelInvalid,
          "'" + module +
              "': codes are not U32, or scales and biases differ "
              "in type");
    }
    WeightMatrix w;
    w.format = WeightFormat::kAffine;
    w.rows = rows;
    w.cols = cols;
    w.data = codes.data;
    w.bits = spec->bits;
    w.group = spec->group;
    w.scale_format = floating(scales);
    w.scales = scales.data;
    w.biases = biases.data;
    return w;
  }

  const CheckpointFiles& files_;
  const HfConfig& config_;
  const std::string& directory_;
  std::set<std::string_view> taken_; // names in files_
  std::vector<std::string> ignored_;
};

LayerWeights
load_layer(Tensors& in, const ModelConfig& c, const std::string& p) {
  LayerWeights w;
  w.attention_norm = in.norm(p + "input_layernorm", c.d_model);
  w.q = in.matrix(p + "self_attn.q_proj", c.q_dim(), c.d_model);
  w.k = in.matrix(p + "self_attn.k_proj", c.kv_dim(), c.d_model);
  w.v = in.matrix(p + "self_attn.v_proj", c.kv_dim(), c.d_model);
  if (c.qkv_bias) {
    w.q.bias = in.vector(p + "self_attn.q_proj.bias", c.q_dim());
    w.k.bias = in.vector(p + "self_attn.k_proj.bias", c.kv_dim());
    w.v.bias = in.vector(p + "self_attn.v_proj.bias", c.kv_dim());
  }
  if (c.qk_norm) {
    w.q_norm = in.norm(p + "self_attn.q_norm", c.head_dim);
    w.k_norm = in.norm(p + "self_attn.k_norm", c.head_dim);
  }
  w.o = in.matrix(p + "self_attn.o_proj", c.d_model, c.q_dim());
  if (c.post_norms) {
    w.o_norm = in.norm(p + "post_attention_layernorm", c.d_model);
    w.ffn_norm = in.norm(p + "pre_feedforward_layernorm", c.d_model);
    w.down_norm = in.norm(p + "post_feedforward_layernorm", c.d_model);
  } else {
    w.ffn_norm = in.norm(p + "post_attention_layernorm", c.d_model);
  }
  w.gate = in.matrix(p + "mlp.gate_proj", c.d_ff, c.d_model);
  w.up = in.matrix(p + "mlp.up_proj", c.d_ff, c.d_model);
  w.down = in.matrix(p + "mlp.down_proj", c.d_model, c.d_ff);
  return w;
}

ModelWeights load_weights(Tensors& in, const ModelConfig& c) {
  const std::string root = in.root();
  ModelWeights w;
  w.embedding = in.matrix(root + "embed_tokens", c.vocab_size, c.d_model);
  for (int l = 0; l < c.n_layers; l++) {
    const std::string layer = root + "layers." + std::to_string(l) + ".";
    w.layers.push_back(load_layer(in, c, layer));
  }
  w.final_norm = in.norm(root + "norm", c.d_model);
  const std::string head = in.head();
  if (c.tied_embeddings) {
    w.head = w.embedding;
    in.ignore(head); // a copy, when it is there
  } else {
    w.head = in.matrix(head, c.vocab_size, c.d_model);
  }
  if (root != "model.") {
    for (const char* part : {"vision_tower", "multi_modal_projector"}) {
      in.ignore(part);
      in.ignore(std::string("model.") + part);
    }
  }
  in.refuse_rest();
  return w;
}

std::string read_text(const fs::path& path) {
  const MappedFile file(path.string());
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

HfConfig read_config(const fs::path& directory, Fingerprint& fingerprint) {
  const fs::path path = directory / "config.json";
  const std::string text = read_text(path);
  fingerprint.add_text(text);
  HfConfig config = parse_hf_config(text, path.string());
  const fs::path generation = directory / "generation_config.json";
  std::error_code error;
  if (fs::exists(generation, error)) {
    add_generation_config(
        read_text(generation), generation.string(), config.model);
  }
  // The last part of a hub id, or the directory's own name.
  std::string& name = config.model.name;
  name = fs::path(name.empty() ? directory : fs::path(name))
             .lexically_normal()
             .filename()
             .string();
  return config;
}

} // namespace

Model load_hf_directory(const std::string& directory) {
  Fingerprint fingerprint;
  fingerprint.add_text("safetensors");
  HfConfig config = read_config(directory, fingerprint);
  const auto files = std::make_shared<const CheckpointFiles>(directory);
  // Where the config is silent, the head's presence decides.
  if (!config.tied) {
    config.model.tied_embeddings =
        files->find(head_of(*files) + ".weight") == nullptr;
  }
  Model model;
  Tensors in(*files, config, directory);
  model.weights = load_weights(in, config.model);
  model.weights.mapping = files;
  model.config = config.model;
  model.file_bytes = files->bytes();
  for (const auto& file : files->files()) {
    fingerprint.add_file(file->file().size(), file->header());
    for (const SafetensorsTensor& t : file->tensors()) {
      fingerprint.add_tensor({t.data, t.bytes});
    }
  }
  model.fingerprint = fingerprint.finish();
  return model;
}

} // namespace stomp

#include <filesystem>

#include "base/error.h"
#include "model/fingerprint.h"
#include "model/hf_config.h"
#include "model/hf_experts.h"
#include "model/hf_tensors.h"
#include "model/load.h"
#include "store/checkpoint_files.h"

namespace stomp {

namespace fs = std::filesystem;

namespace {

/// And the norms of both halves of the layer.
void load_attention(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& p,
    LayerWeights& w) {
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
  if (c.o_bias) {
    w.o.bias = in.vector(p + "self_attn.o_proj.bias", c.d_model);
  }
  if (c.sinks) {
    w.sinks = in.vector(p + "self_attn.sinks", c.n_heads);
  }
  if (c.post_norms) {
    w.o_norm = in.norm(p + "post_attention_layernorm", c.d_model);
    w.ffn_norm = in.norm(p + "pre_feedforward_layernorm", c.d_model);
    w.down_norm = in.norm(p + "post_feedforward_layernorm", c.d_model);
  } else {
    w.ffn_norm = in.norm(p + "post_attention_layernorm", c.d_model);
  }
}

void load_feed_forward(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& mlp,
    LayerWeights& w) {
  w.gate = in.matrix(mlp + ".gate_proj", c.d_ff, c.d_model);
  w.up = in.matrix(mlp + ".up_proj", c.d_ff, c.d_model);
  w.down = in.matrix(mlp + ".down_proj", c.d_model, c.d_ff);
}

LayerWeights load_layer(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& root,
    int layer) {
  const std::string p = root + "layers." + std::to_string(layer) + ".";
  LayerWeights w;
  load_attention(in, c, p, w);
  if (c.moe.in_layer(layer)) {
    w.experts = load_experts(in, c, p + "mlp");
  } else {
    load_feed_forward(in, c, p + "mlp", w);
  }
  return w;
}

ModelWeights load_weights(HfTensors& in, const ModelConfig& c) {
  const std::string root = in.root();
  ModelWeights w;
  w.embedding = in.matrix(root + "embed_tokens", c.vocab_size, c.d_model);
  for (int l = 0; l < c.n_layers; l++) {
    w.layers.push_back(load_layer(in, c, root, l));
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
  HfTensors in(*files, config, directory);
  if (!config.tied) {
    config.model.tied_embeddings = !in.has(in.head() + ".weight");
  }
  Model model;
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

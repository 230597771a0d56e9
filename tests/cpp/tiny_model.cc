#include "tiny_model.h"

#include <cstring>
#include <stdexcept>

#include "base/half.h"
#include "store/gguf_reader.h"
#include "temp_dir.h"

namespace tiny {

using stomp::Dtype;

namespace {

float small(std::mt19937& random) {
  return (static_cast<float>(random() % 2001) - 1000) / 10000;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_float(std::string& out, Dtype dtype, float value) {
  switch (dtype) {
    case Dtype::kF32:
      return put(out, value);
    case Dtype::kF16:
      return put(out, stomp::f32_to_f16(value));
    case Dtype::kBF16:
      return put(out, stomp::f32_to_bf16(value));
    default:
      throw std::logic_error("not a floating type");
  }
}

std::string floats(Dtype dtype, size_t n, std::mt19937& random) {
  std::string out;
  for (size_t i = 0; i < n; i++) {
    put_float(out, dtype, small(random));
  }
  return out;
}

std::string noise(size_t n, std::mt19937& random) {
  std::string out(n, '\0');
  for (char& c : out) {
    c = static_cast<char>(random());
  }
  return out;
}

uint64_t u64(int n) {
  return static_cast<uint64_t>(n);
}

void add_matrix(
    std::vector<HfTensor>& out,
    const Part& part,
    const Affine& affine,
    Dtype dtype,
    std::mt19937& random) {
  const uint64_t rows = u64(part.rows);
  const uint64_t cols = u64(part.cols);
  const std::string& name = part.module;
  if (affine.bits == 0) {
    out.push_back(
        {{name + ".weight", dtype, {rows, cols}},
         floats(dtype, rows * cols, random)});
    return;
  }
  const uint64_t words = cols * u64(affine.bits) / 32;
  const uint64_t groups = cols / u64(affine.group);
  out.push_back(
      {{name + ".weight", Dtype::kU32, {rows, words}},
       noise(rows * words * 4, random)});
  for (const char* what : {".scales", ".biases"}) {
    out.push_back(
        {{name + what, dtype, {rows, groups}},
         floats(dtype, rows * groups, random)});
  }
}

} // namespace

std::vector<Part> parts(bool tied) {
  std::vector<Part> all = {
      {"token_embd", "model.embed_tokens", kVocab, kModel}};
  for (int l = 0; l < kLayers; l++) {
    const std::string g = "blk." + std::to_string(l) + ".";
    const std::string h = "model.layers." + std::to_string(l) + ".";
    const std::vector<Part> layer = {
        {"attn_norm", "input_layernorm", 0, kModel},
        {"attn_q", "self_attn.q_proj", kModel, kModel},
        {"attn_k", "self_attn.k_proj", kKv, kModel},
        {"attn_v", "self_attn.v_proj", kKv, kModel},
        {"attn_output", "self_attn.o_proj", kModel, kModel},
        {"ffn_norm", "post_attention_layernorm", 0, kModel},
        {"ffn_gate", "mlp.gate_proj", kFf, kModel},
        {"ffn_up", "mlp.up_proj", kFf, kModel},
        {"ffn_down", "mlp.down_proj", kModel, kFf},
    };
    for (const Part& p : layer) {
      all.push_back({g + p.gguf, h + p.module, p.rows, p.cols});
    }
  }
  all.push_back({"output_norm", "model.norm", 0, kModel});
  if (!tied) {
    all.push_back({"output", "lm_head", kVocab, kModel});
  }
  return all;
}

std::string
ggml_bytes(uint32_t type, int rows, int cols, std::mt19937& random) {
  const size_t n = static_cast<size_t>(rows) * cols;
  switch (type) {
    case stomp::kGgmlF32:
      return floats(Dtype::kF32, n, random);
    case stomp::kGgmlF16:
      return floats(Dtype::kF16, n, random);
    case stomp::kGgmlBF16:
      return floats(Dtype::kBF16, n, random);
    default:
      break;
  }
  const size_t halves = type == stomp::kGgmlQ4_1 ? 2 : 1;
  const size_t codes = type == stomp::kGgmlQ8_0 ? 32 : 16;
  std::string out;
  for (size_t block = 0; block < n / 32; block++) {
    out += floats(Dtype::kF16, halves, random) + noise(codes, random);
  }
  return out;
}

GgufBuilder gguf(uint32_t type, bool tied, uint32_t seed) {
  std::mt19937 random(seed);
  GgufBuilder b;
  b.string("general.architecture", "llama")
      .string("general.name", "Tiny")
      .u32("llama.block_count", kLayers)
      .u32("llama.context_length", kContext)
      .u32("llama.embedding_length", kModel)
      .u32("llama.feed_forward_length", kFf)
      .u32("llama.attention.head_count", kHeads)
      .u32("llama.attention.head_count_kv", kKvHeads)
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .f32("llama.rope.freq_base", 10000)
      .u32("llama.rope.dimension_count", kHeadDim)
      .strings("tokenizer.ggml.tokens", std::vector<std::string>(kVocab, "t"))
      .u32("tokenizer.ggml.eos_token_id", 2);
  for (const Part& p : parts(tied)) {
    if (p.rows == 0) {
      b.tensor(
          p.gguf + ".weight",
          {u64(p.cols)},
          stomp::kGgmlF32,
          ggml_bytes(stomp::kGgmlF32, 1, p.cols, random));
    } else {
      b.tensor(
          p.gguf + ".weight",
          {u64(p.cols), u64(p.rows)},
          type,
          ggml_bytes(type, p.rows, p.cols, random));
    }
  }
  return b;
}

std::string open_config(bool tied) {
  return std::string(R"({"model_type":"llama","hidden_size":128,)") +
      R"("num_hidden_layers":2,"intermediate_size":256,)"
      R"("num_attention_heads":4,"num_key_value_heads":2,"vocab_size":48,)"
      R"("max_position_embeddings":512,"rms_norm_eps":1e-5,)"
      R"("eos_token_id":2,"tie_word_embeddings":)" +
      (tied ? "true" : "false");
}

std::vector<HfTensor> hf_tensors(const HfOptions& options) {
  std::mt19937 random(options.seed);
  std::vector<HfTensor> out;
  for (const Part& p : parts(options.tied)) {
    if (p.rows == 0) {
      out.push_back(
          {{p.module + ".weight", options.dtype, {u64(p.cols)}},
           floats(options.dtype, u64(p.cols), random)});
      continue;
    }
    const auto it = options.modules.find(p.module);
    const Affine& affine =
        it != options.modules.end() ? it->second : options.affine;
    add_matrix(out, p, affine, options.dtype, random);
  }
  return out;
}

void write_tensors(
    const std::string& path,
    const std::vector<HfTensor>& tensors) {
  std::vector<stomp::TensorDeclaration> declarations;
  for (const HfTensor& t : tensors) {
    declarations.push_back(t.declaration);
  }
  stomp::SafetensorsWriter writer(path, declarations, {{"format", "mlx"}});
  for (const HfTensor& t : tensors) {
    writer.append(std::as_bytes(std::span(t.bytes.data(), t.bytes.size())));
  }
  writer.finish();
}

void write_hf(const std::string& directory, const HfOptions& options) {
  std::string config = open_config(options.tied);
  const auto format = [](const Affine& a) {
    return "\"group_size\":" + std::to_string(a.group) +
        ",\"bits\":" + std::to_string(a.bits);
  };
  if (options.affine.bits > 0) {
    config += ",\"quantization\":{" + format(options.affine);
    for (const auto& [module, affine] : options.modules) {
      config += ",\"" + module +
          "\":" + (affine.bits > 0 ? "{" + format(affine) + "}" : "false");
    }
    config += "}";
  }
  write_file(directory + "/config.json", config + "}");
  write_tensors(directory + "/model.safetensors", hf_tensors(options));
}

} // namespace tiny

// Mixtures of experts, from the files to their weights: the ways in which
// checkpoints store experts hold the same ones, and what is amiss is refused
// by its name.
#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "model/model_file.h"
#include "store/gguf_reader.h"
#include "temp_dir.h"
#include "tiny_model.h"

using namespace stomp;

namespace {

constexpr int kExperts = 3;
constexpr int kExpertFf = tiny::kFf;

std::string noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(n, '\0');
  for (char& c : out) {
    c = static_cast<char>(random() & 0x3f); // no exponent of infinity
  }
  return out;
}

size_t bytes_of(Dtype dtype, const std::vector<uint64_t>& shape) {
  size_t n = dtype_bytes(dtype);
  for (const uint64_t d : shape) {
    n *= d;
  }
  return n;
}

/// A checkpoint's folder: the tiny model with experts for feed-forwards.
class Folder {
 public:
  explicit Folder(const std::string& family) : family_(family) {
    for (tiny::HfTensor& t : tiny::hf_tensors({})) {
      if (!contains(t.declaration.name, ".mlp.")) {
        tensors.push_back(std::move(t));
      }
    }
  }

  /// Of both layers, of the same bytes.
  void add(
      const std::string& name,
      Dtype dtype,
      const std::vector<uint64_t>& shape,
      std::string bytes = {}) {
    if (bytes.empty()) {
      bytes = noise(bytes_of(dtype, shape), ++seed_);
    }
    for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
      tensors.push_back({{layer + name, dtype, shape}, bytes});
    }
  }

  std::shared_ptr<const Model> open() {
    std::string config = tiny::open_config(true);
    const std::string llama = "\"llama\"";
    config.replace(config.find(llama), llama.size(), "\"" + family_ + "\"");
    const TempDir dir; // the mapping outlives the names
    write_file(dir / "config.json", config + more_[family_ == "gpt_oss"]);
    tiny::write_tensors(dir / "model.safetensors", tensors);
    return open_model(dir.path());
  }

  std::vector<tiny::HfTensor> tensors;

 private:
  const char* more_[2] = {
      R"(,"num_experts":3,"num_experts_per_tok":2,"norm_topk_prob":true,)"
      R"("moe_intermediate_size":256})",
      R"(,"num_local_experts":3,"num_experts_per_tok":2,"sliding_window":16,)"
      R"("quantization":{"mode":"mxfp4",)"
      R"("bits":4,"group_size":32}})"};
  std::string family_;
  uint32_t seed_ = 0;
};

Folder qwen() {
  Folder folder("qwen3_moe");
  folder.add("self_attn.q_norm.weight", Dtype::kBF16, {tiny::kHeadDim});
  folder.add("self_attn.k_norm.weight", Dtype::kBF16, {tiny::kHeadDim});
  folder.add("mlp.gate.weight", Dtype::kBF16, {kExperts, tiny::kModel});
  return folder;
}

struct Part {
  const char* name;
  uint64_t rows;
  uint64_t cols;
};
constexpr Part kParts[] = {
    {"gate_proj", kExpertFf, tiny::kModel},
    {"up_proj", kExpertFf, tiny::kModel},
    {"down_proj", tiny::kModel, kExpertFf}};

/// MLX's: all experts in one tensor.
Folder stacked_qwen() {
  Folder folder = qwen();
  for (const Part& p : kParts) {
    folder.add(
        std::string("mlp.switch_mlp.") + p.name + ".weight",
        Dtype::kBF16,
        {kExperts, p.rows, p.cols});
  }
  return folder;
}

/// Hugging Face's: those of `stacked`, cut.
Folder single_qwen(const Folder& stacked) {
  Folder folder("qwen3_moe");
  folder.tensors.clear();
  for (const tiny::HfTensor& t : stacked.tensors) {
    const size_t at = t.declaration.name.find("switch_mlp.");
    if (at == std::string::npos) {
      folder.tensors.push_back(t);
      continue;
    }
    const size_t n = t.bytes.size() / kExperts;
    for (int e = 0; e < kExperts; e++) {
      tiny::HfTensor own{t.declaration, t.bytes.substr(n * e, n)};
      own.declaration.name.replace(
          at, 11, "experts." + std::to_string(e) + ".");
      own.declaration.shape.erase(own.declaration.shape.begin());
      folder.tensors.push_back(own);
    }
  }
  return folder;
}

Folder gpt_oss() {
  Folder folder("gpt_oss");
  const std::pair<const char*, uint64_t> biases[] = {
      {"self_attn.q_proj.bias", tiny::kModel},
      {"self_attn.k_proj.bias", tiny::kKv},
      {"self_attn.v_proj.bias", tiny::kKv},
      {"self_attn.o_proj.bias", tiny::kModel},
      {"self_attn.sinks", tiny::kHeads},
      {"mlp.router.bias", kExperts}};
  for (const auto& [name, n] : biases) {
    folder.add(name, Dtype::kBF16, {n});
  }
  folder.add("mlp.router.weight", Dtype::kBF16, {kExperts, tiny::kModel});
  return folder;
}

/// MLX's MXFP4.
Folder stacked_gpt_oss() {
  Folder folder = gpt_oss();
  for (const Part& p : kParts) {
    const std::string name = std::string("mlp.experts.") + p.name;
    folder.add(name + ".weight", Dtype::kU32, {kExperts, p.rows, p.cols / 8});
    folder.add(name + ".scales", Dtype::kU8, {kExperts, p.rows, p.cols / 32});
    folder.add(name + ".bias", Dtype::kBF16, {kExperts, p.rows});
  }
  return folder;
}

const std::string& bytes_in(const Folder& folder, const std::string& name) {
  const auto it = std::find_if(
      folder.tensors.begin(), folder.tensors.end(), [&](const auto& t) {
        return t.declaration.name == "model.layers.0.mlp.experts." + name;
      });
  return it->bytes;
}

/// Rows of n bytes of a and b by turns.
std::string by_turns(const std::string& a, const std::string& b, size_t n) {
  std::string out;
  for (size_t i = 0; i < a.size(); i += n) {
    out += a.substr(i, n) + b.substr(i, n);
  }
  return out;
}

/// OpenAI's: those of `stacked`.
Folder original_gpt_oss(const Folder& stacked) {
  Folder folder = gpt_oss();
  const auto both = [&](const std::string& what, size_t row) {
    return by_turns(
        bytes_in(stacked, "gate_proj." + what),
        bytes_in(stacked, "up_proj." + what),
        row);
  };
  const uint64_t pairs = 2 * kExpertFf;
  const std::string p = "mlp.experts.";
  folder.add(
      p + "gate_up_proj_blocks",
      Dtype::kU8,
      {kExperts, pairs, tiny::kModel / 32, 16},
      both("weight", tiny::kModel / 2));
  folder.add(
      p + "gate_up_proj_scales",
      Dtype::kU8,
      {kExperts, pairs, tiny::kModel / 32},
      both("scales", tiny::kModel / 32));
  folder.add(
      p + "gate_up_proj_bias",
      Dtype::kBF16,
      {kExperts, pairs},
      both("bias", 2));
  folder.add(
      p + "down_proj_blocks",
      Dtype::kU8,
      {kExperts, tiny::kModel, kExpertFf / 32, 16},
      bytes_in(stacked, "down_proj.weight"));
  folder.add(
      p + "down_proj_scales",
      Dtype::kU8,
      {kExperts, tiny::kModel, kExpertFf / 32},
      bytes_in(stacked, "down_proj.scales"));
  folder.add(
      p + "down_proj_bias",
      Dtype::kBF16,
      {kExperts, tiny::kModel},
      bytes_in(stacked, "down_proj.bias"));
  return folder;
}

void check_same(const WeightMatrix& a, const WeightMatrix& b) {
  CHECK(a.rows == b.rows && a.cols == b.cols && a.bias == b.bias);
  std::vector<float> x(a.cols);
  std::vector<float> y(a.cols);
  for (int row = 0; row < a.rows; row++) {
    dequantise_row(a, row, x.data());
    dequantise_row(b, row, y.data());
    CHECK(x == y);
  }
}

void check_same(const ExpertWeights& a, const ExpertWeights& b) {
  CHECK_EQUAL(a.gate.size(), size_t{kExperts});
  check_same(a.router, b.router);
  for (int e = 0; e < kExperts; e++) {
    check_same(a.gate[e], b.gate[e]);
    check_same(a.up[e], b.up[e]);
    check_same(a.down[e], b.down[e]);
  }
}

/// Without any one of its tensors, or with it in another shape, it is refused.
void check_needs_all(const std::function<Folder()>& make) {
  const size_t n = make().tensors.size();
  for (size_t i = 0; i < n; i++) {
    Folder folder = make();
    const std::string name = folder.tensors[i].declaration.name;
    auto& shape = folder.tensors[i].declaration.shape;
    shape.push_back(1);
    std::string said = error_of([&] { folder.open(); });
    CHECK(contains(said, "MODEL_INVALID"));
    CHECK(contains(said, "tensor '" + name + "' has the shape"));
    folder.tensors.erase(folder.tensors.begin() + static_cast<ptrdiff_t>(i));
    said = error_of([&] { folder.open(); });
    CHECK(contains(said, "MODEL_"));
  }
}

} // namespace

TEST("model: experts one by one are those that stand in one tensor") {
  Folder stacked = stacked_qwen();
  Folder single = single_qwen(stacked);
  const auto a = stacked.open();
  const auto b = single.open();
  CHECK_EQUAL(a->config.moe.n_chosen, 2);
  for (int l = 0; l < tiny::kLayers; l++) {
    check_same(a->weights.layers[l].experts, b->weights.layers[l].experts);
    CHECK(a->weights.layers[l].gate.data == nullptr);
  }
}

TEST("model: gates and ups by turns are those that stand apart") {
  Folder stacked = stacked_gpt_oss();
  Folder original = original_gpt_oss(stacked);
  const auto a = stacked.open();
  const auto b = original.open();
  for (int l = 0; l < tiny::kLayers; l++) {
    check_same(a->weights.layers[l].experts, b->weights.layers[l].experts);
    CHECK_EQUAL(b->weights.layers[l].sinks.size(), size_t{tiny::kHeads});
    CHECK_EQUAL(b->weights.layers[l].o.bias.size(), size_t{tiny::kModel});
    CHECK_EQUAL(
        b->weights.layers[l].experts.router.bias.size(), size_t{kExperts});
  }
}

TEST("model: experts in a form that is not read are refused by it") {
  Folder folder = gpt_oss();
  folder.add(
      "mlp.experts.gate_up_proj",
      Dtype::kBF16,
      {kExperts, tiny::kModel, 2 * kExpertFf});
  const std::string said = error_of([&] { folder.open(); });
  CHECK(contains(said, "MODEL_UNSUPPORTED"));
  CHECK(contains(said, "gate_up_proj' is dense and transposed"));
}

TEST("model: every tensor of a mixture must be there in its shape") {
  check_needs_all(stacked_qwen);
  check_needs_all([] { return single_qwen(stacked_qwen()); });
  check_needs_all(stacked_gpt_oss);
  check_needs_all([] { return original_gpt_oss(stacked_gpt_oss()); });
}

TEST("model: MXFP4 in other types than bytes is refused by name") {
  const auto said_of = [](Folder folder, const std::string& part, Dtype dtype) {
    for (tiny::HfTensor& t : folder.tensors) {
      if (t.declaration.name.ends_with(part)) {
        t.declaration.dtype = dtype;
      }
    }
    return error_of([&] { folder.open(); });
  };
  const Folder stacked = stacked_gpt_oss();
  CHECK(contains(
      said_of(stacked_gpt_oss(), "up_proj.scales", Dtype::kI8),
      "mlp.experts.up_proj': scales are not U8"));
  CHECK(contains(
      said_of(stacked_gpt_oss(), "up_proj.weight", Dtype::kI32),
      "mlp.experts.up_proj': codes are not U32"));
  for (const char* part : {"down_proj_scales", "down_proj_blocks"}) {
    CHECK(contains(
        said_of(original_gpt_oss(stacked), part, Dtype::kI8),
        "mlp.experts.down_proj': blocks or scales are not U8"));
  }
}

namespace {

std::string gguf_name(const std::string& name) {
  const std::map<std::string, std::string> names = {
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", "ffn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate", "ffn_gate_inp"},
      {"mlp.switch_mlp.gate_proj", "ffn_gate_exps"},
      {"mlp.switch_mlp.up_proj", "ffn_up_exps"},
      {"mlp.switch_mlp.down_proj", "ffn_down_exps"}};
  const std::string layer = "model.layers.0.";
  const bool outer = !name.starts_with("model.layers.");
  const size_t begin = outer ? 0 : layer.size();
  const size_t end = name.rfind('.');
  return (outer ? "" : "blk." + name.substr(layer.size() - 2, 2)) +
      names.at(name.substr(begin, end - begin)) + ".weight";
}

/// A GGUF of the same experts, in BF16.
GgufBuilder gguf_of(const Folder& stacked) {
  GgufBuilder b;
  b.string("general.architecture", "qwen3moe")
      .u32("qwen3moe.block_count", tiny::kLayers)
      .u32("qwen3moe.context_length", tiny::kContext)
      .u32("qwen3moe.embedding_length", tiny::kModel)
      .u32("qwen3moe.feed_forward_length", tiny::kFf)
      .u32("qwen3moe.attention.head_count", tiny::kHeads)
      .u32("qwen3moe.attention.head_count_kv", tiny::kKvHeads)
      .u32("qwen3moe.attention.key_length", tiny::kHeadDim)
      .u32("qwen3moe.expert_count", kExperts)
      .u32("qwen3moe.expert_used_count", 2)
      .u32("qwen3moe.expert_feed_forward_length", kExpertFf)
      .strings(
          "tokenizer.ggml.tokens", std::vector<std::string>(tiny::kVocab, "t"));
  for (const tiny::HfTensor& t : stacked.tensors) {
    std::vector<uint64_t> dims = t.declaration.shape;
    std::reverse(dims.begin(), dims.end());
    b.tensor(gguf_name(t.declaration.name), dims, kGgmlBF16, t.bytes);
  }
  return b;
}

std::shared_ptr<const Model> open_gguf(const GgufBuilder& builder) {
  const TempDir dir;
  write_file(dir / "m.gguf", GgufBuilder(builder).build());
  return open_model(dir / "m.gguf");
}

} // namespace

TEST("model: a GGUF's experts are a folder's") {
  Folder stacked = stacked_qwen();
  const auto a = stacked.open();
  const auto b = open_gguf(gguf_of(stacked));
  CHECK_EQUAL(b->config.family, a->config.family);
  for (int l = 0; l < tiny::kLayers; l++) {
    check_same(a->weights.layers[l].experts, b->weights.layers[l].experts);
  }
}

TEST("model: a GGUF's experts must be there, all of them") {
  const GgufBuilder good = gguf_of(stacked_qwen());
  for (const char* name : {"ffn_gate_inp", "ffn_gate_exps", "ffn_down_exps"}) {
    const std::string full = std::string("blk.1.") + name + ".weight";
    GgufBuilder without(good);
    without.drop_tensor(full);
    std::string said = error_of([&] { open_gguf(without); });
    CHECK(contains(said, "MODEL_INVALID"));
    CHECK(contains(said, "tensor '" + full + "' is missing"));
    without.tensor(full, {32, 2}, kGgmlBF16, std::string(128, 'x'));
    said = error_of([&] { open_gguf(without); });
    CHECK(contains(said, "tensor '" + full + "' has the shape"));
  }
}

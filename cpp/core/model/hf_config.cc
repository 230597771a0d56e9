#include "model/hf_config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "model/hf_fields.h"
#include "model/hf_layers.h"
#include "model/hf_moe.h"
#include "model/rope.h"
#include "model/unsupported.h"

namespace stomp {

namespace {

/// The family under which we know a model_type.
std::string family_of(const Fields& in) {
  const auto type = in.string("model_type");
  if (!type) {
    in.fail("'model_type' is missing");
  }
  const std::string family = *type == "mistral" ? "llama"
      : *type == "gemma3_text"                  ? "gemma3"
                                                : *type;
  const auto& known = supported_families();
  if (std::count(known.begin(), known.end(), family) == 0) {
    throw unsupported_family(in.what(), *type);
  }
  return family;
}

/// What sets the families apart that the rest of config.json does not say.
void set_family(const std::string& family, HfConfig& config) {
  ModelConfig& m = config.model;
  m.family = family;
  const bool gpt_oss = family == "gpt_oss";
  m.qkv_bias = family == "qwen2" || gpt_oss;
  m.o_bias = gpt_oss;
  m.sinks = gpt_oss;
  m.activation = gpt_oss ? Activation::kClampedSwiglu : Activation::kSilu;
  m.qk_norm = family.starts_with("qwen3") || family == "gemma3";
  m.post_norms = family == "gemma3";
  config.norms_from_one = family == "gemma3";
}

/// Gemma's figures; what its files leave out are the defaults of its
/// published configurations.
void read_gemma(const Fields& in, ModelConfig& m) {
  m.activation = Activation::kGeluTanh;
  // Computed in bf16, whatever the weights are.
  m.embedding_scale =
      bf16_to_f32(f32_to_bf16(std::sqrt(static_cast<float>(m.d_model))));
  m.attention_scale = static_cast<float>(
      1 / std::sqrt(in.positive("query_pre_attn_scalar", 256)));
  for (const char* key :
       {"final_logit_softcapping", "attn_logit_softcapping"}) {
    if (in.find(key) != nullptr) {
      in.unsupported(std::string("'") + key + "' is not supported");
    }
  }
}

/// Figures that a family's files may leave out.
struct Defaults {
  int heads = 0;    // 0: must be given
  int kv_heads = 0; // 0: as many as heads
  int head_dim = 0; // 0: hidden size / heads
  int vocab_size = 0;
  int max_context = 2048;
  double theta = 10000;
};

Defaults defaults_of(const std::string& family) {
  if (family == "gemma3") {
    return {8, 4, 256, 262208, 131072, 1e6};
  }
  return {};
}

int figure(const Fields& in, const std::string& key, int otherwise) {
  return otherwise > 0 ? in.integer(key).value_or(otherwise)
                       : in.required_integer(key);
}

/// Things that would change the arithmetic and that we do not compute.
void refuse_variants(const Fields& in, const ModelConfig& m) {
  if (in.boolean("attention_bias").value_or(m.o_bias) != m.o_bias) {
    in.unsupported(
        std::string("'attention_bias' ") + (m.o_bias ? "false" : "true") +
        " is not supported in this family");
  }
  if (in.boolean("mlp_bias").value_or(false)) {
    in.unsupported("'mlp_bias' is not supported");
  }
  if (in.number("partial_rotary_factor", 1) != 1) {
    in.unsupported("'partial_rotary_factor' is not supported");
  }
}

void refuse_activation(const Fields& in, Activation activation) {
  const bool gelu = activation == Activation::kGeluTanh;
  const std::string usual = gelu ? "gelu_pytorch_tanh" : "silu";
  const std::string act =
      in.string("hidden_activation")
          .value_or(in.string("hidden_act").value_or(usual));
  if (act != usual && (gelu || act != "swish")) {
    in.unsupported(
        "activation '" + act + "' is not supported in this family, " + usual +
        " is");
  }
}

/// `theta`: of the frequencies. What is stretched is good for longer texts.
void read_yarn(const Fields& in, double theta, ModelConfig& m) {
  YarnRope rope;
  rope.theta = theta;
  rope.factor = in.positive("factor", 1);
  rope.original_context =
      in.positive("original_max_position_embeddings", m.max_context);
  rope.beta_fast = in.positive("beta_fast", rope.beta_fast);
  rope.beta_slow = in.positive("beta_slow", rope.beta_slow);
  rope.truncate = in.boolean("truncate").value_or(true);
  if (rope.beta_fast <= rope.beta_slow) {
    in.fail("'beta_fast' is not above 'beta_slow'");
  }
  if (theta <= 1) {
    in.fail("'rope_theta' is not above 1");
  }
  scale_rope_yarn(m.rope.inv_freq, rope);
  const double usual = yarn_scale(
      rope.factor, in.number("mscale", 1), in.number("mscale_all_dim", 0));
  m.rope.scale = static_cast<float>(in.positive("attention_factor", usual));
  m.max_context = static_cast<int>(std::clamp(
      rope.factor * rope.original_context,
      static_cast<double>(m.max_context),
      static_cast<double>(std::numeric_limits<int>::max())));
}

void read_rope_scaling(const Fields& in, double theta, ModelConfig& m) {
  std::vector<float>& inv_freq = m.rope.inv_freq;
  const std::string type =
      in.string("rope_type").value_or(in.string("type").value_or("default"));
  if (type == "default") {
    return;
  }
  if (type == "linear") {
    scale_rope_linear(inv_freq, in.positive("factor", 1));
    return;
  }
  if (type == "yarn") {
    read_yarn(in, theta, m);
    return;
  }
  if (type != "llama3") {
    in.unsupported(
        "rope scaling '" + type +
        "' is not supported; default, linear, llama3 and yarn are");
  }
  Llama3Rope rope;
  rope.factor = in.positive("factor", rope.factor);
  rope.low_freq_factor = in.positive("low_freq_factor", rope.low_freq_factor);
  rope.high_freq_factor =
      in.positive("high_freq_factor", rope.high_freq_factor);
  rope.original_context =
      in.positive("original_max_position_embeddings", rope.original_context);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    in.fail("'high_freq_factor' is not above 'low_freq_factor'");
  }
  scale_rope_llama3(inv_freq, rope);
}

/// Older files have rope_theta and rope_scaling, newer ones rope_parameters,
/// by kind of layer where there are two.
const Json* rope_parameters(const Fields& in, const std::string& kind) {
  const Json* all = in.find("rope_parameters");
  const Json* own = all != nullptr ? all->find(kind) : nullptr;
  const Json* found = own != nullptr ? own : all;
  if (found == nullptr && kind == "full_attention") {
    found = in.find("rope_scaling");
  }
  if (found != nullptr && !found->is_object()) {
    in.fail("the rope's parameters are not an object");
  }
  return found;
}

void read_rope(
    const Fields& in,
    int head_dim,
    double usual_theta,
    ModelConfig& m) {
  const Json none;
  const Json* scaling = rope_parameters(in, "full_attention");
  const Fields rope_in(
      scaling != nullptr ? *scaling : none, in.what() + ": rope scaling");
  const double theta =
      rope_in.positive("rope_theta", in.positive("rope_theta", usual_theta));
  m.rope.inv_freq = rope_frequencies(head_dim, theta);
  m.rope.interleaved = in.boolean("rope_traditional").value_or(false);
  read_rope_scaling(rope_in, theta, m);
}

/// The unscaled rope of Gemma's sliding layers.
void read_local_rope(const Fields& in, int head_dim, ModelConfig& m) {
  const Json none;
  const Json* own = rope_parameters(in, "sliding_attention");
  const Fields rope_in(
      own != nullptr ? *own : none, in.what() + ": local rope");
  const double theta = rope_in.positive(
      "rope_theta", in.positive("rope_local_base_freq", 10000));
  if (rope_in.string("rope_type").value_or("default") != "default") {
    rope_in.unsupported("a scaled rope in sliding layers is not supported");
  }
  m.local_rope.inv_freq = rope_frequencies(head_dim, theta);
}

std::vector<int32_t> read_eos(const Fields& in) {
  std::vector<int32_t> ids;
  const Json* json = in.find("eos_token_id");
  const auto add = [&](const Json& id) {
    const int64_t* value = id.integer();
    if (value == nullptr || *value < 0 ||
        *value > std::numeric_limits<int32_t>::max()) {
      in.fail("'eos_token_id' is neither a token id nor a list of them");
    }
    ids.push_back(static_cast<int32_t>(*value));
  };
  if (json == nullptr) {
    return ids;
  }
  if (json->array() == nullptr) {
    add(*json);
    return ids;
  }
  std::for_each(json->array()->begin(), json->array()->end(), add);
  return ids;
}

MatrixFormat read_mxfp4(const Fields& in) {
  if (in.integer("bits").value_or(4) != 4 ||
      in.integer("group_size").value_or(32) != 32) {
    in.fail("mxfp4 has 4 bits and groups of 32");
  }
  return {true, 4, 32};
}

/// What `in` leaves out is as in `usual`, if that is affine too.
MatrixFormat read_format(const Fields& in, const MatrixFormat& usual) {
  const std::string mode = in.string("mode").value_or("affine");
  if (mode == "mxfp4") {
    return read_mxfp4(in);
  }
  if (mode != "affine") {
    in.unsupported(
        "quantisation mode '" + mode +
        "' is not supported; affine and mxfp4 are");
  }
  MatrixFormat format = usual.mxfp4 ? MatrixFormat() : usual;
  format.bits = in.integer("bits").value_or(format.bits);
  format.group = in.integer("group_size").value_or(format.group);
  const auto one_of = [](int value, std::initializer_list<int> list) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  if (!one_of(format.bits, {2, 3, 4, 5, 6, 8})) {
    in.unsupported(
        std::to_string(format.bits) +
        "-bit weights are not supported; 2, 3, 4, 5, 6 and 8 are");
  }
  if (!one_of(format.group, {32, 64, 128})) {
    in.unsupported(
        "groups of " + std::to_string(format.group) +
        " weights are not supported; 32, 64 and 128 are");
  }
  return format;
}

/// MLX writes "quantization", and a copy of it under "quantization_config";
/// other tools write only the latter, with a quant_method. That of OpenAI's
/// MXFP4 shows in the tensors' names.
const Json* find_quantisation(const Fields& in) {
  const Json* json = in.find("quantization");
  if (json != nullptr) {
    return json;
  }
  json = in.find("quantization_config");
  const Json* method = json != nullptr ? json->find("quant_method") : nullptr;
  if (method == nullptr) {
    return json;
  }
  const std::string name =
      method->string() != nullptr ? *method->string() : "?";
  if (name != "mxfp4") {
    in.unsupported(
        "quantisation method '" + name +
        "' is not supported; use a GGUF, an MLX or a dense checkpoint");
  }
  return nullptr;
}

void read_quantisation(const Fields& in, HfConfig& config) {
  const Json* json = find_quantisation(in);
  if (json == nullptr) {
    return;
  }
  if (!json->is_object()) {
    in.fail("'quantization' is not an object");
  }
  const Fields fields(*json, in.what() + ": quantization");
  config.quantisation = read_format(fields, {});
  for (const auto& [key, value] : *json->members()) {
    if (value.is_object()) {
      config.overrides[key] = read_format(
          Fields(value, fields.what() + " of " + key), *config.quantisation);
    } else if (value.boolean() != nullptr) {
      config.overrides[key] = *value.boolean() ? config.quantisation
                                               : std::optional<MatrixFormat>();
    }
  }
}

} // namespace

std::optional<MatrixFormat> HfConfig::format_of(
    const std::string& module) const {
  const auto it = overrides.find(module);
  return it != overrides.end() ? it->second : quantisation;
}

namespace {

/// The figures of the language model.
void read_model(const Fields& in, HfConfig& config) {
  ModelConfig& m = config.model;
  const Defaults usual = defaults_of(m.family);
  refuse_variants(in, m);
  m.n_layers = in.required_integer("num_hidden_layers");
  m.d_model = in.required_integer("hidden_size");
  m.n_heads = figure(in, "num_attention_heads", usual.heads);
  m.n_kv_heads = in.integer("num_key_value_heads")
                     .value_or(usual.kv_heads > 0 ? usual.kv_heads : m.n_heads);
  const int head_dim = m.n_heads > 0 ? m.d_model / m.n_heads : 0;
  m.head_dim = in.integer("head_dim")
                   .value_or(usual.head_dim > 0 ? usual.head_dim : head_dim);
  m.d_ff = in.required_integer("intermediate_size");
  m.vocab_size = figure(in, "vocab_size", usual.vocab_size);
  m.max_context =
      in.integer("max_position_embeddings").value_or(usual.max_context);
  m.rms_eps = static_cast<float>(in.number("rms_norm_eps", 1e-6));
  m.eos_ids = read_eos(in);
  read_layer_kinds(in, m);
  read_moe(in, m);
  // Frequencies of an absurd head dimension would be computed before
  // validate() sees it.
  const int dim = std::clamp(m.head_dim, 0, 1 << 16);
  read_rope(in, dim, usual.theta, m);
  if (m.family == "gemma3") {
    read_gemma(in, m);
    read_local_rope(in, dim, m);
  }
  refuse_activation(in, m.activation);
}

/// A model that also sees images keeps its language model's figures under
/// text_config, and a few beside it.
void read_outer(const Fields& outer, const Json& text, HfConfig& config) {
  const Fields in(text, outer.what() + ": text_config");
  if (!text.is_object()) {
    in.fail("is not a JSON object");
  }
  read_model(in, config);
  const auto ids = read_eos(outer);
  if (!ids.empty()) {
    config.model.eos_ids = ids;
  }
  config.model.vocab_size =
      outer.integer("vocab_size").value_or(config.model.vocab_size);
}

} // namespace

HfConfig parse_hf_config(const std::string& text, const std::string& what) {
  const Json json = parse_json(text, what, {size_t{16} << 20, 1 << 20, 32});
  const Fields in(json, what);
  if (!json.is_object()) {
    in.fail("is not a JSON object");
  }
  HfConfig config;
  ModelConfig& m = config.model;
  set_family(family_of(in), config);
  const Json* inner = in.find("text_config");
  if (m.family == "gemma3" && inner != nullptr) {
    read_outer(in, *inner, config);
  } else {
    read_model(in, config);
  }
  m.name = in.string("_name_or_path").value_or("");
  config.tied = in.boolean("tie_word_embeddings");
  m.tied_embeddings = config.tied.value_or(false);
  read_quantisation(in, config);
  validate(m);
  return config;
}

void add_generation_config(
    const std::string& text,
    const std::string& what,
    ModelConfig& model) {
  const Json json = parse_json(text, what, {size_t{1} << 20, 1 << 16, 32});
  for (const int32_t id : read_eos(Fields(json, what))) {
    if (std::count(model.eos_ids.begin(), model.eos_ids.end(), id) == 0) {
      model.eos_ids.push_back(id);
    }
  }
  validate(model);
}

} // namespace stomp

#include "model/hf_config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "model/rope.h"
#include "model/unsupported.h"

namespace stomp {

namespace {

/// Typed access to the members of one object; null counts as absent.
class Fields {
 public:
  Fields(const Json& json, std::string what)
      : json_(json), what_(std::move(what)) {}

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(Code::kModelInvalid, what_ + ": " + why);
  }
  [[noreturn]] void unsupported(const std::string& why) const {
    throw Error(Code::kModelUnsupported, what_ + ": " + why);
  }

  const Json* find(const std::string& key) const {
    const Json* json = json_.find(key);
    return json != nullptr && !json->is_null() ? json : nullptr;
  }

  std::optional<int> integer(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    const int64_t* value = json->integer();
    if (value == nullptr || *value < 0 ||
        *value > std::numeric_limits<int>::max()) {
      fail("'" + key + "' is not a whole number from 0 on");
    }
    return static_cast<int>(*value);
  }

  int required_integer(const std::string& key) const {
    const auto value = integer(key);
    if (!value) {
      fail("'" + key + "' is missing");
    }
    return *value;
  }

  double number(const std::string& key, double otherwise) const {
    const Json* json = find(key);
    double value = otherwise;
    if (json != nullptr && !json->number(&value)) {
      fail("'" + key + "' is " + json->kind() + ", a number was expected");
    }
    return value;
  }

  double positive(const std::string& key, double otherwise) const {
    const double value = number(key, otherwise);
    if (!(value > 0) || !std::isfinite(value)) {
      fail("'" + key + "' is not a positive number");
    }
    return value;
  }

  std::optional<bool> boolean(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    if (json->boolean() == nullptr) {
      fail("'" + key + "' is " + json->kind() + ", a boolean was expected");
    }
    return *json->boolean();
  }

  std::optional<std::string> string(const std::string& key) const {
    const Json* json = find(key);
    if (json == nullptr) {
      return std::nullopt;
    }
    if (json->string() == nullptr) {
      fail("'" + key + "' is " + json->kind() + ", a string was expected");
    }
    return *json->string();
  }

  const Json& json() const { return json_; }
  const std::string& what() const { return what_; }

 private:
  const Json& json_;
  std::string what_;
};

/// What sets the families apart that the rest of config.json does not say.
void read_family(const Fields& in, ModelConfig& m) {
  const auto type = in.string("model_type");
  if (!type) {
    in.fail("'model_type' is missing");
  }
  // Mistral without its window is plain Llama; the window is refused below.
  m.family = *type == "mistral" ? "llama" : *type;
  const auto& known = supported_families();
  if (std::count(known.begin(), known.end(), m.family) == 0) {
    throw unsupported_family(in.what(), *type);
  }
  m.qkv_bias = m.family == "qwen2";
  m.qk_norm = m.family == "qwen3";
}

void refuse_windows(const Fields& in) {
  // Qwen states a window that it does not use.
  const bool asked = !in.string("model_type")->starts_with("qwen");
  const bool used = in.boolean("use_sliding_window").value_or(asked);
  if (used && in.find("sliding_window") != nullptr) {
    in.unsupported("'sliding_window' is not supported in this family");
  }
  const Json* layers = in.find("layer_types");
  if (layers == nullptr || layers->array() == nullptr) {
    return;
  }
  for (const Json& layer : *layers->array()) {
    if (layer.string() == nullptr || *layer.string() != "full_attention") {
      in.unsupported("'layer_types' other than full_attention");
    }
  }
}

/// Things that would change the arithmetic and that we do not compute.
void refuse_variants(const Fields& in) {
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (in.boolean(key).value_or(false)) {
      in.unsupported(std::string("'") + key + "' is not supported");
    }
  }
  const std::string act = in.string("hidden_act").value_or("silu");
  if (act != "silu" && act != "swish") {
    in.unsupported("activation '" + act + "' is not supported, silu is");
  }
  if (in.number("partial_rotary_factor", 1) != 1) {
    in.unsupported("'partial_rotary_factor' is not supported");
  }
  refuse_windows(in);
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

/// Older files have rope_theta and rope_scaling, newer ones rope_parameters.
void read_rope(const Fields& in, int head_dim, ModelConfig& m) {
  const Json* scaling = in.find("rope_parameters");
  if (scaling == nullptr) {
    scaling = in.find("rope_scaling");
  }
  if (scaling != nullptr && !scaling->is_object()) {
    in.fail("the rope's parameters are not an object");
  }
  const Json none;
  const Fields rope_in(
      scaling != nullptr ? *scaling : none, in.what() + ": rope scaling");
  const double theta =
      rope_in.positive("rope_theta", in.positive("rope_theta", 10000));
  m.rope.inv_freq = rope_frequencies(head_dim, theta);
  m.rope.interleaved = in.boolean("rope_traditional").value_or(false);
  read_rope_scaling(rope_in, theta, m);
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

AffineFormat read_affine(const Fields& in, AffineFormat format) {
  const std::string mode = in.string("mode").value_or("affine");
  if (mode != "affine") {
    in.unsupported(
        "quantisation mode '" + mode + "' is not supported, affine is");
  }
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
/// other tools write only the latter, with a quant_method.
const Json* find_quantisation(const Fields& in) {
  const Json* json = in.find("quantization");
  if (json != nullptr) {
    return json;
  }
  json = in.find("quantization_config");
  const Json* method = json != nullptr ? json->find("quant_method") : nullptr;
  if (method != nullptr) {
    in.unsupported(
        "quantisation method '" +
        (method->string() != nullptr ? *method->string() : "?") +
        "' is not supported; use a GGUF, an MLX or a dense checkpoint");
  }
  return json;
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
  config.quantisation = read_affine(fields, {});
  for (const auto& [key, value] : *json->members()) {
    if (value.is_object()) {
      config.overrides[key] = read_affine(
          Fields(value, fields.what() + " of " + key), *config.quantisation);
    } else if (value.boolean() != nullptr) {
      config.overrides[key] = *value.boolean() ? config.quantisation
                                               : std::optional<AffineFormat>();
    }
  }
}

} // namespace

std::optional<AffineFormat> HfConfig::format_of(
    const std::string& module) const {
  const auto it = overrides.find(module);
  return it != overrides.end() ? it->second : quantisation;
}

HfConfig parse_hf_config(const std::string& text, const std::string& what) {
  const Json json = parse_json(text, what, {size_t{16} << 20, 1 << 20, 32});
  const Fields in(json, what);
  if (!json.is_object()) {
    in.fail("is not a JSON object");
  }
  HfConfig config;
  ModelConfig& m = config.model;
  read_family(in, m);
  refuse_variants(in);
  m.name = in.string("_name_or_path").value_or("");
  m.n_layers = in.required_integer("num_hidden_layers");
  m.d_model = in.required_integer("hidden_size");
  m.n_heads = in.required_integer("num_attention_heads");
  m.n_kv_heads = in.integer("num_key_value_heads").value_or(m.n_heads);
  m.head_dim = in.integer("head_dim")
                   .value_or(m.n_heads > 0 ? m.d_model / m.n_heads : 0);
  m.d_ff = in.required_integer("intermediate_size");
  m.vocab_size = in.required_integer("vocab_size");
  m.max_context = in.integer("max_position_embeddings").value_or(2048);
  m.rms_eps = static_cast<float>(in.number("rms_norm_eps", 1e-6));
  config.tied = in.boolean("tie_word_embeddings");
  m.tied_embeddings = config.tied.value_or(false);
  m.eos_ids = read_eos(in);
  // Frequencies of an absurd head dimension would be computed before
  // validate() sees it.
  read_rope(in, std::clamp(m.head_dim, 0, 1 << 16), m);
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

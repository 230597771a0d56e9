#include "model/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/half.h"
#include "model/rope.h"
#include "model/unsupported.h"

namespace stomp {

namespace {

/// Typed access to metadata. Keys of the family's own begin with a dot.
class Metadata {
 public:
  Metadata(const GgufFile& file, const std::string& family)
      : file_(file), family_(family) {}

  [[noreturn]] void fail(
      const std::string& why,
      Code code = Code::kModelInvalid) const {
    throw Error(
        code, file_.path() + ": metadata " + why, {{"path", file_.path()}});
  }

  std::optional<int> integer(const std::string& name) const {
    const std::string key = full(name);
    const GgufEntry* entry = file_.find_metadata(key);
    if (entry == nullptr) {
      return std::nullopt;
    }
    const GgufValue value = file_.value(*entry);
    const auto* whole = std::get_if<int64_t>(&value);
    if (whole == nullptr || *whole < 0 ||
        *whole > std::numeric_limits<int>::max()) {
      fail("'" + key + "' is not a whole number from 0 on");
    }
    return static_cast<int>(*whole);
  }

  int required_integer(const std::string& key) const {
    const auto value = integer(key);
    if (!value) {
      fail("'" + full(key) + "' is missing");
    }
    return *value;
  }

  std::optional<double> number(const std::string& name) const {
    const std::string key = full(name);
    const GgufEntry* entry = file_.find_metadata(key);
    if (entry == nullptr) {
      return std::nullopt;
    }
    const GgufValue value = file_.value(*entry);
    const auto* real = std::get_if<double>(&value);
    if (real == nullptr || !std::isfinite(*real) || *real < 0) {
      fail("'" + key + "' is not a number from 0 on");
    }
    return *real;
  }

  std::optional<std::string> string(const std::string& name) const {
    const std::string key = full(name);
    const GgufEntry* entry = file_.find_metadata(key);
    if (entry == nullptr) {
      return std::nullopt;
    }
    GgufValue value = file_.value(*entry);
    auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
      fail("'" + key + "' is not a string");
    }
    return std::move(*text);
  }

  /// Elements of an array; none when absent.
  std::optional<uint64_t> length(const std::string& key) const {
    const GgufEntry* entry = file_.find_metadata(key);
    return entry != nullptr && entry->array
        ? std::optional<uint64_t>(entry->count)
        : std::nullopt;
  }

  /// An integer, or an array that repeats one number for every layer.
  std::optional<int> same_for_all_layers(const std::string& name) const {
    const std::string key = full(name);
    const GgufEntry* entry = file_.find_metadata(key);
    if (entry == nullptr || !entry->array) {
      return integer(key);
    }
    const GgufValue value = file_.value(*entry);
    const auto* list = std::get_if<std::vector<int64_t>>(&value);
    if (list == nullptr || list->empty()) {
      fail("'" + key + "' is not a list of whole numbers");
    }
    const int64_t first = list->front();
    if (std::count(list->begin(), list->end(), first) !=
            static_cast<ptrdiff_t>(list->size()) ||
        first < 1 || first > std::numeric_limits<int>::max()) {
      fail(
          "'" + key + "' differs between layers, which is not supported",
          Code::kModelUnsupported);
    }
    return static_cast<int>(first);
  }

  std::string full(const std::string& name) const {
    return name.starts_with('.') ? family_ + name : name;
  }

  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  const std::string& family_;
};

std::string read_architecture(const GgufFile& file) {
  const std::string none;
  const Metadata in(file, none);
  const auto family = in.string("general.architecture");
  if (!family) {
    in.fail("'general.architecture' is missing");
  }
  return *family;
}

/// The family under which we know an architecture.
std::string family_of(const GgufFile& file, const std::string& architecture) {
  const std::string family = architecture == "qwen3moe" ? "qwen3_moe"
      : architecture == "gpt-oss"                       ? "gpt_oss"
                                                        : architecture;
  const auto& known = supported_families();
  if (std::count(known.begin(), known.end(), family) == 0) {
    throw unsupported_family(file.path(), architecture);
  }
  return family;
}

void refuse_variants(const Metadata& in, int head_dim) {
  const auto unsupported = [&](const std::string& why) {
    in.fail(why, Code::kModelUnsupported);
  };
  const int value_length =
      in.integer(".attention.value_length").value_or(head_dim);
  if (value_length != head_dim) {
    unsupported(
        "'" + in.full(".attention.value_length") + "' differs from the key's");
  }
  const int rotated = in.integer(".rope.dimension_count").value_or(head_dim);
  if (rotated != head_dim) {
    unsupported(
        "'" + in.full(".rope.dimension_count") +
        "' is only a part of the head");
  }
}

/// rope_freqs.weight divides the frequencies: how converters store Llama 3's
/// scaling.
void apply_rope_factors(const Metadata& in, std::vector<float>& inv_freq) {
  const GgufTensor* factors = in.file().find_tensor("rope_freqs.weight");
  if (factors == nullptr) {
    return;
  }
  if (factors->type != kGgmlF32 ||
      factors->bytes != inv_freq.size() * sizeof(float)) {
    throw Error(
        Code::kModelInvalid,
        in.file().path() + ": tensor 'rope_freqs.weight' is not " +
            std::to_string(inv_freq.size()) + " F32 numbers",
        {{"path", in.file().path()}});
  }
  for (size_t i = 0; i < inv_freq.size(); i++) {
    float factor = 0;
    std::memcpy(&factor, factors->data + i * sizeof factor, sizeof factor);
    inv_freq[i] /= factor;
  }
}

void read_yarn(const Metadata& in, double theta, RopeConfig& rope) {
  YarnRope yarn;
  yarn.theta = theta;
  // Of GPT-OSS's own configuration, which files do not repeat.
  yarn.truncate = in.full(".") != "gpt-oss.";
  yarn.factor = in.number(".rope.scaling.factor").value_or(1);
  yarn.original_context = in.integer(".rope.scaling.original_context_length")
                              .value_or(in.required_integer(".context_length"));
  yarn.beta_fast =
      in.number(".rope.scaling.yarn_beta_fast").value_or(yarn.beta_fast);
  yarn.beta_slow =
      in.number(".rope.scaling.yarn_beta_slow").value_or(yarn.beta_slow);
  if (yarn.factor <= 0 || yarn.original_context <= 0 || theta <= 1 ||
      yarn.beta_slow <= 0 || yarn.beta_fast <= yarn.beta_slow) {
    in.fail("'" + in.full(".rope.scaling") + "': a figure is out of range");
  }
  scale_rope_yarn(rope.inv_freq, yarn);
  const double weight = in.number(".rope.scaling.attn_factor").value_or(1);
  rope.scale = static_cast<float>(weight * yarn_scale(yarn.factor));
}

RopeConfig read_rope(const Metadata& in, int head_dim) {
  const double theta = in.number(".rope.freq_base").value_or(10000);
  if (theta <= 0) {
    in.fail("'" + in.full(".rope.freq_base") + "' is not positive");
  }
  RopeConfig rope;
  // Converters store the rows of Llama's heads in pairs, and only those.
  rope.interleaved = in.full(".") == "llama.";
  rope.inv_freq = rope_frequencies(head_dim, theta);
  apply_rope_factors(in, rope.inv_freq);
  const std::string type = in.string(".rope.scaling.type").value_or("none");
  if (type == "none") {
    return rope;
  }
  if (type == "yarn") {
    read_yarn(in, theta, rope);
    return rope;
  }
  if (type != "linear") {
    in.fail(
        "'" + in.full(".rope.scaling.type") + "': '" + type +
            "' is not supported; none, linear and yarn are",
        Code::kModelUnsupported);
  }
  const double factor = in.number(".rope.scaling.factor").value_or(1);
  if (factor <= 0) {
    in.fail("'" + in.full(".rope.scaling.factor") + "' is not positive");
  }
  scale_rope_linear(rope.inv_freq, factor);
  return rope;
}

/// Gemma's figures, as far as its files do not have them.
void read_gemma(const Metadata& in, int head_dim, ModelConfig& m) {
  m.qk_norm = true;
  m.post_norms = true;
  m.activation = Activation::kGeluTanh;
  // Computed in bf16, whatever the weights are.
  m.embedding_scale =
      bf16_to_f32(f32_to_bf16(std::sqrt(static_cast<float>(m.d_model))));
  // Of Gemma 3 the one with 62 layers scales by what its heads would be if
  // they made up its width; files do not say so.
  constexpr int kWideLayers = 62;
  if (m.n_layers == kWideLayers && m.n_heads > 0) {
    m.attention_scale =
        1 / std::sqrt(static_cast<float>(m.d_model) / m.n_heads);
  }
  const double local = in.number(".rope.freq_base_swa").value_or(10000);
  if (local <= 0) {
    in.fail("'" + in.full(".rope.freq_base_swa") + "' is not positive");
  }
  m.local_rope.inv_freq = rope_frequencies(head_dim, local);
}

/// Every so many layers one sees everything, the others a window.
void read_windows(const Metadata& in, ModelConfig& m) {
  const std::string key = ".attention.sliding_window";
  const int window = m.family == "gpt_oss" ? in.required_integer(key)
                                           : in.integer(key).value_or(0);
  if (window == 0) {
    return;
  }
  if (m.family != "gemma3" && m.family != "gpt_oss") {
    in.fail(
        "'" + in.full(".attention.sliding_window") +
            "' is not supported in this family",
        Code::kModelUnsupported);
  }
  const int usual = m.family == "gemma3" ? 6 : 2;
  const int pattern =
      in.same_for_all_layers(".attention.sliding_window_pattern")
          .value_or(usual);
  m.window = window;
  m.sliding.resize(std::clamp(m.n_layers, 0, 1 << 16));
  for (size_t l = 0; l < m.sliding.size(); l++) {
    m.sliding[l] = pattern < 1 || (l + 1) % pattern != 0;
  }
}

void read_moe(const Metadata& in, ModelConfig& m) {
  const bool gpt_oss = m.family == "gpt_oss";
  MoeConfig& moe = m.moe;
  if (!gpt_oss && m.family != "qwen3_moe") {
    if (in.integer(".expert_count").value_or(0) > 0) {
      in.fail(
          "'" + in.full(".expert_count") +
              "': this family has no mixtures of experts",
          Code::kModelUnsupported);
    }
    return;
  }
  moe.n_experts = in.required_integer(".expert_count");
  moe.n_chosen = in.required_integer(".expert_used_count");
  moe.d_ff = in.required_integer(".expert_feed_forward_length");
  moe.biases = gpt_oss;
  if (moe.n_experts == 0) {
    in.fail("'" + in.full(".expert_count") + "' is 0");
  }
}

/// What sets the families apart that the metadata do not say.
void set_family(ModelConfig& m) {
  const bool gpt_oss = m.family == "gpt_oss";
  m.qkv_bias = m.family == "qwen2" || gpt_oss;
  m.o_bias = gpt_oss;
  m.sinks = gpt_oss;
  m.activation = gpt_oss ? Activation::kClampedSwiglu : Activation::kSilu;
  m.qk_norm = m.family.starts_with("qwen3");
}

int read_vocab_size(const Metadata& in) {
  const auto tokens = in.length("tokenizer.ggml.tokens");
  const auto stated = in.integer(".vocab_size");
  if (!tokens && !stated) {
    in.fail(
        "has neither '" + in.full(".vocab_size") +
        "' nor 'tokenizer.ggml.tokens'");
  }
  // Padded embeddings have more rows than there are tokens, never fewer.
  if (tokens && stated && *tokens > static_cast<uint64_t>(*stated)) {
    in.fail(
        "'tokenizer.ggml.tokens' has more tokens than '" +
        in.full(".vocab_size") + "'");
  }
  if (stated) {
    return *stated;
  }
  return static_cast<int>(std::min<uint64_t>(
      *tokens, static_cast<uint64_t>(std::numeric_limits<int>::max())));
}

/// End of text, of a turn and of a message all end generation.
std::vector<int32_t> read_eos(const Metadata& in) {
  std::vector<int32_t> ids;
  for (const char* name : {"eos", "eot", "eom"}) {
    const auto id =
        in.integer(std::string("tokenizer.ggml.") + name + "_token_id");
    if (id && std::count(ids.begin(), ids.end(), *id) == 0) {
      ids.push_back(*id);
    }
  }
  return ids;
}

} // namespace

ModelConfig config_from_gguf(const GgufFile& file) {
  ModelConfig m;
  const std::string architecture = read_architecture(file);
  m.family = family_of(file, architecture);
  set_family(m);
  const Metadata in(file, architecture);
  m.name = in.string("general.name").value_or("");
  m.n_layers = in.required_integer(".block_count");
  m.d_model = in.required_integer(".embedding_length");
  const auto heads = in.same_for_all_layers(".attention.head_count");
  if (!heads) {
    in.fail("'" + in.full(".attention.head_count") + "' is missing");
  }
  m.n_heads = *heads;
  m.n_kv_heads =
      in.same_for_all_layers(".attention.head_count_kv").value_or(m.n_heads);
  m.head_dim = in.integer(".attention.key_length")
                   .value_or(m.n_heads > 0 ? m.d_model / m.n_heads : 0);
  const auto d_ff = in.same_for_all_layers(".feed_forward_length");
  if (!d_ff) {
    in.fail("'" + in.full(".feed_forward_length") + "' is missing");
  }
  m.d_ff = *d_ff;
  m.vocab_size = read_vocab_size(in);
  m.max_context = in.required_integer(".context_length");
  m.rms_eps = static_cast<float>(
      in.number(".attention.layer_norm_rms_epsilon").value_or(1e-5));
  m.tied_embeddings = file.find_tensor("output.weight") == nullptr;
  m.eos_ids = read_eos(in);
  refuse_variants(in, m.head_dim);
  // Frequencies of an absurd head dimension would be computed before
  // validate() sees it.
  const int head_dim = std::clamp(m.head_dim, 0, 1 << 16);
  m.rope = read_rope(in, head_dim);
  if (m.family == "gemma3") {
    read_gemma(in, head_dim, m);
  }
  read_windows(in, m);
  read_moe(in, m);
  validate(m);
  return m;
}

} // namespace stomp

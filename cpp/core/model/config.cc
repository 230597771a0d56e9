#include "model/config.h"

#include <cmath>

#include "base/error.h"
#include "model/hf_config.h"

namespace stomp {

namespace {

// Far beyond any model there is; they keep products of two in 64 bits and
// every single one in an int.
constexpr int kMaxLayers = 4096;
constexpr int kMaxDim = 1 << 20;
constexpr int kMaxHeads = 4096;
constexpr int kMaxHeadDim = 4096;
constexpr int kMaxVocab = 1 << 24;
constexpr int kMaxContext = 1 << 28;

void require(bool good, const std::string& why) {
  if (!good) {
    throw Error(Code::kModelInvalid, "the model's configuration: " + why);
  }
}

void require_range(int value, int max, const std::string& what) {
  require(
      value >= 1 && value <= max,
      what + " is " + std::to_string(value) + ", 1 to " + std::to_string(max) +
          " are possible");
}

void validate_rope(const ModelConfig& config) {
  const auto& inv_freq = config.rope.inv_freq;
  require(
      inv_freq.size() == static_cast<size_t>(config.head_dim / 2),
      "there are " + std::to_string(inv_freq.size()) +
          " rope frequencies for heads of " + std::to_string(config.head_dim));
  require(
      std::isfinite(config.rope.scale) && config.rope.scale > 0,
      "the rope's scale is not a positive number");
  for (const float f : inv_freq) {
    require(
        std::isfinite(f) && f > 0, "a rope frequency is not a positive number");
  }
}

} // namespace

const std::vector<std::string>& supported_families() {
  static const std::vector<std::string> families = {"llama", "qwen2", "qwen3"};
  return families;
}

void validate(const ModelConfig& config) {
  require_range(config.n_layers, kMaxLayers, "the number of layers");
  require_range(config.d_model, kMaxDim, "the hidden size");
  require_range(config.n_heads, kMaxHeads, "the number of heads");
  require_range(config.n_kv_heads, config.n_heads, "the number of KV heads");
  require_range(config.head_dim, kMaxHeadDim, "the head dimension");
  require_range(config.d_ff, kMaxDim, "the feed-forward size");
  require_range(config.vocab_size, kMaxVocab, "the vocabulary size");
  require_range(config.max_context, kMaxContext, "the context length");
  require(
      config.n_heads % config.n_kv_heads == 0,
      std::to_string(config.n_heads) + " heads are not a multiple of " +
          std::to_string(config.n_kv_heads) + " KV heads");
  require(config.head_dim % 2 == 0, "the head dimension is odd");
  require(
      std::isfinite(config.rms_eps) && config.rms_eps >= 0 &&
          config.rms_eps < 1,
      "the norm's epsilon is not a number from 0 to 1");
  validate_rope(config);
  for (const int32_t id : config.eos_ids) {
    require(
        id >= 0 && id < config.vocab_size,
        "end token " + std::to_string(id) + " is not in the vocabulary of " +
            std::to_string(config.vocab_size));
  }
}

ModelConfig config_from_hf_json(const std::string& json_text) {
  return parse_hf_config(json_text, "config.json").model;
}

} // namespace stomp

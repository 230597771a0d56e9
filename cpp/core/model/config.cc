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
constexpr int kMaxExperts = 1024;

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

void require_positive(float value, const std::string& what) {
  require(
      std::isfinite(value) && value > 0, what + " is not a positive number");
}

void validate_rope(const RopeConfig& rope, int head_dim) {
  const auto& inv_freq = rope.inv_freq;
  require(
      inv_freq.size() == static_cast<size_t>(head_dim / 2),
      "there are " + std::to_string(inv_freq.size()) +
          " rope frequencies for heads of " + std::to_string(head_dim));
  require_positive(rope.scale, "the rope's scale");
  for (const float f : inv_freq) {
    require_positive(f, "a rope frequency");
  }
}

void validate_windows(const ModelConfig& config) {
  if (config.sliding.empty()) {
    return;
  }
  require(
      config.sliding.size() == static_cast<size_t>(config.n_layers),
      "the kinds of " + std::to_string(config.sliding.size()) +
          " layers are given, there are " + std::to_string(config.n_layers));
  require_range(config.window, kMaxContext, "the sliding window");
}

void validate_moe(const MoeConfig& moe, int n_layers) {
  if (moe.n_experts == 0) {
    return;
  }
  require_range(moe.n_experts, kMaxExperts, "the number of experts");
  require_range(
      moe.n_chosen, moe.n_experts, "the number of experts for a token");
  require_range(moe.d_ff, kMaxDim, "the feed-forward size of an expert");
  require(
      moe.dense.empty() || moe.dense.size() == static_cast<size_t>(n_layers),
      "which layers have experts is not said of each");
}

} // namespace

const std::vector<std::string>& supported_families() {
  static const std::vector<std::string> families = {
      "llama", "qwen2", "qwen3", "qwen3_moe", "gemma3", "gpt_oss"};
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
  validate_rope(config.rope, config.head_dim);
  if (config.two_ropes()) {
    validate_rope(config.local_rope, config.head_dim);
  }
  validate_windows(config);
  validate_moe(config.moe, config.n_layers);
  require_positive(config.query_scale(), "the scale of attention");
  require_positive(config.embedding_scale, "the scale of embeddings");
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

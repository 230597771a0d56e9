#include "model/hf_moe.h"

#include <algorithm>

namespace stomp {

namespace {

// Beyond any model; a figure that validate() refuses is not made a list of.
constexpr int kMostLayers = 1 << 16;

/// Layers outside of every so manieth, and those that are listed.
std::vector<bool> dense_layers(const Fields& in, int n_layers) {
  const int step = in.integer("decoder_sparse_step").value_or(1);
  if (step < 1) {
    in.fail("'decoder_sparse_step' is not a whole number from 1 on");
  }
  const int n = std::clamp(n_layers, 0, kMostLayers);
  std::vector<bool> dense(n);
  for (int l = 0; l < n; l++) {
    dense[l] = (l + 1) % step != 0;
  }
  const Json* list = in.find("mlp_only_layers");
  if (list == nullptr) {
    return dense;
  }
  if (list->array() == nullptr) {
    in.fail("'mlp_only_layers' is not a list");
  }
  for (const Json& entry : *list->array()) {
    const int64_t* layer = entry.integer();
    if (layer == nullptr || *layer < 0 || *layer >= n) {
      in.fail("'mlp_only_layers' has other than the numbers of layers");
    }
    dense[*layer] = true;
  }
  return dense;
}

void read_qwen(const Fields& in, ModelConfig& model) {
  MoeConfig& moe = model.moe;
  moe.n_experts = in.required_integer("num_experts");
  moe.n_chosen = in.required_integer("num_experts_per_tok");
  moe.d_ff = in.required_integer("moe_intermediate_size");
  moe.normalised = in.boolean("norm_topk_prob").value_or(false);
  moe.dense = dense_layers(in, model.n_layers);
}

void read_gpt_oss(const Fields& in, ModelConfig& model) {
  MoeConfig& moe = model.moe;
  moe.n_experts = in.required_integer("num_local_experts");
  moe.n_chosen = in.required_integer("num_experts_per_tok");
  moe.d_ff = model.d_ff;
  moe.biases = true;
  // That of Activation::kClampedSwiglu.
  if (in.number("swiglu_limit", 7) != 7) {
    in.unsupported("'swiglu_limit' other than 7 is not supported");
  }
}

} // namespace

void read_moe(const Fields& in, ModelConfig& model) {
  if (model.family == "qwen3_moe") {
    read_qwen(in, model);
  } else if (model.family == "gpt_oss") {
    read_gpt_oss(in, model);
  } else {
    return;
  }
  if (model.moe.n_experts == 0) {
    in.fail("the number of experts is 0");
  }
}

} // namespace stomp

#include "model/hf_experts.h"

namespace stomp {

namespace {

void set_biases(
    std::vector<WeightMatrix>& matrices,
    std::vector<WeightVector>&& biases) {
  for (size_t i = 0; i < matrices.size(); i++) {
    matrices[i].bias = std::move(biases[i]);
  }
}

/// Stacked, as MLX writes them.
void load_stacked(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& experts,
    ExpertWeights& w) {
  const int n = c.moe.n_experts;
  const int d_ff = c.moe.d_ff;
  w.gate = in.matrices(experts + "gate_proj", n, d_ff, c.d_model);
  w.up = in.matrices(experts + "up_proj", n, d_ff, c.d_model);
  w.down = in.matrices(experts + "down_proj", n, c.d_model, d_ff);
  if (c.moe.biases) {
    set_biases(w.gate, in.vectors(experts + "gate_proj.bias", n, d_ff));
    set_biases(w.up, in.vectors(experts + "up_proj.bias", n, d_ff));
    set_biases(w.down, in.vectors(experts + "down_proj.bias", n, c.d_model));
  }
}

/// One by one, as Hugging Face writes them.
void load_single(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& experts,
    ExpertWeights& w) {
  for (int e = 0; e < c.moe.n_experts; e++) {
    const std::string p = experts + std::to_string(e) + ".";
    w.gate.push_back(in.matrix(p + "gate_proj", c.moe.d_ff, c.d_model));
    w.up.push_back(in.matrix(p + "up_proj", c.moe.d_ff, c.d_model));
    w.down.push_back(in.matrix(p + "down_proj", c.d_model, c.moe.d_ff));
  }
}

/// As OpenAI writes them: a gate's row and an up's by turns.
void load_blocks(
    HfTensors& in,
    const ModelConfig& c,
    const std::string& experts,
    ExpertWeights& w) {
  if (in.has(experts + "gate_up_proj")) {
    in.refuse(
        "'" + experts +
        "gate_up_proj' is dense and transposed, which is not supported; take "
        "OpenAI's own checkpoint, an MLX or a GGUF one");
  }
  const int n = c.moe.n_experts;
  const int d_ff = c.moe.d_ff;
  const auto pairs =
      in.blocks(experts + "gate_up_proj", n, 2 * d_ff, c.d_model);
  const auto biases = in.vectors(experts + "gate_up_proj_bias", n, 2 * d_ff);
  for (int e = 0; e < n; e++) {
    w.gate.push_back(rows_of(pairs[e], 0, d_ff, 2));
    w.up.push_back(rows_of(pairs[e], 1, d_ff, 2));
    for (int row = 0; row < d_ff; row++) {
      w.gate[e].bias.push_back(biases[e][2 * row]);
      w.up[e].bias.push_back(biases[e][2 * row + 1]);
    }
  }
  w.down = in.blocks(experts + "down_proj", n, c.d_model, d_ff);
  set_biases(w.down, in.vectors(experts + "down_proj_bias", n, c.d_model));
}

} // namespace

ExpertWeights
load_experts(HfTensors& in, const ModelConfig& config, const std::string& mlp) {
  const bool gpt_oss = config.family == "gpt_oss";
  const std::string router = mlp + (gpt_oss ? ".router" : ".gate");
  const int n = config.moe.n_experts;
  ExpertWeights w;
  w.router = in.matrix(router, n, config.d_model);
  if (config.moe.biases) {
    w.router.bias = in.vector(router + ".bias", n);
  }
  const std::string experts = mlp + ".experts.";
  const std::string stacked = gpt_oss ? experts : mlp + ".switch_mlp.";
  if (in.has(stacked + "gate_proj.weight")) {
    load_stacked(in, config, stacked, w);
  } else if (gpt_oss) {
    load_blocks(in, config, experts, w);
  } else {
    load_single(in, config, experts, w);
  }
  return w;
}

} // namespace stomp

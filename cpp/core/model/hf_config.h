// config.json of a Hugging Face or MLX checkpoint: the model's figures and
// how its weights are quantised. Pure; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/config.h"

namespace stomp {

/// MLX's quantisation of one matrix.
struct MatrixFormat {
  bool mxfp4 = false; // else affine
  int bits = 4;
  int group = 64;
};

struct HfConfig {
  ModelConfig model;
  std::optional<bool> tied;    // tie_word_embeddings, when the file has it
  bool norms_from_one = false; // norms' weights are what they have beyond 1
  std::optional<MatrixFormat> quantisation;
  // By module path ("model.layers.0.mlp.up_proj"); none: left dense.
  std::map<std::string, std::optional<MatrixFormat>, std::less<>> overrides;

  /// Of a module whose weights have scales; none when the file says nothing.
  std::optional<MatrixFormat> format_of(const std::string& module) const;
};

/// `what` names the file in messages. Throws kModelInvalid and
/// kModelUnsupported.
HfConfig parse_hf_config(const std::string& text, const std::string& what);

/// Adds the end tokens of generation_config.json, which often has more of
/// them. Throws kModelInvalid.
void add_generation_config(
    const std::string& text,
    const std::string& what,
    ModelConfig& model);

} // namespace stomp

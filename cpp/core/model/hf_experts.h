// The tensors of a mixture of experts in a safetensors checkpoint.
#pragma once

#include <string>

#include "model/config.h"
#include "model/hf_tensors.h"
#include "model/weights.h"

namespace stomp {

/// `mlp`: the layer's module, "model.layers.0.mlp".
ExpertWeights
load_experts(HfTensors& in, const ModelConfig& config, const std::string& mlp);

} // namespace stomp

#include "model/hf_layers.h"

#include <algorithm>

namespace stomp {

namespace {

// Beyond any model; a figure that validate() refuses is not made a list of.
constexpr int kMostLayers = 1 << 16;

bool slides(const Fields& in, const Json& kind) {
  const std::string* name = kind.string();
  if (name != nullptr && *name == "sliding_attention") {
    return true;
  }
  if (name == nullptr || *name != "full_attention") {
    in.unsupported(
        "'layer_types' has other than full_attention and sliding_attention");
  }
  return false;
}

/// As the file lists them, one by one.
std::vector<bool> listed(const Fields& in, const Json& layers) {
  if (layers.array() == nullptr) {
    in.fail("'layer_types' is not a list");
  }
  std::vector<bool> sliding;
  for (const Json& layer : *layers.array()) {
    sliding.push_back(slides(in, layer));
  }
  return sliding;
}

/// As the families without such a list have them.
std::vector<bool> usual(const Fields& in, const ModelConfig& model) {
  const int n = std::clamp(model.n_layers, 0, kMostLayers);
  std::vector<bool> sliding(n, true); // Mistral
  if (model.family == "gemma3") {
    const int pattern = in.integer("sliding_window_pattern").value_or(6);
    for (int l = 0; l < n; l++) {
      sliding[l] = pattern < 1 || (l + 1) % pattern != 0;
    }
  } else if (model.family == "gpt_oss") {
    for (int l = 1; l < n; l += 2) {
      sliding[l] = false;
    }
  } else if (model.family.starts_with("qwen")) {
    const int first = in.integer("max_window_layers").value_or(n);
    std::fill_n(sliding.begin(), std::min(first, n), false);
  }
  return sliding;
}

} // namespace

void read_layer_kinds(const Fields& in, ModelConfig& model) {
  // Qwen states a window that it does not use.
  const bool qwen = model.family.starts_with("qwen");
  const bool used = in.boolean("use_sliding_window").value_or(!qwen);
  const auto window = in.integer("sliding_window");
  const Json* layers = in.find("layer_types");
  std::vector<bool> sliding;
  if (layers != nullptr) {
    sliding = listed(in, *layers);
  } else if (used && (window || model.family == "gpt_oss")) {
    sliding = usual(in, model);
  }
  if (std::count(sliding.begin(), sliding.end(), true) == 0) {
    return;
  }
  if (!window) {
    in.fail("'sliding_window' is missing");
  }
  model.window = *window;
  model.sliding = std::move(sliding);
}

} // namespace stomp

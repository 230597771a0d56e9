// The two kinds of checkpoint that open_model() chooses between. They map,
// check every tensor's shape against the configuration and refuse tensors that
// the family has no use for: those would change the arithmetic. Any thread.
#pragma once

#include <string>

#include "model/model_file.h"

namespace stomp {

/// All of Model but `path`.
Model load_gguf(const std::string& path);
Model load_hf_directory(const std::string& directory);

} // namespace stomp

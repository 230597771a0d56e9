// Which layers of a Hugging Face configuration attend within a window. Pure;
// any thread.
#pragma once

#include "model/config.h"
#include "model/hf_fields.h"

namespace stomp {

/// Sets the model's window and which layers have it. REQUIRES: family and
/// n_layers are set. Throws kModelInvalid and kModelUnsupported.
void read_layer_kinds(const Fields& in, ModelConfig& model);

} // namespace stomp

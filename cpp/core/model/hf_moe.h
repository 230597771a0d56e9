// What config.json says of a mixture of experts. Pure; any thread.
#pragma once

#include "model/config.h"
#include "model/hf_fields.h"

namespace stomp {

/// Sets the mixture of the families that have one. REQUIRES: family, n_layers
/// and d_ff are set. Throws kModelInvalid and kModelUnsupported.
void read_moe(const Fields& in, ModelConfig& model);

} // namespace stomp

// GGUF metadata -> ModelConfig. Pure; any thread.
#pragma once

#include "model/config.h"
#include "store/gguf_reader.h"

namespace stomp {

/// Throws kModelInvalid naming the metadata key, and kModelUnsupported.
/// `tied_embeddings` follows from the presence of output.weight.
ModelConfig config_from_gguf(const GgufFile& file);

} // namespace stomp

// Opens a model: a .gguf file, or a directory with config.json and
// *.safetensors. The result is immutable and may be shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace stomp {

struct Model {
  ModelConfig config;
  ModelWeights weights;
  std::string path;
  // 32 hex digits: SHA-256 over the headers, file sizes and samples of every
  // tensor's bytes. Two files with one shape but other weights differ.
  std::string fingerprint;
  uint64_t file_bytes = 0;
};

/// Throws kModelNotFound, kModelInvalid, kModelUnsupported. Maps, copies no
/// weights.
std::shared_ptr<const Model> open_model(const std::string& path);

/// One GGUF metadata value; integers and bools widen to int64.
using MetaValue = std::variant<
    int64_t,
    double,
    std::string,
    std::vector<int64_t>,
    std::vector<double>,
    std::vector<std::string>>;

/// The metadata of a .gguf file, in file order, for the tokenizer and the chat
/// template. Throws as open_model does.
std::vector<std::pair<std::string, MetaValue>> read_gguf_metadata(
    const std::string& path);

} // namespace stomp

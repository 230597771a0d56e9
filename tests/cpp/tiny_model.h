// Checkpoints of a very small Llama with random weights, in every format that
// open_model() reads, for tests to open and to damage.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gguf_builder.h"
#include "store/safetensors_writer.h"

namespace tiny {

inline constexpr int kLayers = 2;
inline constexpr int kModel = 128; // hidden size, and q_dim
inline constexpr int kHeads = 4;
inline constexpr int kKvHeads = 2;
inline constexpr int kHeadDim = 32;
inline constexpr int kKv = kKvHeads * kHeadDim;
inline constexpr int kFf = 256;
inline constexpr int kVocab = 48;
inline constexpr int kContext = 512;

/// One tensor under both of its names; rows 0: a norm of `cols`.
struct Part {
  std::string gguf;
  std::string module; // Hugging Face, without ".weight"
  int rows;
  int cols;
};

std::vector<Part> parts(bool tied);

/// rows * cols weights of a ggml type, random but with sane scales.
std::string ggml_bytes(uint32_t type, int rows, int cols, std::mt19937& random);

/// All matrices of one type, norms in F32.
GgufBuilder gguf(uint32_t type, bool tied, uint32_t seed = 1);

/// MLX's affine format of one module; bits 0: dense BF16.
struct Affine {
  int bits = 0;
  int group = 64;
};

struct HfOptions {
  bool tied = true;
  stomp::Dtype dtype = stomp::Dtype::kBF16; // dense weights, norms, scales
  Affine affine;                            // of every matrix not in `modules`
  std::map<std::string, Affine> modules;
  uint32_t seed = 1;
};

/// config.json without its last brace, so that tests can append to it.
std::string open_config(bool tied);

/// A tensor of a safetensors file, with its bytes.
struct HfTensor {
  stomp::TensorDeclaration declaration;
  std::string bytes;
};
std::vector<HfTensor> hf_tensors(const HfOptions& options);
void write_tensors(
    const std::string& path,
    const std::vector<HfTensor>& tensors);

/// config.json and model.safetensors.
void write_hf(const std::string& directory, const HfOptions& options);

} // namespace tiny

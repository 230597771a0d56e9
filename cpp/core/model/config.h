// What a model is, whatever file it came from. Immutable after load; safe to
// share between threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace stomp {

/// Rotary embedding. inv_freq already includes the scaling that the config
/// asks for.
struct RopeConfig {
  std::vector<float> inv_freq; // (head_dim / 2)
  float scale = 1;             // of what comes out: YaRN's attention factor
  // True: pairs are (2i, 2i+1), as GGUF stores permuted Llama rows.
  // False: pairs are (i, i + head_dim/2), as Hugging Face checkpoints do.
  bool interleaved = false;
};

struct ModelConfig {
  std::string family; // one of supported_families()
  std::string name;   // from the file's metadata, for people
  int n_layers = 0;
  int d_model = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int d_ff = 0;
  int vocab_size = 0;
  int max_context = 0; // tokens
  float rms_eps = 1e-5f;
  bool tied_embeddings = false;
  bool qkv_bias = false; // q, k and v have biases
  bool qk_norm = false;  // each head of q and k has a norm, before the rope
  RopeConfig rope;
  std::vector<int32_t> eos_ids;

  int q_dim() const { return n_heads * head_dim; }
  int kv_dim() const { return n_kv_heads * head_dim; }
};

/// Families the decoder knows, for error messages.
const std::vector<std::string>& supported_families();

/// Throws kModelInvalid when a figure is out of range or they contradict each
/// other (heads not a multiple of KV heads, odd head_dim, ...).
void validate(const ModelConfig& config);

/// From the text of a Hugging Face config.json. Throws kModelInvalid, and
/// kModelUnsupported naming the family and the supported list.
ModelConfig config_from_hf_json(const std::string& json_text);

} // namespace stomp

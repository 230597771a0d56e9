// What a model is, whatever file it came from. Immutable after load; safe to
// share between threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "model/activation.h"
#include "model/moe_config.h"

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
  bool qkv_bias = false;   // q, k and v have biases
  bool o_bias = false;     // so has o
  bool qk_norm = false;    // each head of q and k has a norm, before the rope
  bool post_norms = false; // norms of what attention and feed-forward yield
  bool sinks = false;      // each head has a score that nothing stands behind
  Activation activation = Activation::kSilu;
  float embedding_scale = 1;
  float attention_scale = 0; // of q . k; 0: 1 / sqrt(head_dim)
  int window = 0; // tokens that a sliding layer attends to, its own included
  std::vector<bool> sliding; // by layer; empty: none is
  MoeConfig moe;
  RopeConfig rope;
  RopeConfig local_rope; // of sliding layers; without frequencies: as rope
  std::vector<int32_t> eos_ids;

  int q_dim() const { return n_heads * head_dim; }
  int kv_dim() const { return n_kv_heads * head_dim; }
  bool slides(int layer) const { return !sliding.empty() && sliding[layer]; }
  /// Whether sliding layers turn by frequencies of their own.
  bool two_ropes() const { return !local_rope.inv_freq.empty(); }
  float query_scale() const {
    return attention_scale > 0 ? attention_scale
                               : 1 / std::sqrt(static_cast<float>(head_dim));
  }
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

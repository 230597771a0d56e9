// A Llama forward pass that shares nothing with the executors: double
// precision, one loop a formula, its own reading of every weight format. What
// the executors' tests compare against. No state; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/model_file.h"

namespace reference {

/// A small model for random_model().
struct Shape {
  int n_layers = 2;
  int n_heads = 4;
  int n_kv_heads = 2;
  int head_dim = 32;
  int d_ff = 192;
  int vocab_size = 113;
  int d_model = 128;     // multiple of `group`
  int max_context = 512; // tokens
  bool interleaved = true;
  bool tied = false; // the head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool qk_norm = false;
  bool post_norms = false;
  bool sinks = false;
  stomp::Activation activation = stomp::Activation::kSilu;
  float embedding_scale = 1;
  float attention_scale = 0; // 0: by head_dim
  int window = 0;            // of every layer but each third; 0: none
  bool local_rope = false;   // those layers turn by other frequencies
  float rope_scale = 1;
  // A mixture of experts in every layer but `dense_layer`.
  int n_experts = 0; // 0: none
  int n_chosen = 0;
  bool normalised = true;
  bool expert_biases = false;
  int dense_layer = -1;
  uint32_t seed = 1;
  stomp::WeightFormat format = stomp::WeightFormat::kF32; // of all matrices
  // kAffine only.
  int bits = 4;
  int group = 32;
  stomp::WeightFormat scale_format = stomp::WeightFormat::kF16;
};

/// Random weights, the same for one Shape on every machine, scaled so that
/// logits have a spread of about one. The model owns its bytes.
std::shared_ptr<const stomp::Model> random_model(const Shape& shape);

/// `n` token ids below `vocab_size`, the same for one seed everywhere.
std::vector<int32_t> random_tokens(int n, int vocab_size, uint32_t seed);

/// Row `row` of `w`, decoded straight from its bytes.
std::vector<double> decode_row(const stomp::WeightMatrix& w, int row);

/// logits[i][v]: of vocabulary entry v after tokens[0..i]. Cost is quadratic
/// in tokens; nothing is cached.
std::vector<std::vector<double>> logits(
    const stomp::Model& model,
    std::span<const int32_t> tokens);

/// The least difference there is, for any of the tokens in any layer, between
/// the score of an expert that is chosen and of one that is not: where it is
/// small, arithmetic of less precision may choose another. Infinite where all
/// are chosen.
double closest_choice(
    const stomp::Model& model,
    std::span<const int32_t> tokens);

/// Appends `n` arg max tokens (lowest id on ties) to `prompt` and returns
/// these alone.
std::vector<int32_t>
greedy(const stomp::Model& model, std::vector<int32_t> prompt, int n);

/// Index of the largest value, the lowest on ties.
int arg_max(std::span<const double> values);

/// Largest |a - b|; infinite when the sizes differ or a value is not finite.
double max_difference(std::span<const float> a, std::span<const double> b);

} // namespace reference

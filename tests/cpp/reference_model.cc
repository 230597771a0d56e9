// The random models of reference_llama.h.
#include <cmath>
#include <cstring>
#include <random>

#include "reference_llama.h"

namespace reference {

using stomp::Model;
using stomp::ModelConfig;
using stomp::WeightFormat;
using stomp::WeightMatrix;

namespace {

/// Owns every byte of a random model.
using Arena = std::vector<std::vector<std::byte>>;

class Maker {
 public:
  explicit Maker(const Shape& shape) : shape_(shape), random_(shape.seed) {}

  WeightMatrix matrix(int rows, int cols) {
    WeightMatrix w;
    w.format = shape_.format;
    w.rows = rows;
    w.cols = cols;
    const double deviation = 1 / std::sqrt(cols);
    if (!w.quantised()) {
      w.data = dense(w.format, size_t(rows) * cols, 0, deviation);
    } else if (w.format == WeightFormat::kAffine) {
      fill_affine(w, deviation);
    } else if (w.mxfp4()) {
      fill_mxfp4(w, deviation);
    } else {
      fill_gguf(w, deviation);
    }
    return w;
  }

  std::vector<float> norm(int n) {
    std::vector<float> w(n);
    for (float& x : w) {
      x = static_cast<float>(1 + 0.2 * (unit() - 0.5));
    }
    return w;
  }

  std::vector<float> bias(int n) {
    std::vector<float> b(n);
    for (float& x : b) {
      x = static_cast<float>(unit() - 0.5);
    }
    return b;
  }

  std::shared_ptr<const void> arena() const { return arena_; }

 private:
  /// In [0, 1), the same everywhere (std distributions are not).
  double unit() { return random_() / 4294967296.0; }

  std::byte* room(size_t n) {
    arena_->emplace_back(n);
    return arena_->back().data();
  }

  static void put_u16(std::byte* p, uint16_t v) {
    p[0] = static_cast<std::byte>(v & 255);
    p[1] = static_cast<std::byte>(v >> 8);
  }

  /// Cuts the mantissa; what is below the normal range becomes zero.
  static uint16_t to_f16(float f) {
    uint32_t bits;
    std::memcpy(&bits, &f, sizeof bits);
    const int exponent = static_cast<int>(bits >> 23 & 255) - 112;
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t size =
        exponent <= 0 ? 0 : exponent << 10 | (bits >> 13 & 1023);
    return static_cast<uint16_t>(sign | size);
  }

  static void put(std::byte* p, WeightFormat format, size_t i, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (format == WeightFormat::kF16) {
      put_u16(p + 2 * i, to_f16(value));
    } else if (format == WeightFormat::kBF16) {
      put_u16(p + 2 * i, static_cast<uint16_t>(bits >> 16));
    } else {
      std::memcpy(p + 4 * i, &bits, 4);
    }
  }

  /// Uniform, with this mean and standard deviation.
  std::byte* dense(WeightFormat format, size_t n, double mean, double spread) {
    std::byte* p = room(n * (format == WeightFormat::kF32 ? 4 : 2));
    for (size_t i = 0; i < n; i++) {
      const double x = mean + spread * std::sqrt(12.0) * (unit() - 0.5);
      put(p, format, i, static_cast<float>(x));
    }
    return p;
  }

  void fill_affine(WeightMatrix& w, double deviation) {
    w.bits = shape_.bits;
    w.group = shape_.group;
    w.scale_format = shape_.scale_format;
    const size_t n = size_t(w.rows) * w.cols;
    std::byte* codes = room(n * w.bits / 8);
    for (size_t i = 0; i < n * w.bits / 8; i++) {
      codes[i] = static_cast<std::byte>(random_() & 255);
    }
    w.data = codes;
    const double levels = 1 << w.bits;
    const double scale = deviation * std::sqrt(12.0) / levels;
    const double bias = -scale * (levels - 1) / 2;
    const size_t groups = n / w.group;
    w.scales = dense(w.scale_format, groups, scale, 0.1 * scale);
    w.biases = dense(w.scale_format, groups, bias, 0.1 * -bias);
  }

  void fill_mxfp4(WeightMatrix& w, double deviation) {
    w.bits = 4;
    w.group = 32;
    const bool blocks = w.format == WeightFormat::kMxfp4Blocks;
    const size_t groups = size_t(w.rows) * w.cols / 32;
    std::byte* codes = room(groups * (blocks ? 17 : 16));
    for (size_t i = 0; i < groups * (blocks ? 17 : 16); i++) {
      codes[i] = static_cast<std::byte>(random_() & 255);
    }
    std::byte* exponents = blocks ? codes : room(groups);
    // Of the codes' values 2.93 is the deviation.
    const int middle = static_cast<int>(std::log2(deviation / 2.93) + 127);
    for (size_t g = 0; g < groups; g++) {
      const int exponent = middle + static_cast<int>(random_() % 2);
      exponents[blocks ? 17 * g : g] = static_cast<std::byte>(exponent);
    }
    w.data = codes;
    w.scales = blocks ? nullptr : exponents;
  }

  void fill_gguf(WeightMatrix& w, double deviation) {
    w.group = 32;
    const bool wide = w.format == WeightFormat::kQ8_0;
    const int head = w.format == WeightFormat::kQ4_1 ? 4 : 2;
    const size_t bytes = head + (wide ? 32 : 16);
    const double scale = deviation * std::sqrt(12.0) / (wide ? 256 : 16);
    const size_t blocks = size_t(w.rows) * w.cols / 32;
    std::byte* p = room(blocks * bytes);
    w.data = p;
    for (size_t b = 0; b < blocks; b++, p += bytes) {
      const float d = static_cast<float>(scale * (0.8 + 0.4 * unit()));
      put_u16(p, to_f16(d));
      put_u16(p + head - 2, to_f16(head == 4 ? -7.5f * d : d));
      for (size_t i = head; i < bytes; i++) {
        p[i] = static_cast<std::byte>(random_() & 255);
      }
    }
  }

  Shape shape_;
  std::mt19937 random_;
  std::shared_ptr<Arena> arena_ = std::make_shared<Arena>();
};

ModelConfig config_of(const Shape& shape) {
  ModelConfig c;
  c.family = "llama";
  c.name = "random";
  c.n_layers = shape.n_layers;
  c.d_model = shape.d_model;
  c.n_heads = shape.n_heads;
  c.n_kv_heads = shape.n_kv_heads;
  c.head_dim = shape.head_dim;
  c.d_ff = shape.d_ff;
  c.vocab_size = shape.vocab_size;
  c.max_context = shape.max_context;
  c.tied_embeddings = shape.tied;
  c.qkv_bias = shape.qkv_bias;
  c.o_bias = shape.o_bias;
  c.qk_norm = shape.qk_norm;
  c.rope.interleaved = shape.interleaved;
  c.rope.scale = shape.rope_scale;
  c.post_norms = shape.post_norms;
  c.sinks = shape.sinks;
  c.activation = shape.activation;
  c.embedding_scale = shape.embedding_scale;
  c.attention_scale = shape.attention_scale;
  c.window = shape.window;
  for (int l = 0; l < shape.n_layers && shape.window > 0; l++) {
    c.sliding.push_back(l % 3 != 1);
  }
  if (shape.n_experts > 0) {
    c.moe.n_experts = shape.n_experts;
    c.moe.n_chosen = shape.n_chosen;
    c.moe.d_ff = shape.d_ff;
    c.moe.normalised = shape.normalised;
    c.moe.biases = shape.expert_biases;
    c.moe.dense.resize(shape.n_layers);
    if (shape.dense_layer >= 0) {
      c.moe.dense[shape.dense_layer] = true;
    }
  }
  for (int i = 0; i < shape.head_dim; i += 2) {
    c.rope.inv_freq.push_back(
        static_cast<float>(std::pow(10000.0, -double(i) / shape.head_dim)));
    if (shape.local_rope) {
      c.local_rope.inv_freq.push_back(
          static_cast<float>(std::pow(300.0, -double(i) / shape.head_dim)));
    }
  }
  return c;
}

stomp::ExpertWeights random_experts(Maker& make, const ModelConfig& c) {
  const stomp::MoeConfig& moe = c.moe;
  const auto matrix = [&](int rows, int cols) {
    WeightMatrix w = make.matrix(rows, cols);
    if (moe.biases) {
      w.bias = make.bias(rows);
    }
    return w;
  };
  stomp::ExpertWeights w;
  w.router = matrix(moe.n_experts, c.d_model);
  for (int e = 0; e < moe.n_experts; e++) {
    w.gate.push_back(matrix(moe.d_ff, c.d_model));
    w.up.push_back(matrix(moe.d_ff, c.d_model));
    w.down.push_back(matrix(c.d_model, moe.d_ff));
  }
  return w;
}

} // namespace

std::shared_ptr<const Model> random_model(const Shape& shape) {
  auto model = std::make_shared<Model>();
  model->config = config_of(shape);
  const ModelConfig& c = model->config;
  Maker make(shape);
  stomp::ModelWeights& w = model->weights;
  w.embedding = make.matrix(c.vocab_size, c.d_model);
  for (int l = 0; l < c.n_layers; l++) {
    stomp::LayerWeights layer;
    layer.attention_norm = make.norm(c.d_model);
    layer.q = make.matrix(c.q_dim(), c.d_model);
    layer.k = make.matrix(c.kv_dim(), c.d_model);
    layer.v = make.matrix(c.kv_dim(), c.d_model);
    if (c.qkv_bias) {
      layer.q.bias = make.bias(c.q_dim());
      layer.k.bias = make.bias(c.kv_dim());
      layer.v.bias = make.bias(c.kv_dim());
    }
    if (c.qk_norm) {
      layer.q_norm = make.norm(c.head_dim);
      layer.k_norm = make.norm(c.head_dim);
    }
    if (c.sinks) {
      layer.sinks = make.bias(c.n_heads);
    }
    if (c.post_norms) {
      layer.o_norm = make.norm(c.d_model);
      layer.down_norm = make.norm(c.d_model);
    }
    layer.o = make.matrix(c.d_model, c.q_dim());
    if (c.o_bias) {
      layer.o.bias = make.bias(c.d_model);
    }
    layer.ffn_norm = make.norm(c.d_model);
    if (c.moe.in_layer(l)) {
      layer.experts = random_experts(make, c);
    } else {
      layer.gate = make.matrix(c.d_ff, c.d_model);
      layer.up = make.matrix(c.d_ff, c.d_model);
      layer.down = make.matrix(c.d_model, c.d_ff);
    }
    w.layers.push_back(std::move(layer));
  }
  w.final_norm = make.norm(c.d_model);
  w.head = shape.tied ? w.embedding : make.matrix(c.vocab_size, c.d_model);
  w.mapping = make.arena();
  model->path = "random";
  model->fingerprint = "00000000000000000000000000000000";
  return model;
}

std::vector<int32_t> random_tokens(int n, int vocab_size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(n);
  for (int32_t& t : tokens) {
    t = static_cast<int32_t>(random() % vocab_size);
  }
  return tokens;
}

} // namespace reference

// See reference_llama.h. Clarity over speed throughout.
#include "reference_llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>

namespace reference {

using stomp::Activation;
using stomp::Model;
using stomp::ModelConfig;
using stomp::WeightFormat;
using stomp::WeightMatrix;

namespace {

using Rows = std::vector<std::vector<double>>; // [token][column]

// ---- reading weights ----

uint16_t u16_at(const std::byte* p) {
  return static_cast<uint16_t>(
      std::to_integer<int>(p[0]) | std::to_integer<int>(p[1]) << 8);
}

uint32_t u32_at(const std::byte* p) {
  return u16_at(p) | static_cast<uint32_t>(u16_at(p + 2)) << 16;
}

double f32_of(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

double f16_of(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double size = exponent == 0
      ? std::ldexp(mantissa, -24)
      : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -size : size;
}

/// Element i of an array of floats of a dense format.
double dense_at(WeightFormat format, const std::byte* p, size_t i) {
  switch (format) {
    case WeightFormat::kF16:
      return f16_of(u16_at(p + 2 * i));
    case WeightFormat::kBF16:
      return f32_of(static_cast<uint32_t>(u16_at(p + 2 * i)) << 16);
    default:
      return f32_of(u32_at(p + 4 * i));
  }
}

/// Code i of a little-endian stream of `bits`-wide codes.
int code_at(const std::byte* p, size_t i, int bits) {
  int code = 0;
  for (int b = 0; b < bits; b++) {
    const size_t at = i * bits + b;
    code |= (std::to_integer<int>(p[at / 8]) >> (at % 8) & 1) << b;
  }
  return code;
}

/// Element i of one 32-element block, `p` past its scale(s).
int nibble_at(const std::byte* p, int i) {
  return std::to_integer<int>(p[i % 16]) >> (i < 16 ? 0 : 4) & 15;
}

double gguf_at(const WeightMatrix& w, size_t index) {
  const int i = static_cast<int>(index % 32);
  switch (w.format) {
    case WeightFormat::kQ4_0: {
      const std::byte* p = w.data + index / 32 * 18;
      return f16_of(u16_at(p)) * (nibble_at(p + 2, i) - 8);
    }
    case WeightFormat::kQ4_1: {
      const std::byte* p = w.data + index / 32 * 20;
      return f16_of(u16_at(p)) * nibble_at(p + 4, i) + f16_of(u16_at(p + 2));
    }
    default: {
      const std::byte* p = w.data + index / 32 * 34;
      return f16_of(u16_at(p)) * static_cast<int8_t>(p[2 + i]);
    }
  }
}

// ---- the formulas ----

/// x @ w^T.
Rows linear(const Rows& x, const WeightMatrix& w) {
  Rows y(x.size(), std::vector<double>(w.rows));
  for (int r = 0; r < w.rows; r++) {
    const std::vector<double> row = decode_row(w, r);
    for (size_t t = 0; t < x.size(); t++) {
      double sum = 0;
      for (int c = 0; c < w.cols; c++) {
        sum += row[c] * x[t][c];
      }
      y[t][r] = sum + (w.bias.empty() ? 0 : w.bias[r]);
    }
  }
  return y;
}

Rows rms_norm(const Rows& x, const std::vector<float>& weight, double eps) {
  Rows y = x;
  for (std::vector<double>& row : y) {
    double squares = 0;
    for (double v : row) {
      squares += v * v;
    }
    const double scale = 1 / std::sqrt(squares / row.size() + eps);
    for (size_t i = 0; i < row.size(); i++) {
      row[i] *= scale * weight[i];
    }
  }
  return y;
}

/// Every head of every row by itself; nothing without a weight.
void norm_heads(Rows& x, const std::vector<float>& weight, double eps) {
  const size_t dim = weight.size();
  for (std::vector<double>& row : x) {
    for (size_t at = 0; dim > 0 && at < row.size(); at += dim) {
      const Rows head = {{row.begin() + at, row.begin() + at + dim}};
      const Rows normed = rms_norm(head, weight, eps);
      std::copy(normed[0].begin(), normed[0].end(), row.begin() + at);
    }
  }
}

/// Rotates every head of every row; row t is at position t.
void rotate(Rows& x, const ModelConfig& config, int layer) {
  const bool local = config.two_ropes() && config.slides(layer);
  const stomp::RopeConfig& rope = local ? config.local_rope : config.rope;
  const int half = config.head_dim / 2;
  for (size_t t = 0; t < x.size(); t++) {
    for (size_t head = 0; head < x[t].size(); head += config.head_dim) {
      for (int i = 0; i < half; i++) {
        const bool pairs = rope.interleaved;
        double& a = x[t][head + (pairs ? 2 * i : i)];
        double& b = x[t][head + (pairs ? 2 * i + 1 : i + half)];
        const double angle = static_cast<double>(t) * rope.inv_freq[i];
        const double scale = rope.scale;
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = scale * (a * std::sin(angle) + b * std::cos(angle));
        a = scale * turned;
      }
    }
  }
}

/// One query head of row t over rows [first, t] of its K and V head. A sink is
/// one more score, behind which there is no value.
std::vector<double> attend_one(
    const double* q,
    const Rows& k,
    const Rows& v,
    size_t first,
    size_t t,
    int at,
    int dim,
    double scale,
    double sink) {
  std::vector<double> weight(t + 1);
  double top = sink;
  for (size_t s = first; s <= t; s++) {
    for (int i = 0; i < dim; i++) {
      weight[s] += q[i] * k[s][at + i];
    }
    weight[s] *= scale;
    top = std::max(top, weight[s]);
  }
  double total = std::exp(sink - top);
  for (size_t s = first; s <= t; s++) {
    weight[s] = std::exp(weight[s] - top);
    total += weight[s];
  }
  std::vector<double> out(dim);
  for (size_t s = first; s <= t; s++) {
    for (int i = 0; i < dim; i++) {
      out[i] += weight[s] / total * v[s][at + i];
    }
  }
  return out;
}

Rows attend(
    const Rows& q,
    const Rows& k,
    const Rows& v,
    const ModelConfig& c,
    int layer,
    const std::vector<float>& sinks) {
  const double none = -std::numeric_limits<double>::infinity();
  const double scale =
      c.attention_scale > 0 ? c.attention_scale : 1 / std::sqrt(c.head_dim);
  const size_t window = c.slides(layer) ? c.window : q.size();
  const int group = c.n_heads / c.n_kv_heads;
  Rows y(q.size(), std::vector<double>(c.q_dim()));
  for (size_t t = 0; t < q.size(); t++) {
    for (int h = 0; h < c.n_heads; h++) {
      const std::vector<double> out = attend_one(
          &q[t][h * c.head_dim],
          k,
          v,
          t < window ? 0 : t - window + 1,
          t,
          h / group * c.head_dim,
          c.head_dim,
          scale,
          sinks.empty() ? none : sinks[h]);
      std::copy(out.begin(), out.end(), y[t].begin() + h * c.head_dim);
    }
  }
  return y;
}

void add(Rows& x, const Rows& y) {
  for (size_t t = 0; t < x.size(); t++) {
    for (size_t i = 0; i < x[t].size(); i++) {
      x[t][i] += y[t][i];
    }
  }
}

double activated(Activation activation, double gate, double up) {
  switch (activation) {
    case Activation::kGeluTanh:
      return 0.5 * gate *
          (1 +
           std::tanh(
               std::sqrt(2 / std::numbers::pi) *
               (gate + 0.044715 * gate * gate * gate))) *
          up;
    case Activation::kClampedSwiglu: {
      const double g = std::min(gate, 7.0);
      return g / (1 + std::exp(-1.702 * g)) * (std::clamp(up, -7.0, 7.0) + 1);
    }
    default:
      return gate / (1 + std::exp(-gate)) * up;
  }
}

Rows glu(Activation activation, const Rows& gate, const Rows& up) {
  Rows y = up;
  for (size_t t = 0; t < y.size(); t++) {
    for (size_t i = 0; i < y[t].size(); i++) {
      y[t][i] = activated(activation, gate[t][i], up[t][i]);
    }
  }
  return y;
}

/// What a norm without weights leaves as it is.
Rows normed(const Rows& x, const std::vector<float>& weight, double eps) {
  return weight.empty() ? x : rms_norm(x, weight, eps);
}

// ---- random models ----

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
    layer.ffn_norm = make.norm(c.d_model);
    layer.gate = make.matrix(c.d_ff, c.d_model);
    layer.up = make.matrix(c.d_ff, c.d_model);
    layer.down = make.matrix(c.d_model, c.d_ff);
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

std::vector<double> decode_row(const WeightMatrix& w, int row) {
  std::vector<double> out(w.cols);
  for (int c = 0; c < w.cols; c++) {
    const size_t i = size_t(row) * w.cols + c;
    if (w.format == WeightFormat::kAffine) {
      const size_t g = i / w.group;
      out[c] =
          dense_at(w.scale_format, w.scales, g) * code_at(w.data, i, w.bits) +
          dense_at(w.scale_format, w.biases, g);
    } else if (w.quantised()) {
      out[c] = gguf_at(w, i);
    } else {
      out[c] = dense_at(w.format, w.data, i);
    }
  }
  return out;
}

std::vector<std::vector<double>> logits(
    const Model& model,
    std::span<const int32_t> tokens) {
  const ModelConfig& c = model.config;
  Rows x;
  for (int32_t t : tokens) {
    x.push_back(decode_row(model.weights.embedding, t));
    for (double& value : x.back()) {
      value *= c.embedding_scale;
    }
  }
  for (int l = 0; l < c.n_layers; l++) {
    const stomp::LayerWeights& w = model.weights.layers[l];
    const Rows in = rms_norm(x, w.attention_norm, c.rms_eps);
    Rows q = linear(in, w.q);
    Rows k = linear(in, w.k);
    norm_heads(q, w.q_norm, c.rms_eps);
    norm_heads(k, w.k_norm, c.rms_eps);
    rotate(q, c, l);
    rotate(k, c, l);
    const Rows seen = attend(q, k, linear(in, w.v), c, l, w.sinks);
    add(x, normed(linear(seen, w.o), w.o_norm, c.rms_eps));
    const Rows h = rms_norm(x, w.ffn_norm, c.rms_eps);
    const Rows gated = glu(c.activation, linear(h, w.gate), linear(h, w.up));
    add(x, normed(linear(gated, w.down), w.down_norm, c.rms_eps));
  }
  x = rms_norm(x, model.weights.final_norm, c.rms_eps);
  return linear(x, model.weights.head);
}

std::vector<int32_t>
greedy(const Model& model, std::vector<int32_t> prompt, int n) {
  std::vector<int32_t> out;
  for (int i = 0; i < n; i++) {
    out.push_back(arg_max(logits(model, prompt).back()));
    prompt.push_back(out.back());
  }
  return out;
}

int arg_max(std::span<const double> values) {
  return static_cast<int>(
      std::max_element(values.begin(), values.end()) - values.begin());
}

double max_difference(std::span<const float> a, std::span<const double> b) {
  if (a.size() != b.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double worst = 0;
  for (size_t i = 0; i < a.size(); i++) {
    const double d = std::abs(a[i] - b[i]);
    worst = std::isfinite(d) ? std::max(worst, d)
                             : std::numeric_limits<double>::infinity();
  }
  return worst;
}

} // namespace reference

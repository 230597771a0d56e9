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

/// A sign, two bits of exponent and one of mantissa.
double e2m1_of(int code) {
  const int exponent = code >> 1 & 3;
  const int mantissa = code & 1;
  const double size = exponent == 0
      ? 0.5 * mantissa
      : std::ldexp(1 + 0.5 * mantissa, exponent - 1);
  return code & 8 ? -size : size;
}

double e8m0_of(std::byte exponent) {
  return std::ldexp(1.0, std::to_integer<int>(exponent) - 127);
}

double mxfp4_at(const WeightMatrix& w, int row, int column) {
  const size_t i = size_t(row) * w.row_step * w.cols + column;
  return e2m1_of(code_at(w.data, i, 4)) * e8m0_of(w.scales[i / 32]);
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
    case WeightFormat::kMxfp4Blocks: {
      const std::byte* p = w.data + index / 32 * 17;
      return e2m1_of(nibble_at(p + 1, i)) * e8m0_of(p[0]);
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

Rows feed_forward(
    Activation activation,
    const Rows& x,
    const WeightMatrix& gate,
    const WeightMatrix& up,
    const WeightMatrix& down) {
  return linear(glu(activation, linear(x, gate), linear(x, up)), down);
}

/// The weight of every expert for one row, 0 where it is not chosen.
std::vector<double> expert_weights(
    const std::vector<double>& scores,
    const stomp::MoeConfig& moe,
    double& closest) {
  std::vector<double> sorted = scores;
  std::sort(sorted.rbegin(), sorted.rend());
  const double least = sorted[moe.n_chosen - 1];
  if (moe.n_chosen < moe.n_experts) {
    closest = std::min(closest, least - sorted[moe.n_chosen]);
  }
  double total = 0;
  for (const double score : scores) {
    total += moe.normalised && score < least ? 0 : std::exp(score);
  }
  std::vector<double> weights;
  for (const double score : scores) {
    weights.push_back(score < least ? 0 : std::exp(score) / total);
  }
  return weights;
}

/// Every expert sees every row; those not chosen count nothing.
Rows mixture(
    const Rows& x,
    const stomp::ExpertWeights& w,
    const ModelConfig& c,
    double& closest) {
  const Rows scores = linear(x, w.router);
  Rows weights;
  for (const std::vector<double>& row : scores) {
    weights.push_back(expert_weights(row, c.moe, closest));
  }
  Rows sum(x.size(), std::vector<double>(c.d_model));
  for (int e = 0; e < c.moe.n_experts; e++) {
    const Rows y = feed_forward(c.activation, x, w.gate[e], w.up[e], w.down[e]);
    for (size_t t = 0; t < x.size(); t++) {
      for (int i = 0; i < c.d_model; i++) {
        sum[t][i] += weights[t][e] * y[t][i];
      }
    }
  }
  return sum;
}

/// What a norm without weights leaves as it is.
Rows normed(const Rows& x, const std::vector<float>& weight, double eps) {
  return weight.empty() ? x : rms_norm(x, weight, eps);
}

} // namespace

std::vector<double> decode_row(const WeightMatrix& w, int row) {
  std::vector<double> out(w.cols);
  for (int c = 0; c < w.cols; c++) {
    const size_t i = size_t(row) * w.cols + c;
    if (w.format == WeightFormat::kAffine) {
      const size_t g = i / w.group;
      out[c] =
          dense_at(w.scale_format, w.scales, g) * code_at(w.data, i, w.bits) +
          dense_at(w.scale_format, w.biases, g);
    } else if (w.format == WeightFormat::kMxfp4) {
      out[c] = mxfp4_at(w, row, c);
    } else if (w.quantised()) {
      out[c] = gguf_at(w, i);
    } else {
      out[c] = dense_at(w.format, w.data, i);
    }
  }
  return out;
}

namespace {

/// The logits; `closest` as closest_choice().
Rows forward(
    const Model& model,
    std::span<const int32_t> tokens,
    double& closest) {
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
    if (c.moe.in_layer(l)) {
      add(x, mixture(h, w.experts, c, closest));
    } else {
      const Rows y = feed_forward(c.activation, h, w.gate, w.up, w.down);
      add(x, normed(y, w.down_norm, c.rms_eps));
    }
  }
  x = rms_norm(x, model.weights.final_norm, c.rms_eps);
  return linear(x, model.weights.head);
}

} // namespace

std::vector<std::vector<double>> logits(
    const Model& model,
    std::span<const int32_t> tokens) {
  double closest = 0;
  return forward(model, tokens, closest);
}

double closest_choice(const Model& model, std::span<const int32_t> tokens) {
  double closest = std::numeric_limits<double>::infinity();
  forward(model, tokens, closest);
  return closest;
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

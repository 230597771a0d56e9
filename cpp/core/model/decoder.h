// The model definition: a decoder-only transformer in the operations of
// exec/ops.h, written once and compiled by each executor.
#pragma once

#include <optional>
#include <vector>

#include "exec/ops.h"
#include "model/model_file.h"

namespace stomp {

template <DecoderOps O>
class Decoder {
 public:
  /// `progress(done, total)` is called after each layer.
  template <class Progress>
  Decoder(O& ops, const Model& model, Progress progress) {
    const ModelWeights& w = model.weights;
    embedding_ = ops.load_embedding(w.embedding);
    const int n = model.config.n_layers;
    layers_.reserve(n);
    for (int l = 0; l < n; l++) {
      const LayerWeights& lw = w.layers[l];
      layers_.push_back(
          {ops.load_norm(lw.attention_norm),
           ops.load_linear({&lw.q, &lw.k, &lw.v}),
           ops.load_heads(lw.q_norm, lw.k_norm, lw.sinks),
           ops.load_linear({&lw.o}),
           ops.load_norm(lw.o_norm),
           ops.load_norm(lw.ffn_norm),
           load_feed_forward(ops, lw)});
      progress(l + 1, n + 1);
    }
    final_norm_ = ops.load_norm(w.final_norm);
    head_ = ops.load_linear({&w.head});
    progress(n + 1, n + 1);
  }

  /// One step; the ops hold its tokens, tables and results.
  void forward(O& ops) const {
    auto x = ops.embed(embedding_);
    for (int l = 0; l < static_cast<int>(layers_.size()); l++) {
      const Layer& layer = layers_[l];
      auto qkv = ops.linear(ops.rms_norm(x, layer.attention_norm), layer.qkv);
      ops.add_linear(x, ops.attend(qkv, layer.heads, l), layer.o, layer.o_norm);
      add_feed_forward(
          ops, x, ops.rms_norm(x, layer.ffn_norm), layer.feed_forward);
    }
    ops.logits(ops.final_norm(x, final_norm_), head_);
  }

 private:
  /// Either a gated linear and one down, or experts.
  struct FeedForward {
    typename O::Linear gate_up;
    typename O::Linear down;
    typename O::Norm down_norm;
    std::optional<typename O::Experts> experts;
  };
  struct Layer {
    typename O::Norm attention_norm;
    typename O::Linear qkv;
    typename O::HeadWeights heads;
    typename O::Linear o;
    typename O::Norm o_norm;
    typename O::Norm ffn_norm;
    FeedForward feed_forward;
  };

  static FeedForward load_feed_forward(O& ops, const LayerWeights& w) {
    if (!w.experts.empty()) {
      return {{}, {}, {}, ops.load_experts(w.experts)};
    }
    return {
        ops.load_linear({&w.gate, &w.up}),
        ops.load_linear({&w.down}),
        ops.load_norm(w.down_norm),
        {}};
  }

  static void add_feed_forward(
      O& ops,
      typename O::Hidden& x,
      const typename O::Input& in,
      const FeedForward& w) {
    if (w.experts) {
      ops.add_experts(x, in, *w.experts);
      return;
    }
    ops.add_linear(x, ops.gated_linear(in, w.gate_up), w.down, w.down_norm);
  }

  typename O::Embedding embedding_;
  std::vector<Layer> layers_;
  typename O::Norm final_norm_;
  typename O::Linear head_;
};

} // namespace stomp

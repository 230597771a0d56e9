// The model definition: a decoder-only transformer in the operations of
// exec/ops.h, written once and compiled by each executor.
#pragma once

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
           ops.load_linear({&lw.gate, &lw.up}),
           ops.load_linear({&lw.down}),
           ops.load_norm(lw.down_norm)});
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
      auto gated =
          ops.gated_linear(ops.rms_norm(x, layer.ffn_norm), layer.gate_up);
      ops.add_linear(x, gated, layer.down, layer.down_norm);
    }
    ops.logits(ops.final_norm(x, final_norm_), head_);
  }

 private:
  struct Layer {
    typename O::Norm attention_norm;
    typename O::Linear qkv;
    typename O::HeadWeights heads;
    typename O::Linear o;
    typename O::Norm o_norm;
    typename O::Norm ffn_norm;
    typename O::Linear gate_up;
    typename O::Linear down;
    typename O::Norm down_norm;
  };

  typename O::Embedding embedding_;
  std::vector<Layer> layers_;
  typename O::Norm final_norm_;
  typename O::Linear head_;
};

} // namespace stomp

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
           ops.load_head_norms(lw.q_norm, lw.k_norm),
           ops.load_linear({&lw.o}),
           ops.load_norm(lw.ffn_norm),
           ops.load_linear({&lw.gate, &lw.up}),
           ops.load_linear({&lw.down})});
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
      ops.add_linear(x, ops.attend(qkv, layer.head_norms, l), layer.o);
      auto gated =
          ops.gated_linear(ops.rms_norm(x, layer.ffn_norm), layer.gate_up);
      ops.add_linear(x, gated, layer.down);
    }
    ops.logits(ops.final_norm(x, final_norm_), head_);
  }

 private:
  struct Layer {
    typename O::Norm attention_norm;
    typename O::Linear qkv;
    typename O::HeadNorms head_norms;
    typename O::Linear o;
    typename O::Norm ffn_norm;
    typename O::Linear gate_up;
    typename O::Linear down;
  };

  typename O::Embedding embedding_;
  std::vector<Layer> layers_;
  typename O::Norm final_norm_;
  typename O::Linear head_;
};

} // namespace stomp

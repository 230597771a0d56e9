// Cache specs of hybrid models, for the tests of the cache.
#pragma once

#include "cache/cache_spec.h"

inline stomp::ModelCacheSpec hybrid_spec(
    int n_layers,
    int n_kv_heads,
    int head_dim,
    int window,
    int block_tokens,
    bool (*is_global)(int layer)) {
  stomp::ModelCacheSpec spec;
  spec.n_layers = n_layers;
  spec.n_kv_heads = n_kv_heads;
  spec.key_dim = head_dim;
  spec.value_dim = head_dim;
  spec.block_tokens = block_tokens;
  spec.groups.resize(2);
  spec.groups[1].kind = stomp::AttentionKind::kSliding;
  spec.groups[1].window = window;
  for (int l = 0; l < n_layers; l++) {
    spec.groups[is_global(l) ? 0 : 1].layers.push_back(l);
  }
  return spec;
}

/// Every sixth layer is global.
inline stomp::ModelCacheSpec gemma3_12b_spec(int block_tokens) {
  return hybrid_spec(
      48, 8, 256, 1024, block_tokens, [](int l) { return l % 6 == 5; });
}

inline stomp::ModelCacheSpec hybrid15_spec(int block_tokens) {
  return hybrid_spec(
      15, 8, 256, 1024, block_tokens, [](int l) { return l < 5; });
}

/// One global group, tiny.
inline stomp::ModelCacheSpec global_spec(int block_tokens) {
  stomp::ModelCacheSpec spec =
      hybrid_spec(2, 1, 8, 1, block_tokens, [](int) { return true; });
  spec.groups.pop_back();
  return spec;
}

/// One sliding group, tiny.
inline stomp::ModelCacheSpec sliding_spec(int window, int block_tokens) {
  stomp::ModelCacheSpec spec =
      hybrid_spec(2, 1, 8, window, block_tokens, [](int) { return false; });
  spec.groups.erase(spec.groups.begin());
  return spec;
}

// What attention.cc and attention_prompts.cc share.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "base/aligned.h"
#include "exec/cpu/attention.h"

namespace stomp::cpu {

// Tasks for each thread below which prompts are taken apart into spans.
inline constexpr int kFewTasks = 4;

/// What one thread attends with.
struct Attention::Scratch {
  Scratch(int queries, const ModelConfig& config, const Kernels& kernels)
      : q(queries),
        first(queries),
        last(queries),
        span_max(queries),
        span_sum(queries),
        all_max(queries),
        all_sum(queries),
        turned(static_cast<size_t>(queries) * config.head_dim) {
    const size_t padded = padded_head_dim(config.head_dim);
    const size_t rows = round_up(queries, kTileRows);
    span_out = PageBuffer(rows * padded * sizeof(float));
    all_out = PageBuffer(rows * padded * sizeof(float));
    size_t piece_bytes = piece_scratch_floats(config.head_dim) * sizeof(float);
    if (kernels.tiles) {
      const size_t k_tiles = (config.head_dim + kTileK - 1) / kTileK;
      tiles = PageBuffer(rows * k_tiles * kTileK * sizeof(uint16_t));
      piece_bytes = std::max(
          piece_bytes, kernels.tiles->attend_scratch_bytes(config.head_dim));
    }
    piece = PageBuffer(piece_bytes);
  }

  AttentionRows span() { return rows(span_max, span_sum, span_out); }
  AttentionRows all() { return rows(all_max, all_sum, all_out); }
  size_t bytes() const {
    return span_out.size() + all_out.size() + piece.size() + tiles.size();
  }

  int n = 0; // queries
  std::vector<const float*> q;
  std::vector<int> first;
  std::vector<int> last;
  std::vector<float> span_max, span_sum; // one span
  std::vector<float> all_max, all_sum;   // spans so far
  PageBuffer span_out, all_out;
  PageBuffer piece;          // K and V as the kernels want them
  PageBuffer tiles;          // q in bf16 tiles
  std::vector<float> turned; // queries of single rows, (queries, head_dim)

 private:
  AttentionRows
  rows(std::vector<float>& max, std::vector<float>& sum, PageBuffer& out) {
    return {
        n,
        q.data(),
        first.data(),
        last.data(),
        max.data(),
        sum.data(),
        out.as<float>()};
  }
};

inline void reset(const AttentionRows& rows, int head_dim) {
  std::fill_n(rows.max, rows.n, -std::numeric_limits<float>::infinity());
  std::fill_n(rows.sum, rows.n, 0.0f);
  std::fill_n(
      rows.out, static_cast<size_t>(rows.n) * padded_head_dim(head_dim), 0.0f);
}

} // namespace stomp::cpu

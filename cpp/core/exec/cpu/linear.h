// Linear layers: rows of activations times packed weights, shared between the
// pool's threads. One user: the engine thread.
//
// A row comes in one of two forms, and its form alone decides how it is
// computed: as codes (answers; everything where there are no matrix units or
// numerics are exact), or in bf16 tiles (prompts). Blocks of weights are read
// once for all rows.
#pragma once

#include <cstddef>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "exec/cpu/kernels.h"
#include "exec/cpu/linear_rows.h"
#include "exec/cpu/packed_matrix.h"

namespace stomp::cpu {

class LinearRunner {
 public:
  LinearRunner(const Kernels& kernels, ThreadPool& threads);

  /// out = rows times the weights, or added to it. `out` has whole row tiles.
  void
  multiply(const LinearRows& rows, const PackedMatrix& w, LinearOutput out);
  /// out = gate and up under the activation, where w has the two as parts of
  /// equal size.
  void gate(
      Activation activation,
      const LinearRows& rows,
      const PackedMatrix& w,
      const LinearRows& out);
  /// Columns [first, first + n) of row r in the form that `rows` keeps it in,
  /// from floats. Any thread. REQUIRES: first is a multiple of kGroup, and n
  /// unless the row ends there.
  void put(const float* x, const LinearRows& rows, int r, int first, int n)
      const;

  /// To be called before the first step, with memory that outlives this.
  void reserve(int max_rows, PageArena& arena);

 private:
  struct Scratch; // of one thread
  Scratch scratch(int worker);
  void few(
      const PackedBlock& block,
      const LinearRows& rows,
      int first,
      int n,
      const LinearOutput& out,
      Scratch& scratch) const;
  TileProduct widen(
      const PackedBlock (&blocks)[2],
      const LinearRows& rows,
      int k,
      Scratch& scratch) const;
  void many(
      TileProduct product,
      const LinearRows& rows,
      int first,
      int n,
      const LinearOutput (&out)[2]) const;
  void few_tiled(
      const PackedBlock& block,
      const LinearRows& rows,
      const LinearOutput& out) const;
  void multiply_blocks(
      const LinearRows& rows,
      const PackedMatrix& w,
      LinearOutput out);
  void multiply_pairs(
      const LinearRows& rows,
      const PackedMatrix& w,
      LinearOutput out);
  void gate_codes(
      Activation activation,
      const PackedMatrix& w,
      const LinearRows& rows,
      int group,
      const LinearRows& out,
      Scratch& scratch) const;
  void gate_tiles(
      Activation activation,
      const PackedMatrix& w,
      const LinearRows& rows,
      int group,
      const LinearRows& out,
      Scratch& scratch) const;

  void gate_block(
      Activation activation,
      const PackedBlock& gate,
      const PackedBlock& up,
      const LinearRows& rows,
      const LinearRows& out,
      int column,
      Scratch& scratch) const;

  const Kernels& kernels_;
  ThreadPool& threads_;
  size_t scratch_step_ = 0; // bytes of one thread
  std::byte* scratch_ = nullptr;
};

} // namespace stomp::cpu

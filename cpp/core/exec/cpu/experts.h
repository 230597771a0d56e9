// A mixture of experts on this machine's processor: rows that chose an expert
// are gathered, run through its linears like any others, and added back. A
// row's experts are added in the order of their numbers: its result does not
// depend on the rows around it. One user: the engine thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "exec/cpu/kernels.h"
#include "exec/cpu/linear.h"
#include "exec/cpu/packed_matrix.h"
#include "exec/cpu/routing.h"
#include "model/config.h"

namespace stomp::cpu {

/// One layer's.
struct PackedExperts {
  PackedMatrix router;
  std::vector<PackedMatrix> gate_up, down; // by expert
};

class ExpertRunner {
 public:
  ExpertRunner(
      const ModelConfig& config,
      const Kernels& kernels,
      ThreadPool& threads,
      LinearRunner& linears);

  /// To be called before the first step, with memory that outlives this.
  void reserve(int max_rows, const RowForms& forms, PageArena& arena);

  /// Rows of x += their experts' outputs, weighted. `scores`: what the router
  /// yields for the rows.
  void add(
      const LinearRows& rows,
      const LinearOutput& scores,
      const PackedExperts& experts,
      const LinearOutput& x);

 private:
  using Shares = std::span<const Routing::Share>;
  LinearRows gather(const LinearRows& rows, Shares shares);
  LinearRows gate(const LinearRows& rows, const PackedMatrix& gate_up);
  void down(
      const LinearRows& gated,
      const PackedMatrix& down,
      Shares shares,
      const LinearOutput& x);

  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  LinearRunner& linears_;
  Routing routing_;
  // Of one expert's rows.
  RowBuffers input_;
  RowBuffers gated_;
  float* output_ = nullptr; // (max_rows, the wider of both linears' columns)
};

} // namespace stomp::cpu

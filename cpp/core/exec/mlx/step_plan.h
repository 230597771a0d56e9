// A step laid out as rows: pure arithmetic on the host, no MLX.
#pragma once

#include <cstdint>
#include <vector>

#include "exec/executor.h"

namespace stomp::mlx_exec {

/// Rows whose token ids come from one place: the host, or the tokens that an
/// earlier step left on the device.
struct TokenRun {
  Ticket ticket = kNoTicket;   // kNoTicket: `values` are token ids
  std::vector<int32_t> values; // else slices of that step
};

/// What the rows of a slice attend to in one group of layers.
struct SpanKeys {
  int first = 0;  // position: no row sees what is before it
  int begin = 0;  // position of the first block's first token
  int window = 0; // tokens that a row sees at most; 0: all before it
  std::vector<int32_t> blocks; // that hold [first, length)

  /// Tokens in the blocks that come before `first`.
  int skipped() const { return first - begin; }
};

/// One slice's rows.
struct Span {
  int first = 0;              // row
  int size = 0;               // rows
  int length = 0;             // tokens in the cache once the rows are appended
  std::vector<SpanKeys> keys; // by group
};

/// One slice's share of the result.
struct Wanted {
  Output output = Output::kNone;
  int first = 0; // its first row among the rows whose logits are computed
  int size = 0;  // rows; 0 for kNone
};

struct StepPlan {
  std::vector<TokenRun> runs;              // in row order
  std::vector<int32_t> positions;          // (N)
  std::vector<std::vector<int32_t>> slots; // [group](N): block * tokens + i
  std::vector<Span> spans;
  std::vector<Wanted> wanted;       // by slice
  std::vector<int32_t> output_rows; // (R) rows whose logits are computed

  int rows() const { return static_cast<int>(positions.size()); }
};

/// Throws kInvalidRequest when a token is not in the vocabulary, the step is
/// too large or a table lacks room: the device would read past its arrays.
StepPlan plan_step(
    const Step& step,
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group,
    int vocab_size,
    int max_rows);

} // namespace stomp::mlx_exec

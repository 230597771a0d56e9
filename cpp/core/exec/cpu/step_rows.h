// A step taken apart into rows: which token, position and slice each row is,
// and which rows want logits. Rows of answers come first, then those of
// prompts. Reused from step to step. Engine thread.
#pragma once

#include <cstdint>
#include <vector>

#include "exec/executor.h"

namespace stomp::cpu {

/// One slice's rows.
struct SliceRows {
  const Slice* slice = nullptr;
  int first = 0; // row of the step
  int n = 0;
  int first_wanted = 0; // index in StepRows::wanted
  int n_wanted = 0;
};

struct StepRows {
  std::vector<SliceRows> slices; // as in the step
  std::vector<int32_t> tokens;   // (rows)
  std::vector<int> positions;    // (rows)
  std::vector<int> slice_of;     // (rows)
  std::vector<int> wanted;       // rows whose logits are wanted, ascending
  int n_decode = 0;              // rows of answers

  int n() const { return static_cast<int>(tokens.size()); }
  int n_wanted() const { return static_cast<int>(wanted.size()); }

  /// `token_of(slice)` gives the token of a slice with a source.
  template <class TokenOf>
  void assign(const Step& step, TokenOf token_of) {
    clear(step.slices.size());
    for (const bool decode : {true, false}) {
      for (size_t i = 0; i < step.slices.size(); i++) {
        const Slice& slice = step.slices[i];
        if (slice.decode != decode) {
          continue;
        }
        if (slice.source.ticket != kNoTicket) {
          const int32_t token = token_of(slice);
          append(i, slice, {&token, 1});
        } else {
          append(i, slice, slice.tokens);
        }
      }
      if (decode) {
        n_decode = n();
      }
    }
  }

 private:
  void clear(size_t n_slices);
  void append(size_t index, const Slice& slice, std::span<const int32_t> ids);
};

} // namespace stomp::cpu

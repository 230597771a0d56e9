// Which blocks hold a sequence's tokens, per layer group. A plain value: the
// pool's counts are kept by KvCache, never here.
#pragma once

#include <vector>

#include "cache/block_pool.h"

namespace stomp {

struct BlockTable {
  // blocks[g][i] holds tokens [i * block_tokens, (i + 1) * block_tokens) of
  // group g; kNoBlock where a sliding window has moved past.
  std::vector<std::vector<BlockId>> blocks;
  int n_tokens = 0; // tokens whose K and V are in the blocks
};

/// Copy the first n_tokens tokens of block src to block dst, in all layers of
/// the group. The engine hands these to the executor before the next step.
struct BlockCopy {
  int group = 0;
  BlockId src = kNoBlock;
  BlockId dst = kNoBlock;
  int n_tokens = 0;
};

} // namespace stomp

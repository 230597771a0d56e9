// The trie of a vocabulary, laid out for walks: nodes in the order of a walk,
// so that the tokens below a node are one stretch of `tokens`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace stomp {

struct Vocabulary::Trie {
  struct Node {
    uint32_t end;   // the first node after those below this one
    uint32_t first; // its own tokens are [first, first of the next node)
    uint32_t depth; // bytes from the root, which is node 0
    uint8_t byte;
    /// Bit s: from state s of next_text(), all bytes below are text.
    uint8_t texts;
  };

  explicit Trie(std::span<const std::string> bytes);

  /// One more than there are, so that each has a next one.
  std::vector<Node> nodes;
  std::vector<uint32_t> heights; // bytes of the longest way down, a node
  std::vector<int32_t> tokens;   // in the order of their bytes
  std::vector<std::string> bytes;
  uint32_t longest = 0; // bytes of the longest token

 private:
  void add(int32_t token, std::vector<uint32_t>& path);
  void close(std::vector<uint32_t>& path, size_t depth);
  void measure();
};

} // namespace stomp

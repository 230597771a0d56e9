#include <algorithm>

#include "grammar/text_units.h"
#include "grammar/trie.h"

namespace stomp {

using grammar::kTextStates;

Vocabulary::Trie::Trie(std::span<const std::string> all)
    : bytes(all.begin(), all.end()) {
  for (size_t i = 0; i < bytes.size(); i++) {
    if (!bytes[i].empty()) {
      tokens.push_back(static_cast<int32_t>(i));
    }
  }
  // Bytes compare as unsigned characters, equal ones by id.
  std::sort(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) {
    const int order = bytes[a].compare(bytes[b]);
    return order != 0 ? order < 0 : a < b;
  });
  nodes.push_back({0, 0, 0, 0, 0});
  std::vector<uint32_t> path = {0};
  const std::vector<int32_t> sorted = std::move(tokens);
  tokens.clear();
  tokens.reserve(sorted.size());
  for (const int32_t token : sorted) {
    add(token, path);
  }
  close(path, 0);
  nodes.push_back({0, static_cast<uint32_t>(tokens.size()), 0, 0, 0});
  measure();
}

/// REQUIRES: tokens come in the order of their bytes. `path` has the nodes from
/// the root to the last token's.
void Vocabulary::Trie::add(int32_t token, std::vector<uint32_t>& path) {
  const std::string& text = bytes[token];
  size_t same = 0;
  while (same < text.size() && same + 1 < path.size() &&
         nodes[path[same + 1]].byte == static_cast<uint8_t>(text[same])) {
    same++;
  }
  close(path, same + 1);
  for (size_t i = same; i < text.size(); i++) {
    path.push_back(static_cast<uint32_t>(nodes.size()));
    nodes.push_back(
        {0,
         static_cast<uint32_t>(tokens.size()),
         static_cast<uint32_t>(i + 1),
         static_cast<uint8_t>(text[i]),
         0});
  }
  tokens.push_back(token);
  longest = std::max(longest, static_cast<uint32_t>(text.size()));
}

void Vocabulary::Trie::close(std::vector<uint32_t>& path, size_t depth) {
  while (path.size() > depth) {
    nodes[path.back()].end = static_cast<uint32_t>(nodes.size());
    path.pop_back();
  }
}

namespace {

/// The states from which `byte`, and then what `below` says, is text.
uint8_t states_before(uint8_t byte, uint8_t below) {
  uint8_t states = 0;
  for (int s = 0; s < kTextStates; s++) {
    const int next = grammar::next_text(s, byte);
    if (next >= 0 && (below >> next & 1) != 0) {
      states |= static_cast<uint8_t>(1 << s);
    }
  }
  return states;
}

} // namespace

void Vocabulary::Trie::measure() {
  const size_t n = nodes.size() - 1;
  heights.assign(n, 0);
  for (size_t i = n; i-- > 0;) {
    Node& node = nodes[i];
    node.texts = 0xff;
    for (uint32_t c = static_cast<uint32_t>(i) + 1; c < node.end;
         c = nodes[c].end) {
      heights[i] = std::max(heights[i], heights[c] + 1);
      node.texts &= states_before(nodes[c].byte, nodes[c].texts);
    }
  }
}

Vocabulary::Vocabulary(std::span<const std::string> bytes)
    : trie_(std::make_unique<Trie>(bytes)) {}

Vocabulary::~Vocabulary() = default;

int Vocabulary::size() const {
  return static_cast<int>(trie_->bytes.size());
}

} // namespace stomp

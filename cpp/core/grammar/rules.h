// The rules of a grammar as they were written (ts/engine/grammar/ir.ts), read
// and checked. Immutable after read_rules(); any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stomp::grammar {

enum class Kind : uint8_t { kText, kChars, kToken, kSeq, kOr, kRepeat, kRef };

constexpr uint32_t kNone = UINT32_MAX;
/// A repeat without end.
constexpr uint32_t kEndless = UINT32_MAX;

constexpr size_t kMaxNodes = 200'000;
constexpr size_t kMaxGrammarBytes = size_t{16} << 20;
constexpr int kMaxNesting = 256;
constexpr uint32_t kMaxRepeats = 1'000'000'000;

struct Node {
  Kind kind = Kind::kText;
  uint32_t rule = 0;
  uint32_t parent = kNone; // none: what the rule derives
  std::string text;
  std::vector<std::pair<uint32_t, uint32_t>> ranges; // kChars
  std::vector<uint32_t> children;                    // all after this one
  uint32_t id = 0; // the token of kToken, the rule of kRef
  uint32_t min = 0, max = 0;
  bool nullable = false; // derives the empty text
};

struct Rule {
  std::string name;
  uint32_t node = 0;
};

struct Rules {
  std::vector<Node> nodes;
  std::vector<Rule> rules;
  uint32_t root = 0;
};

/// Reads and checks all but whether each rule derives anything. Throws
/// Error(kInvalidRequest) that names the rule.
Rules read_rules(std::string_view json, int vocabulary_size);

/// Throws Error(kInvalidRequest) about a rule, with its name as a field.
[[noreturn]] void refuse(const std::string& rule, const std::string& why);

/// Sets `nullable`; throws where a repeat is of a node that derives the empty
/// text, and where a rule begins with itself.
void check_recursion(Rules& rules);

} // namespace stomp::grammar

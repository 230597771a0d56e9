#include "grammar/nfa.h"

#include <algorithm>
#include <utility>

#include "grammar/utf8_ranges.h"

namespace stomp::grammar {

namespace {

constexpr uint64_t kWrittenOut = 64; // states of a repeat without counter
// States of a rule that is put in place, without a call.
constexpr uint64_t kInlined = 32;
constexpr uint64_t kInlinedWithLoops = 8;
constexpr uint64_t kMuch = uint64_t{1} << 40;
constexpr uint64_t kManyBytes = 6; // states of `chars` beyond ASCII, about

} // namespace

NfaBuilder::NfaBuilder(const Rules& rules)
    : rules_(rules), costs_(rules.nodes.size()) {
  for (const Rule& rule : rules.rules) {
    roots_.push_back(rule.node);
  }
  // Twice: what a reference costs follows from what is put in place, which
  // follows from the costs of rules that refer to none.
  find_costs();
  std::vector<uint64_t> limits(rules.rules.size(), kInlined);
  for (const Node& node : rules.nodes) {
    if (node.kind == Kind::kRef) {
      limits[node.rule] = 0;
    } else if (is_loop(node)) {
      limits[node.rule] = std::min(limits[node.rule], kInlinedWithLoops);
    }
  }
  for (size_t rule = 0; rule < limits.size(); rule++) {
    is_inlined_.push_back(costs_[roots_[rule]] <= limits[rule]);
  }
  find_costs();
}

void NfaBuilder::find_costs() {
  for (size_t i = costs_.size(); i-- > 0;) {
    costs_[i] = std::min(kMuch, cost_of(rules_.nodes[i]));
  }
}

const std::string& NfaBuilder::name(uint32_t rule) const {
  return rules_.rules[rules_.nodes[roots_[rule]].rule].name;
}

bool NfaBuilder::is_inlined(uint32_t rule) const {
  return rule < is_inlined_.size() && is_inlined_[rule];
}

uint64_t NfaBuilder::copies_of(const Node& node) {
  return node.max == kEndless ? uint64_t{node.min} + 1 : node.max;
}

bool NfaBuilder::is_written_out(const Node& node) const {
  const bool is_plain_loop = node.min == 0 && node.max == kEndless;
  return is_plain_loop ||
      costs_[node.children[0]] * copies_of(node) <= kWrittenOut;
}

bool NfaBuilder::is_loop(const Node& node) const {
  return node.kind == Kind::kRepeat &&
      (node.max == kEndless || !is_written_out(node));
}

/// REQUIRES: the children have theirs.
uint64_t NfaBuilder::cost_of(const Node& node) const {
  uint64_t children = 0;
  for (const uint32_t child : node.children) {
    children += costs_[child];
  }
  switch (node.kind) {
    case Kind::kText:
      return node.text.size();
    case Kind::kChars:
      return node.ranges.back().second < 0x80 ? 1
                                              : kManyBytes + node.ranges.size();
    case Kind::kOr:
      return children + 1;
    case Kind::kSeq:
      return children;
    case Kind::kRepeat:
      return is_written_out(node) ? children * copies_of(node) : children + 2;
    case Kind::kRef:
      return is_inlined(node.id) ? costs_[roots_[node.id]] : 1;
    case Kind::kToken:
      break;
  }
  return 1;
}

uint32_t NfaBuilder::add_state() {
  if (++total_ > kMaxStates) {
    refuse(
        name(rule_),
        "makes the grammar larger than the limit of " +
            std::to_string(kMaxStates) + " states");
  }
  nfa_.states.emplace_back();
  return static_cast<uint32_t>(nfa_.states.size()) - 1;
}

Nfa NfaBuilder::build(uint32_t rule) {
  nfa_ = {};
  rule_ = rule;
  counting_ = false;
  const uint32_t start = add_state();
  nfa_.states[build(roots_[rule], start)].accepting = true;
  return std::move(nfa_);
}

/// Returns the state after what the node derives from `from` on. The state may
/// be one of a loop, from which what follows begins as well.
uint32_t NfaBuilder::build(uint32_t at, uint32_t from) {
  const Node& node = rules_.nodes[at];
  switch (node.kind) {
    case Kind::kText:
      return build_text(node, from);
    case Kind::kChars:
      return build_chars(node, from);
    case Kind::kToken: {
      const uint32_t to = add_state();
      nfa_.states[from].tokens.push_back({node.id, to});
      return to;
    }
    case Kind::kSeq:
      for (const uint32_t child : node.children) {
        from = build(child, from);
      }
      return from;
    case Kind::kOr:
      return build_or(node, from);
    case Kind::kRepeat:
      return build_repeat(at, from);
    case Kind::kRef:
      return build_ref(node, from);
  }
  return from;
}

uint32_t NfaBuilder::build_text(const Node& node, uint32_t from) {
  for (const char c : node.text) {
    const auto byte = static_cast<uint8_t>(c);
    const uint32_t to = add_state();
    nfa_.states[from].edges.push_back({byte, byte, to});
    from = to;
  }
  return from;
}

uint32_t NfaBuilder::build_chars(const Node& node, uint32_t from) {
  std::vector<ByteSequence> sequences;
  for (const auto& [low, high] : node.ranges) {
    append_utf8(low, high, sequences);
  }
  const uint32_t to = add_state();
  for (const ByteSequence& sequence : sequences) {
    uint32_t at = from;
    for (int i = 0; i < sequence.length; i++) {
      const uint32_t next = i + 1 == sequence.length ? to : add_state();
      const ByteRange& bytes = sequence.bytes[i];
      nfa_.states[at].edges.push_back({bytes.low, bytes.high, next});
      at = next;
    }
  }
  return to;
}

uint32_t NfaBuilder::build_or(const Node& node, uint32_t from) {
  const uint32_t to = add_state();
  for (const uint32_t child : node.children) {
    const uint32_t end = build(child, from);
    nfa_.states[end].epsilons.push_back(to);
  }
  return to;
}

uint32_t NfaBuilder::call(uint32_t rule, uint32_t from) {
  const uint32_t to = add_state();
  nfa_.states[from].calls.push_back({rule, to});
  return to;
}

/// A short rule that refers to no other is put in place: less to call and
/// return, and what it shares with its neighbours becomes one state. Those with
/// loops are called unless they are very short, so that all their callers share
/// the masks inside, which are the dear ones.
uint32_t NfaBuilder::build_ref(const Node& node, uint32_t from) {
  return is_inlined(node.id) ? build(roots_[node.id], from)
                             : call(node.id, from);
}

uint32_t NfaBuilder::build_repeat(uint32_t at, uint32_t from) {
  const Node& node = rules_.nodes[at];
  if (node.max == 0) {
    return from;
  }
  if (is_written_out(node)) {
    return write_out(node, from);
  }
  if (!counting_) {
    return build_counter(node, from);
  }
  const auto [found, added] =
      outlined_.try_emplace(at, static_cast<uint32_t>(roots_.size()));
  if (added) {
    roots_.push_back(at);
  }
  return call(found->second, from);
}

uint32_t NfaBuilder::write_out(const Node& node, uint32_t from) {
  const uint32_t body = node.children[0];
  for (uint32_t i = 0; i < node.min; i++) {
    from = build(body, from);
  }
  const uint32_t to = add_state();
  nfa_.states[from].epsilons.push_back(to);
  if (node.max == kEndless) {
    const uint32_t end = build(body, to);
    nfa_.states[end].epsilons.push_back(to);
    return to;
  }
  for (uint32_t i = node.min; i < node.max; i++) {
    from = build(body, from);
    nfa_.states[from].epsilons.push_back(to);
  }
  return to;
}

uint32_t NfaBuilder::build_counter(const Node& node, uint32_t from) {
  const auto counter = static_cast<uint32_t>(nfa_.counters.size());
  const uint32_t start = add_state();
  const uint32_t exit = add_state();
  nfa_.counters.push_back({node.min, node.max, start, exit});
  nfa_.states[from].enters.push_back(counter);
  if (node.min == 0) {
    nfa_.states[from].epsilons.push_back(exit);
  }
  counting_ = true;
  const uint32_t end = build(node.children[0], start);
  counting_ = false;
  nfa_.states[end].ends = counter;
  return exit;
}

} // namespace stomp::grammar

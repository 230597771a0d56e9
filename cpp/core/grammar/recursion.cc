// Which nodes derive the empty text, and what follows from it: what must not be
// repeated, and which rules a rule may begin with.
#include "grammar/rules.h"

namespace stomp::grammar {

namespace {

/// From the leaves up, each node once.
class Nullability {
 public:
  explicit Nullability(Rules& rules)
      : rules_(rules),
        missing_(rules.nodes.size(), 0),
        users_(rules.rules.size()) {}

  void mark() {
    for (uint32_t i = 0; i < rules_.nodes.size(); i++) {
      start(i);
    }
    while (!ready_.empty()) {
      const uint32_t at = ready_.back();
      ready_.pop_back();
      tell(at);
    }
  }

 private:
  void start(uint32_t at) {
    const Node& node = rules_.nodes[at];
    if (node.kind == Kind::kRef) {
      users_[node.id].push_back(at);
    }
    missing_[at] = node.kind == Kind::kSeq ? node.children.size() : 1;
    const bool empty = (node.kind == Kind::kText && node.text.empty()) ||
        (node.kind == Kind::kRepeat && node.min == 0) || missing_[at] == 0;
    if (empty) {
      set(at);
    }
  }

  void set(uint32_t at) {
    if (!rules_.nodes[at].nullable) {
      rules_.nodes[at].nullable = true;
      ready_.push_back(at);
    }
  }

  void tell(uint32_t at) {
    const Node& node = rules_.nodes[at];
    if (node.parent != kNone) {
      size_t& missing = missing_[node.parent];
      missing -= missing > 0 ? 1 : 0;
      if (missing == 0) {
        set(node.parent);
      }
      return;
    }
    for (const uint32_t user : users_[node.rule]) {
      set(user);
    }
  }

  Rules& rules_;
  std::vector<size_t> missing_; // children that must still prove nullable
  std::vector<std::vector<uint32_t>> users_; // nodes that refer to a rule
  std::vector<uint32_t> ready_;
};

void check_repeats(const Rules& rules) {
  for (const Node& node : rules.nodes) {
    if (node.kind == Kind::kRepeat && rules.nodes[node.children[0]].nullable) {
      refuse(
          rules.rules[node.rule].name,
          "repeats a node that derives the empty text");
    }
  }
}

/// Appends the rules that what `at` derives may begin with.
void first_rules(const Rules& rules, uint32_t at, std::vector<uint32_t>& out) {
  const Node& node = rules.nodes[at];
  if (node.kind == Kind::kRef) {
    out.push_back(node.id);
  }
  for (const uint32_t child : node.children) {
    first_rules(rules, child, out);
    if (node.kind == Kind::kSeq && !rules.nodes[child].nullable) {
      break;
    }
  }
}

/// Depth first; a rule met again while what it begins with is being looked at
/// begins with itself.
class FirstRules {
 public:
  explicit FirstRules(const Rules& rules)
      : rules_(rules), seen_(rules.rules.size(), kNew) {}

  void check() {
    for (uint32_t rule = 0; rule < seen_.size(); rule++) {
      if (seen_[rule] == kNew) {
        enter(rule);
        run();
      }
    }
  }

 private:
  enum Seen : uint8_t { kNew, kOpen, kDone };
  struct Step {
    uint32_t rule;
    std::vector<uint32_t> first;
  };

  void enter(uint32_t rule) {
    seen_[rule] = kOpen;
    path_.push_back({rule, {}});
    first_rules(rules_, rules_.rules[rule].node, path_.back().first);
  }

  void run() {
    while (!path_.empty()) {
      Step& step = path_.back();
      if (step.first.empty()) {
        seen_[step.rule] = kDone;
        path_.pop_back();
        continue;
      }
      const uint32_t next = step.first.back();
      step.first.pop_back();
      if (seen_[next] == kOpen) {
        refuse(
            rules_.rules[next].name, "is left-recursive: begins with itself");
      }
      if (seen_[next] == kNew) {
        enter(next);
      }
    }
  }

  const Rules& rules_;
  std::vector<Seen> seen_;
  std::vector<Step> path_;
};

} // namespace

void check_recursion(Rules& rules) {
  Nullability(rules).mark();
  check_repeats(rules);
  FirstRules(rules).check();
}

} // namespace stomp::grammar

#include "grammar/automaton.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "grammar/determinise.h"

namespace stomp::grammar {

namespace {

/// Finds what each state needs, the least first, so that each is found once.
class Needs {
 public:
  explicit Needs(Automaton& automaton)
      : states_(automaton.states), users_(automaton.states.size()) {
    for (uint32_t s = 0; s < states_.size(); s++) {
      add_users(automaton, s);
    }
  }

  void find() {
    for (uint32_t s = 0; s < states_.size(); s++) {
      if (states_[s].accepting) {
        open_.push({0, s});
      }
    }
    while (!open_.empty()) {
      const auto [need, at] = open_.top();
      open_.pop();
      if (states_[at].need != kNever) {
        continue;
      }
      states_[at].need = need;
      for (const User& user : users_[at]) {
        tell(user, need);
      }
    }
  }

 private:
  // `state` can end by way of the one that has it; for a call, only when the
  // other of its two states can as well.
  struct User {
    uint32_t state;
    uint32_t call; // index, or kNone
  };

  void add_users(const Automaton& a, uint32_t s) {
    const Automaton::State& state = a.states[s];
    for (const auto& edge : state.edges) {
      users_[edge.to].push_back({s, kNone});
    }
    for (const auto& edge : state.tokens) {
      users_[edge.to].push_back({s, kNone});
    }
    for (const uint32_t counter : state.enters) {
      users_[a.counters[counter].start].push_back({s, kNone});
    }
    if (state.ends != kNone) {
      users_[a.counters[state.ends].exit].push_back({s, kNone});
    }
    for (uint32_t i = 0; i < state.calls.size(); i++) {
      users_[state.calls[i].start].push_back({s, i});
      users_[state.calls[i].to].push_back({s, i});
    }
  }

  void tell(const User& user, uint32_t need) {
    if (user.call == kNone) {
      open_.push({need, user.state});
      return;
    }
    const Automaton::Call& call = states_[user.state].calls[user.call];
    const uint32_t inside = states_[call.start].need;
    const uint32_t after = states_[call.to].need;
    if (inside != kNever && after != kNever) {
      open_.push({std::max(inside + (call.tail ? 0 : 1), after), user.state});
    }
  }

  using Found = std::pair<uint32_t, uint32_t>; // need, state
  std::vector<Automaton::State>& states_;
  std::vector<std::vector<User>> users_;
  std::priority_queue<Found, std::vector<Found>, std::greater<>> open_;
};

/// Has nothing but the end of its rule.
bool only_ends(const Automaton::State& s) {
  return s.accepting && !s.consumes() && s.calls.empty() && s.enters.empty() &&
      s.ends == kNone;
}

class Compiler {
 public:
  Automaton compile(const Rules& rules) {
    NfaBuilder builder(rules);
    for (uint32_t rule = 0; rule < builder.rules(); rule++) {
      starts_.push_back(append_states(builder.build(rule), out_, members_));
      check_size(builder.name(rule));
    }
    out_.start = starts_[rules.root];
    link_calls();
    Needs(out_).find();
    for (uint32_t rule = 0; rule < starts_.size(); rule++) {
      check_need(builder.name(rule), out_.states[starts_[rule]].need);
    }
    drop_dead_ends();
    classify();
    return std::move(out_);
  }

 private:
  void check_size(const std::string& rule) const {
    if (members_ > kMaxMembers) {
      refuse(
          rule,
          "has too many ways that begin alike; give it fewer optional parts in "
          "a row");
    }
    if (out_.states.size() > kMaxStates) {
      refuse(
          rule,
          "makes the grammar larger than the limit of " +
              std::to_string(kMaxStates) + " states");
    }
  }

  void link_calls() {
    for (Automaton::State& state : out_.states) {
      for (Automaton::Call& call : state.calls) {
        call.start = starts_[call.start];
        call.tail = only_ends(out_.states[call.to]);
      }
    }
  }

  static void check_need(const std::string& rule, uint32_t need) {
    if (need == kNever) {
      refuse(rule, "derives nothing");
    }
    if (need >= kMaxStack) {
      refuse(
          rule,
          "derives only texts nested deeper than " + std::to_string(kMaxStack));
    }
  }

  void drop_dead_ends() {
    const auto dead = [&](uint32_t s) { return out_.states[s].need == kNever; };
    for (Automaton::State& state : out_.states) {
      std::erase_if(state.edges, [&](const auto& e) { return dead(e.to); });
      std::erase_if(state.tokens, [&](const auto& e) { return dead(e.to); });
      std::erase_if(state.calls, [&](const auto& c) { return dead(c.to); });
      std::erase_if(state.enters, [&](uint32_t c) {
        return dead(out_.counters[c].start);
      });
    }
  }

  /// From bytes to classes: a class begins where an edge begins or has ended.
  void classify() {
    std::array<bool, 257> begins{};
    begins[0] = true;
    for (const Automaton::State& state : out_.states) {
      for (const Automaton::Edge& edge : state.edges) {
        begins[edge.low] = true;
        begins[edge.high + 1] = true;
      }
    }
    out_.classes = 0;
    for (int byte = 0; byte < 256; byte++) {
      out_.classes += begins[byte] ? 1 : 0;
      out_.class_of[byte] = static_cast<uint8_t>(out_.classes - 1);
    }
    for (Automaton::State& state : out_.states) {
      for (Automaton::Edge& edge : state.edges) {
        edge.low = out_.class_of[edge.low];
        edge.high = out_.class_of[edge.high];
      }
    }
  }

  Automaton out_;
  std::vector<uint32_t> starts_; // state of each rule
  size_t members_ = 0;
};

} // namespace

Automaton compile_rules(std::string_view json, int vocabulary_size) {
  return Compiler().compile(read_rules(json, vocabulary_size));
}

} // namespace stomp::grammar

#include "grammar/determinise.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace stomp::grammar {

namespace {

using Set = std::vector<uint32_t>; // of Nfa states, ascending

class Determiniser {
 public:
  Determiniser(const Nfa& nfa, Automaton& out, size_t& members)
      : nfa_(nfa),
        out_(out),
        members_(members),
        first_state_(out.states.size()),
        first_counter_(static_cast<uint32_t>(out.counters.size())),
        seen_(nfa.states.size(), 0) {}

  /// Returns the start, or kNone where there would be too many states.
  uint32_t run(bool merge) {
    merge_ = merge;
    const uint32_t start = state({0}, kNone);
    for (size_t c = 0; c < nfa_.counters.size(); c++) {
      const NfaCounter& n = nfa_.counters[c];
      const auto id = first_counter_ + static_cast<uint32_t>(c);
      const uint32_t first = state({n.start}, id);
      const uint32_t exit = state({n.exit}, kNone);
      out_.counters.push_back({n.min, n.max, first, exit});
    }
    for (size_t i = 0; i < sets_.size() && members_ <= kMaxMembers; i++) {
      if (merge && sets_.size() > 4 * nfa_.states.size() + 256) {
        return kNone;
      }
      fill(i);
    }
    return start;
  }

  void undo() {
    out_.states.resize(first_state_);
    out_.counters.resize(first_counter_);
    sets_.clear();
    ids_.clear();
  }

 private:
  /// The state for these and all that follow without a byte.
  uint32_t state(Set from, uint32_t counter) {
    Set all = closure(std::move(from));
    const auto next = static_cast<uint32_t>(out_.states.size());
    const auto [found, added] = ids_.try_emplace(all, next);
    if (added) {
      out_.states.emplace_back();
      out_.states.back().counter = counter;
      sets_.push_back(std::move(all));
    }
    return found->second;
  }

  Set closure(Set open) {
    Set all;
    for (const uint32_t s : open) {
      seen_[s] = 1;
    }
    Set touched = open;
    while (!open.empty()) {
      const uint32_t at = open.back();
      open.pop_back();
      if (matters(nfa_.states[at])) {
        all.push_back(at);
      }
      for (const uint32_t next : nfa_.states[at].epsilons) {
        if (seen_[next] == 0) {
          seen_[next] = 1;
          touched.push_back(next);
          open.push_back(next);
        }
      }
    }
    for (const uint32_t s : touched) {
      seen_[s] = 0;
    }
    members_ += touched.size();
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }

  static bool matters(const NfaState& s) {
    return s.accepting || s.ends != kNone || !s.edges.empty() ||
        !s.tokens.empty() || !s.calls.empty() || !s.enters.empty();
  }

  void fill(size_t i) {
    const Set set = sets_[i];
    const size_t at = first_state_ + i;
    counter_ = out_.states[at].counter;
    for (const uint32_t s : set) {
      const NfaState& from = nfa_.states[s];
      Automaton::State& to = out_.states[at];
      to.accepting |= from.accepting;
      if (from.ends != kNone) {
        to.ends = first_counter_ + from.ends;
      }
      for (const uint32_t c : from.enters) {
        to.enters.push_back(first_counter_ + c);
      }
    }
    fill_edges(set, at);
    for (const auto& [token, to] : labelled(set, &NfaState::tokens)) {
      out_.states[at].tokens.push_back({token, to});
    }
    for (const auto& [rule, to] : labelled(set, &NfaState::calls)) {
      out_.states[at].calls.push_back({rule, to, false});
    }
  }

  /// Where each label leads: one state, or one for each edge.
  std::vector<std::pair<uint32_t, uint32_t>> labelled(
      const Set& set,
      std::vector<NfaState::Labelled> NfaState::* edges) {
    std::vector<std::pair<uint32_t, uint32_t>> found;
    std::map<uint32_t, Set> merged;
    for (const uint32_t s : set) {
      for (const NfaState::Labelled& edge : nfa_.states[s].*edges) {
        if (merge_) {
          merged[edge.label].push_back(edge.to);
        } else {
          found.emplace_back(edge.label, state({edge.to}, counter_));
        }
      }
    }
    for (auto& [label, to] : merged) {
      found.emplace_back(label, state(std::move(to), counter_));
    }
    return found;
  }

  void fill_edges(const Set& set, size_t at) {
    std::vector<NfaState::Edge> edges;
    for (const uint32_t s : set) {
      const auto& more = nfa_.states[s].edges;
      edges.insert(edges.end(), more.begin(), more.end());
    }
    std::sort(edges.begin(), edges.end(), [](const auto& a, const auto& b) {
      return a.low < b.low;
    });
    if (merge_) {
      return merge_edges(edges, at);
    }
    for (const NfaState::Edge& e : edges) {
      const uint32_t to = state({e.to}, counter_);
      out_.states[at].edges.push_back({e.low, e.high, to});
    }
  }

  /// Cuts ranges where any of them begins or ends.
  void merge_edges(const std::vector<NfaState::Edge>& edges, size_t at) {
    std::vector<int> cuts;
    for (const NfaState::Edge& e : edges) {
      cuts.push_back(e.low);
      cuts.push_back(e.high + 1);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    for (size_t i = 0; i + 1 < cuts.size(); i++) {
      Set to;
      for (const NfaState::Edge& e : edges) {
        if (e.low <= cuts[i] && cuts[i] <= e.high) {
          to.push_back(e.to);
        }
      }
      if (!to.empty()) {
        add_edge(at, cuts[i], cuts[i + 1] - 1, state(std::move(to), counter_));
      }
    }
  }

  void add_edge(size_t at, int low, int high, uint32_t to) {
    auto& edges = out_.states[at].edges;
    if (!edges.empty() && edges.back().to == to &&
        edges.back().high + 1 == low) {
      edges.back().high = static_cast<uint8_t>(high);
      return;
    }
    edges.push_back(
        {static_cast<uint8_t>(low), static_cast<uint8_t>(high), to});
  }

  const Nfa& nfa_;
  Automaton& out_;
  size_t& members_;
  size_t first_state_;
  uint32_t first_counter_;
  bool merge_ = true;
  uint32_t counter_ = kNone;
  std::vector<Set> sets_; // of the states from first_state_ on
  std::unordered_map<Set, uint32_t, HashNumbers> ids_;
  std::vector<uint8_t> seen_;
};

} // namespace

uint32_t append_states(const Nfa& nfa, Automaton& out, size_t& members) {
  Determiniser determiniser(nfa, out, members);
  const uint32_t start = determiniser.run(true);
  if (start != kNone) {
    return start;
  }
  determiniser.undo();
  return determiniser.run(false);
}

} // namespace stomp::grammar

#include "grammar/grammar.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "grammar/masks.h"

namespace stomp {

using grammar::Automaton;
using grammar::kNone;
using grammar::Mask;
using grammar::Masks;
using grammar::Position;
using grammar::Stacks;
using grammar::Stepper;

struct Grammar::Impl {
  Impl(Automaton compiled, std::shared_ptr<const Vocabulary> words)
      : automaton(std::move(compiled)),
        vocabulary(std::move(words)),
        masks(automaton, *vocabulary) {}

  const Automaton automaton;
  const std::shared_ptr<const Vocabulary> vocabulary;
  mutable std::mutex mutex;
  mutable Masks masks; // under mutex
};

Grammar::Grammar(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Grammar::~Grammar() = default;

std::shared_ptr<const Grammar> Grammar::compile(
    std::string_view json,
    std::shared_ptr<const Vocabulary> vocabulary) {
  Automaton automaton = grammar::compile_rules(json, vocabulary->size());
  auto impl =
      std::make_unique<Impl>(std::move(automaton), std::move(vocabulary));
  return std::shared_ptr<const Grammar>(new Grammar(std::move(impl)));
}

namespace {

/// Stacks that are no part of the position any more are let go past so many.
constexpr size_t kMinStacks = 4096;

} // namespace

/// The matcher counts rounds truly, on stacks of its own; masks are asked for
/// canonical stacks, which the grammar's matchers share.
struct GrammarMatcher::State {
  explicit State(std::shared_ptr<const Grammar> of)
      : grammar(std::move(of)),
        automaton(grammar->impl().automaton),
        stacks(std::make_unique<Stacks>()),
        stepper(std::make_unique<Stepper>(automaton, *stacks)),
        position(stepper->enter({automaton.start, 0}, kNone)) {}

  /// Where the token leads; dead where it is not allowed.
  Position after(uint32_t token) {
    stepper->rest();
    const auto& trie = grammar->impl().vocabulary->trie();
    Position marked = stepper->over_token(position.stacks, token);
    if (trie.bytes[token].empty()) {
      return marked;
    }
    Position spelled = position;
    for (const char c : trie.bytes[token]) {
      const auto byte = static_cast<uint8_t>(c);
      spelled = stepper->over_class(spelled.stacks, automaton.class_of[byte]);
    }
    return join(std::move(spelled), std::move(marked));
  }

  static Position join(Position a, Position b) {
    a.stacks.insert(a.stacks.end(), b.stacks.begin(), b.stacks.end());
    std::sort(a.stacks.begin(), a.stacks.end());
    a.stacks.erase(
        std::unique(a.stacks.begin(), a.stacks.end()), a.stacks.end());
    a.complete |= b.complete;
    return a;
  }

  /// Keeps the stacks of the position alone.
  void compact() {
    auto kept = std::make_unique<Stacks>();
    for (uint32_t& stack : position.stacks) {
      stack = copy(stack, *kept);
    }
    std::sort(position.stacks.begin(), position.stacks.end());
    stacks = std::move(kept);
    stepper = std::make_unique<Stepper>(automaton, *stacks);
    canonical.clear();
    full = std::max(kMinStacks, 4 * stacks->size());
  }

  uint32_t copy(uint32_t stack, Stacks& to) {
    std::vector<uint32_t> frames;
    for (; stack != kNone; stack = (*stacks)[stack].below) {
      frames.push_back(stack);
    }
    uint32_t below = kNone;
    for (size_t i = frames.size(); i-- > 0;) {
      below = to.push((*stacks)[frames[i]].top, below);
    }
    return below;
  }

  /// The stack's number among those of `masks`, remembered for this epoch.
  uint32_t canonical_of(uint32_t stack, Masks& masks) {
    std::vector<uint32_t> frames;
    uint32_t below = kNone;
    for (; stack != kNone; stack = (*stacks)[stack].below) {
      if (canonical[stack] != kNone) {
        below = canonical[stack];
        break;
      }
      frames.push_back(stack);
    }
    for (size_t i = frames.size(); i-- > 0;) {
      const grammar::Frame top = masks.canonical((*stacks)[frames[i]].top);
      below = masks.stacks().push(top, below);
      canonical[frames[i]] = below;
    }
    return below;
  }

  std::shared_ptr<const Mask> ask() {
    const Grammar::Impl& impl = grammar->impl();
    const std::lock_guard lock(impl.mutex);
    impl.masks.forget_when_full();
    if (epoch != impl.masks.epoch()) {
      epoch = impl.masks.epoch();
      canonical.clear();
    }
    canonical.resize(stacks->size(), kNone);
    Position shared;
    shared.complete = position.complete;
    for (const uint32_t stack : position.stacks) {
      shared.stacks.push_back(canonical_of(stack, impl.masks));
    }
    return impl.masks.of(join(std::move(shared), {}));
  }

  std::shared_ptr<const Grammar> grammar;
  const Automaton& automaton;
  std::unique_ptr<Stacks> stacks;
  std::unique_ptr<Stepper> stepper;
  Position position;
  std::shared_ptr<const Mask> mask; // of the position, when asked for
  std::vector<uint32_t> canonical;  // by stack; kNone: not looked up
  uint64_t epoch = 0;
  size_t full = kMinStacks;
};

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar)
    : state_(std::make_unique<State>(std::move(grammar))) {}

GrammarMatcher::~GrammarMatcher() = default;
GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;

std::span<const uint64_t> GrammarMatcher::allowed() {
  if (!state_->mask) {
    state_->mask = state_->ask();
  }
  return *state_->mask;
}

bool GrammarMatcher::complete() const {
  return state_->position.complete;
}

bool GrammarMatcher::accept(int32_t token) {
  State& state = *state_;
  const int size = state.grammar->impl().vocabulary->size();
  if (token < 0 || token >= size) {
    return false;
  }
  Position next = state.after(static_cast<uint32_t>(token));
  if (next.dead()) {
    return false;
  }
  state.position = std::move(next);
  state.mask.reset();
  if (state.stacks->size() > state.full) {
    state.compact();
  }
  return true;
}

} // namespace stomp

// Which tokens may come next where an answer must have a form: a grammar over
// bytes (ts/engine/grammar/ir.ts has its nodes), walked over the vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stomp {

/// The bytes of every token, as a trie. Immutable; any thread.
class Vocabulary {
 public:
  /// bytes[i] is the text of token i; empty for markers and for ids that no
  /// tokenizer knows, which only a grammar's `token` nodes allow.
  explicit Vocabulary(std::span<const std::string> bytes);
  ~Vocabulary();

  int size() const;

  struct Trie;
  const Trie& trie() const { return *trie_; }

 private:
  std::unique_ptr<const Trie> trie_;
};

/// A compiled grammar and the masks it has computed so far. Any thread.
class Grammar {
 public:
  /// Throws Error(kInvalidRequest) when `json` is no grammar, or one whose
  /// size, depth or recursion is beyond what is served; the message says which,
  /// and the field `rule` names the rule. A range of `chars` may go over the
  /// surrogates, which are left out, but not begin or end with one. Some
  /// milliseconds for large grammars: not for the engine's thread.
  static std::shared_ptr<const Grammar> compile(
      std::string_view json,
      std::shared_ptr<const Vocabulary> vocabulary);
  ~Grammar();

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Grammar(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// How far one answer has come. One user at a time.
///
/// Rules that are open inside each other, right recursion apart, may be 2048
/// deep: what would go deeper is not allowed, and what is allowed can always be
/// ended without. Grammars so ambiguous that an answer is in more than a
/// thousand places of it at once are refused when that comes to pass.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);
  ~GrammarMatcher();
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;

  /// Bit t % 64 of word t / 64 says whether token t may come next; end tokens
  /// are not among them, see complete(). (vocabulary size + 63) / 64 words,
  /// valid until accept(). At least one bit is set unless complete(), given a
  /// vocabulary that has each byte as a token: with one that lacks some, the
  /// bytes that must come may have no spelling, then no bit is set and the
  /// answer cannot go on. Throws Error(kInvalidRequest) for an ambiguous
  /// grammar; up to some 100 ms pass before that.
  std::span<const uint64_t> allowed();

  /// The answer may end here.
  bool complete() const;

  /// Returns false, and changes nothing, when the token is not allowed; no
  /// need to have asked for allowed(). Throws as that does.
  bool accept(int32_t token);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace stomp

// Small vocabularies, grammars as text, and what a mask says in words.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "grammar/grammar.h"

namespace grammar_fixtures {

using Words = std::vector<std::string>;

inline std::shared_ptr<const stomp::Vocabulary> vocabulary(const Words& words) {
  return std::make_shared<stomp::Vocabulary>(words);
}

/// Every byte alone, then the words.
inline Words with_bytes(const Words& words) {
  Words all;
  for (int byte = 0; byte < 256; byte++) {
    all.emplace_back(1, static_cast<char>(byte));
  }
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

inline stomp::GrammarMatcher matcher(
    const std::string& json,
    const Words& words) {
  return stomp::GrammarMatcher(
      stomp::Grammar::compile(json, vocabulary(words)));
}

inline bool is_allowed(stomp::GrammarMatcher& m, int32_t token) {
  return (m.allowed()[token / 64] >> token % 64 & 1) != 0;
}

/// The tokens that are allowed, with | between them, #id for markers.
inline std::string allowed(stomp::GrammarMatcher& m, const Words& words) {
  std::string all;
  for (size_t i = 0; i < words.size(); i++) {
    if (is_allowed(m, static_cast<int32_t>(i))) {
      all += all.empty() ? "" : "|";
      all += words[i].empty() ? "#" + std::to_string(i) : words[i];
    }
  }
  return all;
}

inline int32_t id_of(const Words& words, const std::string& word) {
  const auto at = std::find(words.begin(), words.end(), word);
  if (at == words.end()) {
    throw check::Failure("no such word: " + word);
  }
  return static_cast<int32_t>(at - words.begin());
}

/// One byte a token.
/// REQUIRES: a vocabulary with_bytes().
inline bool accept_bytes(stomp::GrammarMatcher& m, const std::string& text) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return m.accept(static_cast<uint8_t>(c));
  });
}

/// Any JSON value without blanks; strings as long as they like.
inline const char* json_grammar() {
  return R"({"rules":{
"root":{"ref":"value"},
"value":{"or":[{"ref":"object"},{"ref":"array"},{"ref":"string"},
  {"ref":"number"},{"text":"true"},{"text":"false"},{"text":"null"}]},
"object":{"seq":[{"text":"{"},{"or":[{"text":""},{"seq":[{"ref":"member"},
  {"repeat":{"seq":[{"text":","},{"ref":"member"}]},"min":0,"max":null}]}]},
  {"text":"}"}]},
"member":{"seq":[{"ref":"string"},{"text":":"},{"ref":"value"}]},
"array":{"seq":[{"text":"["},{"or":[{"text":""},{"seq":[{"ref":"value"},
  {"repeat":{"seq":[{"text":","},{"ref":"value"}]},"min":0,"max":null}]}]},
  {"text":"]"}]},
"string":{"seq":[{"text":"\""},
  {"repeat":{"ref":"character"},"min":0,"max":null},{"text":"\""}]},
"character":{"or":[{"chars":[[32,33],[35,91],[93,1114111]]},
  {"seq":[{"text":"\\"},{"or":[
    {"chars":[[34,34],[47,47],[92,92],[98,98],[102,102],[110,110],[114,114],
      [116,116]]},
    {"seq":[{"text":"u"},{"repeat":{"chars":[[48,57],[65,70],[97,102]]},
      "min":4,"max":4}]}]}]}]},
"number":{"seq":[{"or":[{"text":""},{"text":"-"}]},
  {"or":[{"text":"0"},{"seq":[{"chars":[[49,57]]},
    {"repeat":{"chars":[[48,57]]},"min":0,"max":null}]}]},
  {"or":[{"text":""},{"seq":[{"text":"."},
    {"repeat":{"chars":[[48,57]]},"min":1,"max":null}]}]}]}
}})";
}

} // namespace grammar_fixtures

#include "grammar_bench.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "measure.h"

namespace bench {

namespace {

using namespace stomp;
using Words = std::vector<std::string>;

/// An object with two strings, one of them bounded, a number and a choice, as
/// a schema becomes.
constexpr const char* kGrammar = R"j({"rules":{
"root":{"seq":[{"text":"{\"path\":"},{"ref":"string"},
  {"text":",\"title\":"},{"ref":"title"},{"text":",\"line\":"},
  {"ref":"integer"},{"text":",\"kind\":"},
  {"or":[{"text":"\"added\""},{"text":"\"removed\""}]},{"text":"}"}]},
"integer":{"or":[{"text":"0"},{"seq":[{"chars":[[49,57]]},
  {"repeat":{"chars":[[48,57]]},"min":0,"max":15}]}]},
"title":{"seq":[{"text":"\""},
  {"repeat":{"ref":"character"},"min":1,"max":500},{"text":"\""}]},
"string":{"seq":[{"text":"\""},
  {"repeat":{"ref":"character"},"min":0,"max":null},{"text":"\""}]},
"character":{"or":[{"chars":[[32,33],[35,91],[93,1114111]]},
  {"seq":[{"text":"\\"},{"or":[
    {"chars":[[34,34],[47,47],[92,92],[98,98],[102,102],[110,110],[114,114],
      [116,116]]},
    {"seq":[{"text":"u"},{"repeat":{"chars":[[48,57],[65,70],[97,102]]},
      "min":4,"max":4}]}]}]}]}
}})j";

/// Words of a few syllables, one in eight with punctuation or a character of
/// several bytes in it, after all single bytes.
Words make_words(size_t count) {
  const char* syllables[] = {
      "an",
      "be",
      "con",
      "der",
      "e",
      "fi",
      "ing",
      "ly",
      "ma",
      "ne",
      "or",
      "pre",
      "re",
      "st",
      "ti",
      "un"};
  const char* others[] = {
      "\"",
      "\":",
      "\",",
      "{",
      "}",
      "\n",
      "(",
      "\\",
      "\xc3\xa9",
      "\xe4\xb8\x96",
      "\xe4\xb8",
      "0"};
  std::mt19937 random(3);
  Words words;
  for (int byte = 0; byte < 256; byte++) {
    words.emplace_back(1, static_cast<char>(byte));
  }
  while (words.size() < count) {
    std::string word = random() % 2 == 0 ? " " : "";
    for (size_t n = 1 + random() % 4; n > 0; n--) {
      word += syllables[random() % std::size(syllables)];
      word += random() % 32 == 0 ? others[random() % std::size(others)] : "";
    }
    words.push_back(word);
  }
  return words;
}

/// A matcher that has come so far, a byte a token.
GrammarMatcher matcher_at(
    const std::shared_ptr<const Grammar>& grammar,
    const std::string& text) {
  GrammarMatcher matcher(grammar);
  for (const char c : text) {
    require(matcher.accept(static_cast<uint8_t>(c)), "a text is refused");
  }
  return matcher;
}

void print(const std::string& what, const std::string& words, double ns) {
  bench::print(("grammar, " + words + ": " + what).c_str(), ns);
}

void bench_masks(size_t count, const std::string& name) {
  const Words words = make_words(count);
  std::shared_ptr<const Vocabulary> vocabulary;
  print("build the vocabulary's trie", name, nanoseconds(1, [&] {
          vocabulary = std::make_shared<Vocabulary>(words);
        }));
  std::shared_ptr<const Grammar> grammar;
  const auto compile = [&] {
    grammar = Grammar::compile(kGrammar, vocabulary);
  };
  print("compile", name, nanoseconds(1, compile));

  const std::string in_path = R"({"path":"a)";
  const std::string in_title = in_path + R"(","title":"b)";
  const std::string in_kind = in_title + R"(","line":1,"kind":")";
  std::unique_ptr<GrammarMatcher> matcher;
  const auto stand_at = [&](const std::string& text) {
    matcher = std::make_unique<GrammarMatcher>(matcher_at(grammar, text));
  };
  const auto ask = [&] {
    require(!matcher->allowed().empty(), "there is no mask");
  };
  const auto miss = [&](const std::string& text) {
    return nanoseconds(
        1,
        [&] {
          compile();
          stand_at(text);
        },
        ask);
  };
  print("first mask in a string", name, miss(in_path));
  print("first mask in a bounded string", name, miss(in_title));
  print("first mask between texts", name, miss(in_kind));
  print(
      "a mask looked up",
      name,
      nanoseconds(1, [&] { stand_at(in_title); }, ask));
  stand_at(in_path);
  const auto plain = std::find_if(words.rbegin(), words.rend(), [](auto& w) {
    return w.find_first_not_of(" abcdefghijklmnopqrstuvwxyz") == w.npos;
  });
  const auto word = static_cast<int32_t>(words.rend() - plain) - 1;
  constexpr int kTokens = 1000;
  print("accept a token, and look its mask up", name, nanoseconds(kTokens, [&] {
          for (int i = 0; i < kTokens; i++) {
            require(matcher->accept(word), "a word is refused");
            ask();
          }
        }));
}

} // namespace

void grammars() {
  bench_masks(49'152, "49k tokens");
  bench_masks(151'936, "152k tokens");
}

} // namespace bench

// Masks against a recogniser that only backtracks: small grammars, small
// vocabularies, both at random.
#include <map>
#include <random>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/rules.h"
#include "grammar_fixtures.h"

using namespace stomp;
using namespace grammar_fixtures;
using grammar::kEndless;
using grammar::Kind;
using grammar::Node;
using grammar::Rules;

namespace {

constexpr int kMarker = 1000; // symbols from here on are tokens

using Symbols = std::vector<int>; // bytes and markers

/// Whether a text is a beginning of what the rules derive, and whether all.
/// REQUIRES: rules that each derive something.
class Recogniser {
 public:
  Recogniser(const Rules& rules, Symbols text)
      : rules_(rules), text_(std::move(text)) {
    const uint32_t root = rules_.rules[rules_.root].node;
    is_whole_ = ends(root, 0).count(text_.size()) > 0;
  }

  bool is_whole() const { return is_whole_; }
  bool is_beginning() const { return is_beginning_ || is_whole_; }

 private:
  using Ends = std::set<size_t>;

  const Ends& ends(uint32_t at, size_t from) {
    const auto key = std::make_pair(at, from);
    const auto found = known_.find(key);
    if (found != known_.end()) {
      return found->second;
    }
    Ends found_ends = find(rules_.nodes[at], from);
    return known_[key] = std::move(found_ends);
  }

  Ends find(const Node& node, size_t from) {
    switch (node.kind) {
      case Kind::kText:
        return literal(Symbols(bytes(node.text)), from);
      case Kind::kChars:
        return chars(node, from);
      case Kind::kToken:
        return literal({kMarker + static_cast<int>(node.id)}, from);
      case Kind::kSeq: {
        Ends at = {from};
        for (const uint32_t child : node.children) {
          at = all_ends(child, at);
        }
        return at;
      }
      case Kind::kOr: {
        Ends all;
        for (const uint32_t child : node.children) {
          const Ends& more = ends(child, from);
          all.insert(more.begin(), more.end());
        }
        return all;
      }
      case Kind::kRepeat:
        return repeat(node, from);
      case Kind::kRef:
        return ends(rules_.rules[node.id].node, from);
    }
    return {};
  }

  Ends all_ends(uint32_t node, const Ends& from) {
    Ends all;
    for (const size_t at : from) {
      const Ends& more = ends(node, at);
      all.insert(more.begin(), more.end());
    }
    return all;
  }

  Ends repeat(const Node& node, size_t from) {
    Ends at = {from};
    Ends all;
    for (uint32_t i = 0;; i++) {
      if (i >= node.min) {
        all.insert(at.begin(), at.end());
      }
      if (at.empty() || (node.max != kEndless && i == node.max)) {
        return all;
      }
      at = all_ends(node.children[0], at);
    }
  }

  Ends chars(const Node& node, size_t from) {
    Ends all;
    for (const auto& [low, high] : node.ranges) {
      for (uint32_t c = low; c <= high; c++) {
        std::string text;
        encode_utf8(c, text);
        const Ends more = literal(bytes(text), from);
        all.insert(more.begin(), more.end());
      }
    }
    return all;
  }

  static Symbols bytes(const std::string& text) {
    Symbols symbols;
    for (const char c : text) {
      symbols.push_back(static_cast<uint8_t>(c));
    }
    return symbols;
  }

  Ends literal(const Symbols& expected, size_t from) {
    for (size_t i = 0; i < expected.size(); i++) {
      if (from + i == text_.size()) {
        is_beginning_ = true;
        return {};
      }
      if (text_[from + i] != expected[i]) {
        return {};
      }
    }
    return {from + expected.size()};
  }

  const Rules& rules_;
  Symbols text_;
  std::map<std::pair<uint32_t, size_t>, Ends> known_;
  bool is_beginning_ = false;
  bool is_whole_ = false;
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  int below(int n) { return static_cast<int>(random_() % n); }

  std::string grammar() {
    rules_ = 1 + below(4);
    std::string json = R"({"rules":{"root":)" + node(3);
    for (int i = 1; i < rules_; i++) {
      json += ",\"r" + std::to_string(i) + "\":" + node(3);
    }
    return json + "}}";
  }

  Words words() {
    Words all = {"", "", "a", "b", "\xc3", "\xa8", "\xa9", "\xe2", "\x82"};
    all.insert(all.end(), {"\xac", "aa", "aaaaaaa"});
    const char* parts[] = {
        "a",
        "b",
        "ab",
        "\xc3\xa8",
        "\xc3\xa9",
        "\xa8",
        "\xe2\x82\xac",
        "\xe2\x82",
        "\xac",
        "\xc3"};
    for (int i = 0; i < 24; i++) {
      std::string word;
      for (int n = 1 + below(4); n > 0; n--) {
        word += parts[below(10)];
      }
      all.push_back(word);
    }
    return all;
  }

 private:
  std::string node(int depth) {
    const int kind = below(depth > 0 ? 10 : 4);
    switch (kind) {
      case 0:
        return text();
      case 1:
      case 2:
        return chars();
      case 3:
        return R"({"token":)" + std::to_string(below(2)) + "}";
      case 4:
      case 5:
        return list("seq", depth);
      case 6:
        return list("or", depth);
      case 7:
        return repeat(depth);
      default:
        return rules_ == 1
            ? text()
            : R"({"ref":"r)" + std::to_string(1 + below(rules_ - 1)) + "\"}";
    }
  }

  std::string text() {
    const char* texts[] = {"", "a", "b", "ab", "aab", "\xc3\xa9"};
    return std::string(R"({"text":")") + texts[below(6)] + "\"}";
  }

  std::string chars() {
    const char* ranges[] = {
        "[[97,98]]",
        "[[98,98]]",
        "[[97,97],[232,233]]",
        "[[233,233],[8360,8370]]"};
    return std::string(R"({"chars":)") + ranges[below(4)] + "}";
  }

  std::string list(const char* kind, int depth) {
    std::string json = std::string("{\"") + kind + "\":[" + node(depth - 1);
    for (int n = below(3); n > 0; n--) {
      json += "," + node(depth - 1);
    }
    return json + "]}";
  }

  // Short ones are written out, long ones are counted.
  std::string repeat(int depth) {
    const int min = below(3) == 0 ? 8 + below(5) : below(3);
    const int room = below(2) == 0 ? below(3) : 60 + below(20);
    const std::string max = below(3) == 0 ? "null" : std::to_string(min + room);
    return R"({"repeat":)" + node(depth - 1) + R"(,"min":)" +
        std::to_string(min) + R"(,"max":)" + max + "}";
  }

  std::mt19937 random_;
  int rules_ = 1;
};

Symbols followed_by(Symbols text, const Words& words, size_t token) {
  if (words[token].empty()) {
    text.push_back(kMarker + static_cast<int>(token));
  }
  for (const char c : words[token]) {
    text.push_back(static_cast<uint8_t>(c));
  }
  return text;
}

/// Follows one random answer; returns how many masks were compared.
int follow(
    const Rules& rules,
    GrammarMatcher m,
    const Words& words,
    Generator& random) {
  Symbols text;
  for (int step = 0; step < 12; step++) {
    CHECK_EQUAL(m.complete(), Recogniser(rules, text).is_whole());
    std::vector<int32_t> choices;
    for (size_t t = 0; t < words.size(); t++) {
      const bool expected =
          Recogniser(rules, followed_by(text, words, t)).is_beginning();
      const auto token = static_cast<int32_t>(t);
      CHECK_EQUAL(is_allowed(m, token), expected);
      if (expected) {
        choices.push_back(token);
      } else {
        CHECK(!m.accept(token));
      }
    }
    if (choices.empty()) {
      CHECK(m.complete());
      return step + 1;
    }
    const int32_t token =
        choices[random.below(static_cast<int>(choices.size()))];
    CHECK(m.accept(token));
    text = followed_by(std::move(text), words, token);
  }
  return 12;
}

} // namespace

TEST("grammar: masks are those of a recogniser that backtracks") {
  int grammars = 0;
  int masks = 0;
  for (uint32_t seed = 0; seed < 1500; seed++) {
    Generator random(seed);
    const std::string json = random.grammar();
    const Words words = random.words();
    std::shared_ptr<const Grammar> compiled;
    try {
      compiled = Grammar::compile(json, vocabulary(words));
    } catch (const Error& e) {
      CHECK(e.code() == Code::kInvalidRequest);
      continue;
    }
    grammars++;
    const Rules rules =
        grammar::read_rules(json, static_cast<int>(words.size()));
    for (int i = 0; i < 3; i++) {
      try {
        masks += follow(rules, GrammarMatcher(compiled), words, random);
      } catch (const check::Failure& e) {
        throw check::Failure(
            std::string(e.what()) + "\n  seed " + std::to_string(seed) + " " +
            json);
      }
    }
  }
  CHECK(grammars > 400);
  CHECK(masks > 4000);
}

namespace {

/// Grammars in which text goes on for long, and what may follow it.
std::string text_grammar(Generator& random) {
  const char* texts[] = {
      R"({"chars":[[32,33],[35,91],[93,1114111]]})",
      R"({"chars":[[0,1114111]]})",
      R"({"chars":[[32,126],[128,1114111]]})",
      R"({"or":[{"chars":[[32,33],[35,91],[93,1114111]]},{"text":"\\n"}]})"};
  const char* ends[] = {
      R"({"text":""})",
      R"({"text":"\""})",
      R"({"text":"\"x"})",
      R"({"or":[{"text":""},{"text":"\"x"}]})",
      R"({"token":0})"};
  const int min = random.below(2) == 0 ? 0 : random.below(40);
  const int room = random.below(60);
  const std::string max =
      random.below(4) == 0 ? "null" : std::to_string(min + room);
  const std::string run = R"({"repeat":)" +
      std::string(texts[random.below(4)]) + R"(,"min":)" + std::to_string(min) +
      R"(,"max":)" + max + "}";
  const std::string body =
      R"({"seq":[)" + run + "," + ends[random.below(5)] + "]}";
  const std::string after = ends[random.below(5)];
  return R"({"rules":{"root":{"seq":[{"ref":"r"},)" + after + R"(]},"r":)" +
      body + "}}";
}

Words text_words(Generator& random) {
  const char* parts[] = {"x", " ", "\xc3\xa9", "\xe2\x82\xac", "ab", "xxxxx"};
  const char* odd[] = {"\"", "\"x", "\\n", "\xe2\x82", "\n", "\xa9"};
  Words words = {"", "x", "\"", "\\", "n", "\"\"", "\xe2", "\x82", "\xac"};
  for (int i = 0; i < 60; i++) {
    std::string word;
    for (int n = 1 + random.below(i % 4 == 0 ? 40 : 5); n > 0; n--) {
      word += parts[random.below(6)];
    }
    if (random.below(3) == 0) {
      word += odd[random.below(6)];
    }
    if (random.below(4) == 0) {
      word += parts[random.below(6)];
    }
    words.push_back(word);
  }
  return words;
}

/// Compares each mask on the way with what accept() says, which asks no mask.
void follow_text(
    const std::shared_ptr<const Grammar>& grammar,
    const Words& words,
    Generator& random) {
  std::vector<int32_t> taken;
  const auto again = [&] {
    GrammarMatcher m(grammar);
    for (const int32_t token : taken) {
      CHECK(m.accept(token));
    }
    return m;
  };
  for (int step = 0; step < 12; step++) {
    GrammarMatcher m = again();
    GrammarMatcher other = again();
    std::vector<int32_t> choices;
    for (size_t t = 0; t < words.size(); t++) {
      const auto token = static_cast<int32_t>(t);
      const bool accepted = other.accept(token);
      CHECK_EQUAL(is_allowed(m, token), accepted);
      if (accepted) {
        choices.push_back(token);
        other = again();
      }
    }
    if (choices.empty()) {
      CHECK(m.complete());
      return;
    }
    taken.push_back(choices[random.below(static_cast<int>(choices.size()))]);
  }
}

} // namespace

TEST("grammar: long runs of text are allowed exactly as far as they may go") {
  for (uint32_t seed = 0; seed < 400; seed++) {
    Generator random(seed);
    const std::string json = text_grammar(random);
    const Words words = text_words(random);
    const auto compiled = Grammar::compile(json, vocabulary(words));
    for (int i = 0; i < 3; i++) {
      try {
        follow_text(compiled, words, random);
      } catch (const check::Failure& e) {
        throw check::Failure(
            std::string(e.what()) + "\n  seed " + std::to_string(seed) + " " +
            json);
      }
    }
  }
}

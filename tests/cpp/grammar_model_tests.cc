// Masks over a vocabulary of the size that models have: the one of the file
// that STOMP_TEST_MODEL names, or one made up of as many words.
#include <cstdlib>
#include <random>

#include "grammar_fixtures.h"
#include "grammar_model.h"

using namespace stomp;
using namespace grammar_fixtures;

namespace {

constexpr size_t kWords = 49'152;

/// Fragments of JSON, of words and of characters, in random order.
Words made_up_words() {
  const char* parts[] = {"\"", "\",", "\":", "{", "}",  "[",        "]",
                         ",",  " ",   "\n",  "e", "th", "\xc3\xa9", "\xe4",
                         "1",  "\\",  "n",   "u", "ra", "\xe4\xb8", "\x96"};
  std::mt19937 random(11);
  Words words = with_bytes({});
  while (words.size() < kWords) {
    std::string word;
    for (size_t n = 2 + random() % 6; n > 0; n--) {
      const size_t any = random() % 64;
      word += any < std::size(parts) ? std::string(parts[any])
                                     : std::string(1, 'a' + any % 26);
    }
    words.push_back(word);
  }
  words.back().clear();
  return words;
}

const Words& words() {
  static const Words all = [] {
    const char* path = std::getenv("STOMP_TEST_MODEL");
    return path ? words_of_model(path) : made_up_words();
  }();
  return all;
}

const std::shared_ptr<const Vocabulary>& shared_vocabulary() {
  static const auto shared = vocabulary(words());
  return shared;
}

/// The longest token each time.
std::vector<int32_t> tokens_of(const std::string& text) {
  static const std::map<std::string, int32_t> ids = [] {
    std::map<std::string, int32_t> all;
    for (size_t i = 0; i < words().size(); i++) {
      all.emplace(words()[i], static_cast<int32_t>(i));
    }
    return all;
  }();
  std::vector<int32_t> tokens;
  for (size_t at = 0; at < text.size();) {
    size_t length = std::min<size_t>(20, text.size() - at);
    while (ids.count(text.substr(at, length)) == 0) {
      length--;
    }
    tokens.push_back(ids.at(text.substr(at, length)));
    at += length;
  }
  return tokens;
}

GrammarMatcher after(
    const std::shared_ptr<const Grammar>& grammar,
    const std::vector<int32_t>& tokens,
    size_t count) {
  GrammarMatcher m(grammar);
  for (size_t i = 0; i < count; i++) {
    CHECK(m.accept(tokens[i]));
  }
  return m;
}

/// Whether accept(), which asks no mask, agrees about every 41st token.
void check_masks(const std::string& grammar, const std::string& text) {
  const auto compiled = Grammar::compile(grammar, shared_vocabulary());
  const std::vector<int32_t> tokens = tokens_of(text);
  size_t first = 0;
  for (size_t count = 0; count <= tokens.size(); count++) {
    GrammarMatcher m = after(compiled, tokens, count);
    CHECK(count == tokens.size() || is_allowed(m, tokens[count]));
    GrammarMatcher other = after(compiled, tokens, count);
    for (size_t t = first++ % 41; t < words().size(); t += 41) {
      const auto token = static_cast<int32_t>(t);
      const bool accepted = other.accept(token);
      CHECK_EQUAL(is_allowed(m, token), accepted);
      if (accepted) {
        other = after(compiled, tokens, count);
      }
    }
  }
  CHECK(after(compiled, tokens, tokens.size()).complete());
}

std::string counted(int min, int max) {
  return R"({"rules":{"root":{"seq":[{"text":"\""},
    {"repeat":{"chars":[[32,33],[35,91],[93,1114111]]},"min":)" +
      std::to_string(min) + R"(,"max":)" + std::to_string(max) +
      R"(},{"text":"\""}]}}})";
}

} // namespace

TEST("grammar: a model's whole vocabulary, JSON of any kind") {
  check_masks(
      json_grammar(),
      "{\"a\":[1,-2.5,\"some text, na\xc3\xafve \xe4\xb8\x96\\n\"],"
      "\"other words\":{\"\":null}}");
}

TEST("grammar: a model's whole vocabulary, strings near their bounds") {
  check_masks(counted(0, 90), "\"A few words of no great length\"");
  check_masks(counted(0, 200), "\"" + std::string(180, 'e') + " the end\"");
  check_masks(
      counted(40, 70), "\"" + std::string(30, 'n') + " and on and on\"");
  check_masks(counted(150, 1000), "\"" + std::string(160, 'x') + "\"");
}

TEST("grammar: a position has the same mask after the caches started anew") {
  const auto compiled = Grammar::compile(json_grammar(), shared_vocabulary());
  const std::string text = R"({"words":["of a text",1]})";
  const std::vector<int32_t> tokens = tokens_of(text);
  const auto masks = [&] {
    std::vector<std::vector<uint64_t>> all;
    for (size_t count = 0; count <= tokens.size(); count++) {
      GrammarMatcher m = after(compiled, tokens, count);
      all.emplace_back(m.allowed().begin(), m.allowed().end());
    }
    return all;
  };
  const auto before = masks();
  const std::string nested = "[[[[{\"a\":[[{\"a\":[";
  const std::vector<int32_t> opening = tokens_of(nested + "[");
  GrammarMatcher old = after(compiled, opening, opening.size() - 1);
  (void)old.allowed();
  std::mt19937 random(5);
  // Some 10000 positions with a mask of 6 KB each.
  for (int answer = 0; answer < 20; answer++) {
    GrammarMatcher m(compiled);
    std::string closing;
    for (int depth = 0; depth < 300; depth++) {
      const bool object = random() % 2 == 0;
      for (const int32_t token : tokens_of(object ? "{\"a\":" : "[1,")) {
        CHECK(is_allowed(m, token));
        CHECK(m.accept(token));
      }
      closing.insert(0, object ? "}" : "]");
    }
    for (const int32_t token : tokens_of("null" + closing)) {
      CHECK(m.accept(token));
    }
    CHECK(m.complete());
  }
  CHECK(masks() == before);
  CHECK(old.accept(opening.back()));
  GrammarMatcher young = after(compiled, opening, opening.size());
  CHECK(std::ranges::equal(old.allowed(), young.allowed()));
  for (const int32_t token : tokens_of("]]}]]}]]]]")) {
    CHECK(is_allowed(old, token) && old.accept(token));
  }
  CHECK(old.complete());
}

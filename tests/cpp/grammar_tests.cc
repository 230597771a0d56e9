// grammar.h: which tokens may come next, which grammars are refused.
#include <atomic>
#include <thread>

#include "base/error.h"
#include "grammar_fixtures.h"

using namespace stomp;
using namespace grammar_fixtures;

namespace {

std::string rules(const std::string& inside) {
  return "{\"rules\":{" + inside + "}}";
}

std::string root(const std::string& node) {
  return rules("\"root\":" + node);
}

/// What compile() says against it; empty when nothing.
std::string refusal(const std::string& json) {
  try {
    Grammar::compile(json, vocabulary({"a", "b", ""}));
  } catch (const Error& e) {
    CHECK(e.code() == Code::kInvalidRequest);
    return e.what();
  }
  return "";
}

void check_refused(const std::string& json, const std::string& because) {
  const std::string says = refusal(json);
  if (says.find(because) == std::string::npos) {
    throw check::Failure(json + " was answered by: " + says);
  }
}

std::string repeated(const std::string& node, int min, const std::string& max) {
  return R"({"repeat":)" + node + R"(,"min":)" + std::to_string(min) +
      R"(,"max":)" + max + "}";
}

const char* const kLetter = R"({"chars":[[97,122]]})";

} // namespace

TEST("grammar: a text allows the tokens that spell it") {
  const Words words = {"a", "ab", "abc", "abd", "b", "bc", "c", "cd", ""};
  auto m = matcher(root(R"({"text":"abc"})"), words);
  CHECK_EQUAL(allowed(m, words), std::string("a|ab|abc"));
  CHECK(!m.accept(id_of(words, "abd")));
  CHECK_EQUAL(allowed(m, words), std::string("a|ab|abc"));
  CHECK(m.accept(id_of(words, "a")));
  CHECK_EQUAL(allowed(m, words), std::string("b|bc"));
  CHECK(!m.complete());
  CHECK(m.accept(id_of(words, "bc")));
  CHECK(m.complete());
  CHECK_EQUAL(allowed(m, words), std::string());
  CHECK(!m.accept(id_of(words, "c")));
}

TEST(
    "grammar: markers come only where a token node is, ids out of range "
    "never") {
  const Words words = {"", "a", "", "{", "}", "<x>"};
  auto m = matcher(
      root(
          R"({"seq":[{"token":0},{"text":"{"},{"or":[{"text":"a"},{"token":2}]},
        {"text":"}"}]})"),
      words);
  CHECK_EQUAL(allowed(m, words), std::string("#0"));
  CHECK(!m.accept(2));
  CHECK(!m.accept(-1));
  CHECK(!m.accept(6));
  CHECK(m.accept(0));
  CHECK_EQUAL(allowed(m, words), std::string("{"));
  CHECK(m.accept(3));
  CHECK_EQUAL(allowed(m, words), std::string("a|#2"));
  CHECK(m.accept(2));
  CHECK(m.accept(4));
  CHECK(m.complete());
}

TEST("grammar: a token node may name a token that is also a text") {
  const Words words = {"ab", "a", "b"};
  auto m = matcher(root(R"({"seq":[{"token":0},{"text":"b"}]})"), words);
  CHECK_EQUAL(allowed(m, words), std::string("ab"));
  CHECK(m.accept(0));
  CHECK_EQUAL(allowed(m, words), std::string("b"));
}

TEST("grammar: one token may end several rules and begin others") {
  const Words words = {
      "{", "\"", "a", "\":", "\":1", "\":1}", "1}", "}", "1", "\":1}}"};
  auto m = matcher(json_grammar(), words);
  for (const char* word : {"{", "\"", "a"}) {
    CHECK(m.accept(id_of(words, word)));
  }
  CHECK_EQUAL(allowed(m, words), std::string("{|\"|a|\":|\":1|\":1}|1}|}|1"));
  CHECK(m.accept(id_of(words, "\":1}")));
  CHECK(m.complete());
  CHECK_EQUAL(allowed(m, words), std::string());
}

TEST("grammar: characters may be split over tokens, and never be broken") {
  // U+20AC is e2 82 ac.
  const Words words = {
      "\xe2",
      "\xe2\x82",
      "\x82",
      "\xac",
      "\x82\xac",
      "z",
      "\xacz",
      "\x83",
      "\xe2\x82\xac\xe2"};
  auto m = matcher(
      root(
          R"({"repeat":{"chars":[[122,122],[8364,8364]]},"min":0,"max":null})"),
      words);
  CHECK_EQUAL(allowed(m, words), words[0] + "|" + words[1] + "|z|" + words[8]);
  CHECK(m.accept(8));
  CHECK(!m.complete());
  CHECK_EQUAL(allowed(m, words), words[2] + "|" + words[4]);
  CHECK(m.accept(2));
  CHECK_EQUAL(allowed(m, words), words[3] + "|" + words[6]);
  CHECK(m.accept(6));
  CHECK(m.complete());
}

TEST("grammar: surrogates inside a range are no characters") {
  const Words words = with_bytes({});
  auto m = matcher(root(R"({"chars":[[0,1114111]]})"), words);
  CHECK(accept_bytes(m, "\xed"));
  CHECK(is_allowed(m, 0x80));
  CHECK(is_allowed(m, 0x9f));
  CHECK(!is_allowed(m, 0xa0));
  auto last = matcher(root(R"({"chars":[[0,1114111]]})"), words);
  CHECK(!is_allowed(last, 0xc1));
  CHECK(!is_allowed(last, 0xf5));
  CHECK(accept_bytes(last, "\xf4"));
  CHECK(!is_allowed(last, 0x90));
  CHECK(accept_bytes(last, "\x8f\xbf\xbf"));
  CHECK(last.complete());
}

TEST("grammar: long repeats count, and end exactly at their bounds") {
  const Words words = with_bytes({"aaaaaaaaaa", "aaaaaaaaaa.", "aaa."});
  auto m = matcher(
      root(
          R"({"seq":[)" + repeated(kLetter, 1000, "100000") +
          R"(,{"text":"."}]})"),
      words);
  const int ten = 256;
  for (int i = 0; i < 99; i++) {
    CHECK(is_allowed(m, ten) && !is_allowed(m, ten + 1));
    CHECK(m.accept(ten));
  }
  // 990 letters.
  CHECK(is_allowed(m, ten + 1));
  CHECK(!is_allowed(m, ten + 2));
  CHECK(!is_allowed(m, '.'));
  for (int i = 99; i < 9999; i++) {
    CHECK(m.accept(ten));
  }
  // 99990 letters.
  CHECK(is_allowed(m, ten) && is_allowed(m, ten + 1) && is_allowed(m, '.'));
  CHECK(m.accept('a'));
  CHECK(!is_allowed(m, ten) && !is_allowed(m, ten + 1));
  CHECK(is_allowed(m, ten + 2) && is_allowed(m, 'a'));
  CHECK(!m.accept(ten));
  CHECK(accept_bytes(m, "aaaaaaaaa"));
  CHECK(!is_allowed(m, 'a') && is_allowed(m, '.'));
  CHECK(m.accept('.'));
  CHECK(m.complete());
}

TEST(
    "grammar: repeats without end have a least count, and inside repeats too") {
  const Words words = with_bytes({});
  auto endless = matcher(root(repeated(kLetter, 500, "null")), words);
  CHECK(accept_bytes(endless, std::string(499, 'x')));
  CHECK(!endless.complete());
  CHECK(accept_bytes(endless, std::string(2000, 'x')));
  CHECK(endless.complete());

  const std::string word =
      R"({"seq":[)" + repeated(kLetter, 2, "70") + R"(,{"text":" "}]})";
  auto nested = matcher(root(repeated(word, 90, "100")), words);
  const std::string longest = std::string(70, 'x') + " ";
  for (int i = 0; i < 100; i++) {
    CHECK_EQUAL(nested.complete(), i >= 90);
    CHECK(accept_bytes(nested, longest.substr(i % 69)));
  }
  CHECK(nested.complete() && !nested.accept('x'));
  auto other = matcher(root(repeated(word, 90, "100")), words);
  CHECK(!accept_bytes(other, "x "));
  CHECK(!accept_bytes(other, std::string(70, 'x')));
}

TEST("grammar: right recursion costs no depth") {
  const Words words = with_bytes({"ababababab"});
  const std::string json = rules(
      R"("root":{"ref":"s"},"s":{"or":[{"text":"."},
        {"seq":[{"text":"a"},{"ref":"t"}]}]},
        "t":{"seq":[{"text":"b"},{"ref":"s"}]})");
  auto m = matcher(json, words);
  for (int i = 0; i < 20'000; i++) {
    CHECK(m.accept(256));
    CHECK(is_allowed(m, 256) && is_allowed(m, '.'));
  }
  CHECK(m.accept('.'));
  CHECK(m.complete());
}

TEST("grammar: no deeper than the limit, and always a way out") {
  const Words words = with_bytes({"((((", "(x", "x)", "))))"});
  auto m = matcher(
      root(R"j({"or":[{"text":"x"},
        {"seq":[{"text":"("},{"ref":"root"},{"text":")"}]}]})j"),
      words);
  int depth = 0;
  while (is_allowed(m, '(')) {
    CHECK_EQUAL(is_allowed(m, 256), depth + 4 <= 2047);
    CHECK(m.accept('('));
    depth++;
    CHECK(depth < 10'000);
  }
  CHECK_EQUAL(depth, 2047);
  CHECK(!m.accept('('));
  CHECK_EQUAL(allowed(m, words), std::string("x|x)"));
  CHECK(m.accept('x'));
  for (; depth > 0; depth--) {
    CHECK(!m.complete());
    CHECK(m.accept(')'));
  }
  CHECK(m.complete());
}

TEST("grammar: a way that cannot end is not begun") {
  const Words words = {"a", "b", "c", "ab", "ac"};
  auto m = matcher(
      root(R"({"or":[{"seq":[{"text":"ab"},{"or":[]}]},{"text":"ac"}]})"),
      words);
  CHECK_EQUAL(allowed(m, words), std::string("a|ac"));
  CHECK(m.accept(0));
  CHECK_EQUAL(allowed(m, words), std::string("c"));
}

TEST("grammar: what is no grammar is refused, by the rule's name") {
  check_refused("", "invalid JSON");
  check_refused("[]", "\"rules\"");
  check_refused(R"({"rules":{},"x":1})", "\"rules\"");
  check_refused(rules(""), "\"root\"");
  check_refused(root("7"), "an integer");
  check_refused(root("{}"), "where a node must be");
  check_refused(root(R"({"regex":"a"})"), "unknown kind \"regex\"");
  check_refused(root(R"({"text":"a","ref":"root"})"), "more than one kind");
  check_refused(root(R"({"text":7})"), "no string");
  check_refused(root(R"({"ref":"x"})"), "\"x\", which is not defined");
  check_refused(root(R"({"seq":{}})"), "no list");
  check_refused(
      rules(R"("root":{"text":"a"},"r7":{"ref":"r9"})"), "rule \"r7\"");
}

TEST("grammar: characters that are none are refused") {
  check_refused(root(R"({"chars":[]})"), "without ranges");
  check_refused(root(R"({"chars":[[97]]})"), "two integers");
  check_refused(root(R"({"chars":[[98,97]]})"), "ascend");
  check_refused(root(R"({"chars":[[97,98],[98,99]]})"), "ascend");
  check_refused(root(R"({"chars":[[-1,5]]})"), "ascend");
  check_refused(root(R"({"chars":[[0,1114112]]})"), "ascend");
  check_refused(root(R"({"chars":[[0,55296]]})"), "surrogate");
  check_refused(root(R"({"chars":[[57343,60000]]})"), "surrogate");
}

TEST("grammar: tokens and counts out of their ranges are refused") {
  check_refused(root(R"({"token":3})"), "vocabulary's 3");
  check_refused(root(R"({"token":-1})"), "vocabulary's 3");
  check_refused(root(R"({"token":"a"})"), "vocabulary's 3");
  CHECK_EQUAL(refusal(root(R"({"token":2})")), std::string());
  check_refused(root(repeated(kLetter, 3, "2")), "above");
  check_refused(root(repeated(kLetter, -1, "2")), "no counts");
  check_refused(root(repeated(kLetter, 1, "1e3")), "no counts");
  check_refused(root(repeated(kLetter, 1, "1000000001")), "no counts");
  check_refused(
      root(R"({"repeat":{"text":"a"},"min":1})"), "\"min\" and \"max\"");
}

TEST("grammar: left recursion is refused, however it hides") {
  check_refused(
      rules(R"("root":{"text":"a"},"l":{"or":[{"text":"a"},
        {"seq":[{"ref":"l"},{"text":"b"}]}]})"),
      "rule \"l\" is left-recursive");
  check_refused(
      rules(R"("root":{"ref":"b"},"b":{"seq":[{"ref":"c"},{"text":"x"}]},
        "c":{"or":[{"text":"c"},{"ref":"root"}]})"),
      "left-recursive");
  check_refused(
      rules(R"("root":{"seq":[{"ref":"e"},{"or":[{"text":""},{"text":"a"}]},
        {"ref":"root"}]},"e":{"repeat":{"text":"x"},"min":0,"max":3})"),
      "left-recursive");
  check_refused(
      root(
          R"({"or":[{"text":"a"},)" + repeated(R"({"ref":"root"})", 1, "2") +
          "]}"),
      "left-recursive");
}

TEST(
    "grammar: repeats of what may be empty, and rules of nothing, are "
    "refused") {
  check_refused(root(repeated(R"({"text":""})", 0, "2")), "empty text");
  check_refused(
      root(repeated(R"({"or":[{"text":"a"},{"seq":[]}]})", 1, "null")),
      "empty text");
  check_refused(
      rules(
          R"("root":)" + repeated(R"({"ref":"e"})", 1, "2") + R"(,"e":)" +
          repeated(kLetter, 0, "2")),
      "empty text");
  check_refused(root(R"({"or":[]})"), "derives nothing");
  check_refused(
      rules(R"("root":{"or":[{"text":"a"},{"ref":"n"}]},
        "n":{"seq":[{"text":"a"},{"ref":"n"}]})"),
      "rule \"n\" derives nothing");
}

TEST("grammar: sizes beyond what is served are refused") {
  std::string deep = R"({"text":"a"})";
  for (int i = 0; i < 300; i++) {
    deep.insert(0, R"({"seq":[)").append("]}");
  }
  check_refused(root(deep), "nested deeper");
  check_refused(
      root(
          repeated(R"({"text":")" + std::string(400'000, 'a') + "\"}", 1, "2")),
      "larger than the limit");
  std::string many = R"({"or":[{"text":"a"})";
  for (int i = 0; i < 200'000; i++) {
    many += R"(,{"text":"a"})";
  }
  check_refused(root(many + "]}"), "limit of 200000 nodes");
  std::string optional = R"({"seq":[{"text":"a"})";
  for (int i = 0; i < 6000; i++) {
    optional +=
        R"(,{"or":[{"text":""},{"text":"key)" + std::to_string(i) + "\"}]}";
  }
  check_refused(root(optional + "]}"), "fewer optional parts");
  // Each rule needs the next, inside brackets.
  std::string chain = R"("root":{"ref":"r0"})";
  for (int i = 0; i < 2100; i++) {
    const std::string n = std::to_string(i);
    chain += ",\"r" + n + R"(":{"seq":[{"text":"("},{"ref":"r)" +
        std::to_string(i + 1) + R"j("},{"text":")"}]})j";
  }
  check_refused(rules(chain + R"(,"r2100":{"text":"x"})"), "nested deeper");
}

TEST("grammar: ambiguity without bounds is an error, not a hang") {
  const Words words = with_bytes({std::string(40, 'a')});
  // Every "a" may begin or end anything.
  auto m = matcher(
      rules(
          R"("root":)" +
          repeated(
              R"({"or":[{"text":"a"},{"text":"aa"},{"ref":"b"}]})",
              1,
              "100000") +
          R"(,"b":{"seq":[{"text":"a"},{"ref":"b2"},{"text":"a"}]},
              "b2":{"or":[{"text":"aaa"},{"seq":[{"text":"a"},{"ref":"b"},
                {"ref":"b2"}]}]})"),
      words);
  const auto follow = [&] {
    for (int i = 0; i < 200; i++) {
      (void)m.allowed();
      CHECK(m.accept(256));
    }
  };
  CHECK_ERROR(follow(), Code::kInvalidRequest);
}

TEST("grammar: an answer of many positions keeps the same masks") {
  const Words words = with_bytes({"[[", "]]", "\"a", "\",", "\"]"});
  const auto vocab = vocabulary(words);
  const auto compiled = Grammar::compile(json_grammar(), vocab);
  GrammarMatcher m(compiled);
  // Each level of nesting is a position of its own: caches fill and start anew.
  for (int i = 0; i < 300; i++) {
    CHECK(accept_bytes(m, "[\"a\",{\"b\":"));
    GrammarMatcher fresh(Grammar::compile(json_grammar(), vocab));
    if (i == 0) {
      CHECK(accept_bytes(fresh, "[\"a\",{\"b\":"));
      CHECK_EQUAL(allowed(m, words), allowed(fresh, words));
    }
    CHECK(is_allowed(m, '[') && is_allowed(m, 256) && !is_allowed(m, ']'));
  }
  for (int i = 0; i < 300; i++) {
    CHECK(accept_bytes(m, i == 0 ? "1}]" : "}]"));
    CHECK_EQUAL(m.complete(), i == 299);
  }
}

TEST("grammar: matchers of one grammar on several threads see the same") {
  const Words words = with_bytes({"{\"", "\":", "\",\"", "abc", "[[", "]]"});
  const auto compiled = Grammar::compile(json_grammar(), vocabulary(words));
  const std::string text =
      R"({"abc":[1,[2.5,"x\n"],{"y":null}],"":"abc\u00e9"})";
  std::vector<std::string> seen(4);
  std::vector<std::thread> threads;
  for (std::string& mine : seen) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; round++) {
        mine.clear();
        GrammarMatcher m(compiled);
        for (const char c : text) {
          mine += allowed(m, words);
          m.accept(static_cast<uint8_t>(c));
        }
        mine += m.complete() ? "!" : "?";
      }
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
  CHECK_EQUAL(seen[0].back(), '!');
  for (const std::string& other : seen) {
    CHECK(other == seen[0]);
  }
}

// Answers of a form: obeyed token by token, ended when nothing may follow.
#include <algorithm>
#include <set>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

constexpr int32_t kEnd = kVocab - 1; // a marker, as is the one before

/// Token i is the character 32 + i.
void give_vocabulary(Bench& b) {
  std::vector<char> bytes;
  std::vector<int32_t> ends;
  for (int i = 0; i < kVocab; i++) {
    if (i < kEnd - 1) {
      bytes.push_back(static_cast<char>(' ' + i));
    }
    ends.push_back(static_cast<int32_t>(bytes.size()));
  }
  b.core->grammars().set_vocabulary(bytes, ends);
}

std::vector<int32_t> spelled(const std::string& text) {
  std::vector<int32_t> tokens;
  for (const char c : text) {
    tokens.push_back(c - ' ');
  }
  return tokens;
}

std::string text_of(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) {
    text += static_cast<char>(' ' + token);
  }
  return text;
}

std::string rules(const std::string& root) {
  return R"({"rules":{"root":)" + root + "}}";
}

/// Digits, as many as one likes but at least one.
std::string digits(const std::string& max = "null") {
  return rules(R"({"repeat":{"chars":[[48,57]]},"min":1,"max":)" + max + "}");
}

Request
request(Bench& b, const std::string& grammar, int seed, int max_tokens = 0) {
  Request r;
  r.id = ++b.last_id;
  r.prompt = words(20, seed);
  r.max_tokens = max_tokens;
  r.stop_ids = {kEnd};
  r.grammar = grammar;
  return r;
}

const Finished& run(Bench& b, const Request& r) {
  b.core->submit(r);
  return b.finish(r.id);
}

bool all_digits(const std::vector<int32_t>& tokens) {
  return std::ranges::all_of(
      tokens, [](int32_t t) { return t >= '0' - ' ' && t <= '9' - ' '; });
}

} // namespace

TEST("an answer that only one text fits is that text, and ends with it") {
  Bench b(64);
  give_vocabulary(b);
  for (const bool greedy : {true, false}) {
    for (const bool ignore_eos : {true, false}) {
      Request r = request(b, rules(R"({"text":"{\"a\": 1}"})"), 1);
      r.sampling = {.temperature = greedy ? 0.0f : 1.0f, .seed = 3};
      r.ignore_eos = ignore_eos;
      const uint64_t steps = b.core->stats().steps;
      const Finished& f = run(b, r);
      CHECK(f.reason == Finish::kStop);
      CHECK_EQUAL(text_of(b.tokens[r.id]), std::string(R"({"a": 1})"));
      CHECK_EQUAL(f.usage.generated_tokens, 8);
      CHECK_EQUAL(
          b.core->stats().steps - steps, uint64_t{8}); // none for an end
    }
  }
}

TEST("an answer of a form ends where it may, and only there") {
  Bench b(64);
  give_vocabulary(b);
  std::set<size_t> lengths;
  for (int seed = 0; seed < 40; seed++) {
    Request r = request(b, digits(), 2, 30);
    r.sampling = {.temperature = 2, .seed = static_cast<uint64_t>(seed)};
    const Finished& f = run(b, r);
    const auto& said = b.tokens[r.id];
    CHECK(!said.empty());
    CHECK(all_digits(said));
    CHECK(f.reason == (said.size() == 30 ? Finish::kLength : Finish::kStop));
    lengths.insert(said.size());
  }
  CHECK(lengths.size() > 5);
}

TEST("an end token of the model counts, unless it is ignored") {
  Bench b(64);
  give_vocabulary(b);
  for (const bool ignored : {true, false}) {
    Request r = request(b, digits("5"), 2);
    r.stop_ids = {};
    r.ignore_eos = ignored;
    r.logits.bias = {{kEnd, 50}};
    CHECK(run(b, r).reason == Finish::kStop);
    CHECK_EQUAL(b.tokens[r.id].size(), size_t{5}); // this model has none
    r = request(b, digits("5"), 2);
    r.logits.bias = {{kEnd, 50}};
    CHECK(run(b, r).reason == Finish::kStop);
    CHECK_EQUAL(b.tokens[r.id].size(), size_t{1});
  }
}

TEST("an end token with a text of its own ends no form before its time") {
  Bench b(64);
  give_vocabulary(b);
  for (const float temperature : {0.0f, 1.0f}) {
    Request r = request(
        b, rules(R"({"repeat":{"chars":[[97,99]]},"min":4,"max":6})"), 2);
    r.stop_ids = {'a' - ' '};
    r.sampling = {.temperature = temperature, .seed = 3};
    r.logits.bias = {{'a' - ' ', 90}};
    CHECK(run(b, r).reason == Finish::kStop);
    const std::string said = text_of(b.tokens[r.id]);
    CHECK_EQUAL(said.size(), size_t{4});
    CHECK_EQUAL(said.find('a'), std::string::npos);
    r = request(b, r.grammar, 2);
    r.stop_ids = {'a' - ' '};
    r.script = spelled("bab");
    run(b, r);
    CHECK(b.tokens[r.id].size() >= 4);
  }
}

TEST("an answer that can only be empty is") {
  Bench b(64);
  give_vocabulary(b);
  const Request r = request(b, rules(R"({"text":""})"), 2);
  CHECK(run(b, r).reason == Finish::kStop);
  CHECK(b.tokens[r.id].empty());
}

TEST("the form goes before a bias that rules all it allows out") {
  Bench b(64);
  give_vocabulary(b);
  Request r = request(b, rules(R"({"text":"no"})"), 2);
  r.logits.bias = {{'n' - ' ', -100}, {'o' - ' ', -100}};
  CHECK(run(b, r).reason == Finish::kStop);
  CHECK_EQUAL(text_of(b.tokens[r.id]), std::string("no"));
}

TEST("a marker comes where the form has its token, and nowhere else") {
  Bench b(64);
  give_vocabulary(b);
  const std::string marker = std::to_string(kEnd - 1);
  const Request r = request(
      b, rules(R"({"seq":[{"text":"a"},{"token":)" + marker + "}]}"), 2);
  CHECK(run(b, r).reason == Finish::kStop);
  CHECK(b.tokens[r.id] == std::vector<int32_t>({'a' - ' ', kEnd - 1}));
}

TEST("a grammar that is none, or comes before the vocabulary, is refused") {
  Bench b(64);
  CHECK(run(b, request(b, digits(), 1)).error->code() == Code::kInvalidRequest);
  give_vocabulary(b);
  for (const char* bad : {"{", "{}", R"({"rules":{"root":{"ref":"x"}}})"}) {
    CHECK(run(b, request(b, bad, 1)).error->code() == Code::kInvalidRequest);
  }
  CHECK(run(b, request(b, digits("3"), 1)).reason == Finish::kStop);
  CHECK_ERROR(
      b.core->grammars().set_vocabulary({}, std::vector<int32_t>{1}),
      Code::kInvalidRequest);
}

TEST("a script is followed as far as the form allows it") {
  Bench b(64);
  give_vocabulary(b);
  Request r = request(b, digits(), 3);
  r.script = spelled("123");
  CHECK(run(b, r).reason == Finish::kStop);
  CHECK_EQUAL(text_of(b.tokens[r.id]), std::string("123"));
  r = request(b, digits("6"), 3);
  r.script = spelled("12x9");
  run(b, r);
  const auto& said = b.tokens[r.id];
  CHECK(text_of(said).starts_with("12"));
  CHECK(all_digits(said));
  r = request(b, rules(R"({"text":"12345"})"), 3);
  r.script = spelled("123"); // its end is no end of the form
  CHECK(run(b, r).reason == Finish::kStop);
  CHECK_EQUAL(text_of(b.tokens[r.id]), std::string("12345"));
}

TEST("thoughts of a form are ended where the form has their end") {
  Bench b(64);
  give_vocabulary(b);
  Request r = request(
      b,
      rules(R"({"seq":[{"repeat":{"chars":[[97,122]]},"min":0,"max":null},)"
            R"({"text":"##ok"}]})"),
      3);
  r.reasoning_end = spelled("##");
  r.reasoning_budget = 3;
  r.logits.bias = {{'#' - ' ', -100}}; // never by itself
  CHECK(run(b, r).reason == Finish::kStop);
  const std::string said = text_of(b.tokens[r.id]);
  CHECK_EQUAL(said.size(), size_t{7});
  CHECK(said.ends_with("##ok"));
}

TEST("an answer of a form is the same alone, in company and after preemption") {
  const auto ask = [](Bench& b, int i, int max_tokens) {
    Request r = request(
        b,
        i % 2 ? rules(R"({"repeat":{"text":"<->"},"min":0,"max":null})")
              : digits(),
        50 + i,
        max_tokens);
    r.stop_ids = {};
    r.ignore_eos = true;
    r.sampling = {.temperature = i & 2 ? 1.0f : 0.0f, .seed = 9};
    r.logits.frequency_penalty = 0.1f;
    b.core->submit(r);
    return r.id;
  };
  Bench together(200);
  Bench scarce(140, {}, "n", 1600); // admitted with a thousand tokens each
  together.executor->threaded = true;
  give_vocabulary(together);
  give_vocabulary(scarce);
  std::vector<int> ids;
  std::vector<int> long_ids;
  for (int i = 0; i < 4; i++) {
    ids.push_back(ask(together, i, 40));
    long_ids.push_back(ask(scarce, i, 0));
  }
  together.run();
  scarce.run();
  CHECK(scarce.core->stats().preemptions > 0);
  for (int i = 0; i < 4; i++) {
    Bench alone(140, {}, "n", 1600);
    give_vocabulary(alone);
    const int id = ask(alone, i, 0);
    alone.run();
    auto& said = alone.tokens[id];
    CHECK(scarce.tokens[long_ids[i]] == said);
    CHECK(said.size() > 1000);
    said.resize(40);
    CHECK(together.tokens[ids[i]] == said);
  }
}

TEST("grammars used last are kept compiled, and no more than fit") {
  GrammarCache cache(2);
  cache.set_vocabulary({}, std::vector<int32_t>(kVocab, 0));
  const auto text = [](int i) {
    return rules(R"({"token":)" + std::to_string(i) + "}");
  };
  const auto first = cache.get(text(1));
  cache.get(text(2));
  CHECK(cache.get(text(1)) == first);
  cache.get(text(3)); // in the place of 2
  CHECK(cache.get(text(1)) == first);
  CHECK_EQUAL(first.use_count(), 2L);
  cache.get(text(2));
  cache.get(text(3));
  CHECK_EQUAL(first.use_count(), 1L);
}

// Any bytes as a grammar, and as an answer of it: compiled and followed, or
// refused with an Error. What begins with `{` is a grammar's JSON up to a zero
// byte; of other bytes each one chooses a part of a grammar. The bytes behind
// choose the answer's tokens.
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "grammar/grammar.h"
#include "replay.h"

namespace {

constexpr int kMaxTokens = 64;
constexpr int kRules = 4;
constexpr int kMaxDepth = 5;

/// Every byte, then texts that end within characters and rules, then markers.
std::shared_ptr<const stomp::Vocabulary> vocabulary() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; b++) {
    tokens.emplace_back(1, static_cast<char>(b));
  }
  for (const char* text :
       {"ab", "aba", "{\"", "\":", "\xc3\xa9", "a\xf0\x9f", "\x98\x80", "  "}) {
    tokens.emplace_back(text);
  }
  tokens.resize(tokens.size() + 3);
  return std::make_shared<const stomp::Vocabulary>(tokens);
}

/// Bytes that are taken one by one; zeros once they are over.
class Choices {
 public:
  explicit Choices(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool over() const { return bytes_.empty(); }

  unsigned next(unsigned below) {
    if (over()) {
      return 0;
    }
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte % below;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class Writer {
 public:
  explicit Writer(Choices& choices) : choices_(choices) {}

  std::string grammar() {
    std::string json = R"({"rules":{"root":)" + node(0);
    for (int r = 0; r < kRules; r++) {
      json += ",\"r" + std::to_string(r) + "\":" + node(0);
    }
    return json + "}}";
  }

 private:
  std::string node(int depth) {
    switch (choices_.next(depth < kMaxDepth ? 8 : 5)) {
      case 0:
        return text();
      case 1:
        return chars();
      case 2:
        return R"({"ref":"r)" + std::to_string(choices_.next(kRules)) + "\"}";
      case 3:
        return R"({"token":)" + std::to_string(256 + choices_.next(12)) + "}";
      case 4:
        return R"({"text":"a"})";
      case 5:
        return list("seq", depth);
      case 6:
        return list("or", depth);
      default:
        return repeat(depth);
    }
  }

  std::string text() {
    static constexpr std::array kTexts = {
        "", "a", "b", "ab", "aba", "\\u00e9", "\\ud83d\\ude00", "{\\\"a\\\":"};
    return std::string(R"({"text":")") + kTexts[choices_.next(kTexts.size())] +
        "\"}";
  }

  std::string chars() {
    static constexpr std::array kRanges = {
        "[97,98]", "[0,127]", "[128,55295]", "[57344,1114111]", "[98,97]"};
    std::string json = R"({"chars":[)";
    json += kRanges[choices_.next(kRanges.size())];
    return json + "]}";
  }

  std::string list(const char* kind, int depth) {
    std::string json = std::string("{\"") + kind + "\":[";
    const unsigned count = choices_.next(4);
    for (unsigned i = 0; i < count; i++) {
      json += (i == 0 ? "" : ",") + node(depth + 1);
    }
    return json + "]}";
  }

  std::string repeat(int depth) {
    const unsigned min = choices_.next(4);
    const unsigned more = choices_.next(8);
    const std::string max = more == 7 ? "null" : std::to_string(min + more);
    return "{\"repeat\":" + node(depth + 1) +
        ",\"min\":" + std::to_string(min) + ",\"max\":" + max + "}";
  }

  Choices& choices_;
};

void require(bool good) {
  if (!good) {
    std::abort();
  }
}

std::vector<int32_t> tokens_of(std::span<const uint64_t> mask) {
  std::vector<int32_t> tokens;
  for (size_t t = 0; t < mask.size() * 64; t++) {
    if (((mask[t / 64] >> (t % 64)) & 1) != 0) {
      tokens.push_back(static_cast<int32_t>(t));
    }
  }
  return tokens;
}

/// What is allowed is accepted, what is not is refused and changes nothing, and
/// no answer is stuck.
void follow(
    const std::shared_ptr<const stomp::Grammar>& grammar,
    int size,
    Choices& choices) {
  stomp::GrammarMatcher matcher(grammar);
  for (int n = 0; n < kMaxTokens; n++) {
    const std::vector<int32_t> allowed = tokens_of(matcher.allowed());
    require(!allowed.empty() || matcher.complete());
    const auto other = static_cast<int32_t>(choices.next(size));
    if (!std::binary_search(allowed.begin(), allowed.end(), other)) {
      require(!matcher.accept(other));
      require(tokens_of(matcher.allowed()) == allowed);
    }
    if (allowed.empty()) {
      return;
    }
    require(allowed.back() < size);
    require(matcher.accept(allowed[choices.next(allowed.size())]));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const stomp::Vocabulary> tokens = vocabulary();
  const std::span<const uint8_t> bytes(data, size);
  const bool is_json = size > 0 && bytes.front() == '{';
  const auto end = std::find(bytes.begin(), bytes.end(), uint8_t{0});
  Choices choices(is_json ? std::span(end, bytes.end()) : bytes);
  try {
    const std::string json = is_json ? std::string(bytes.begin(), end)
                                     : Writer(choices).grammar();
    follow(stomp::Grammar::compile(json, tokens), tokens->size(), choices);
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}

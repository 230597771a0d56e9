#include "grammar/rules.h"

#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"

namespace stomp::grammar {

void refuse(const std::string& rule, const std::string& why) {
  throw Error(
      Code::kInvalidRequest,
      "grammar rule \"" + rule + "\" " + why,
      {{"rule", rule}});
}

namespace {

constexpr uint32_t kLastCodePoint = 0x10ffff;

Json parse(std::string_view text) {
  JsonLimits limits;
  limits.max_bytes = kMaxGrammarBytes;
  limits.max_values = 8 * kMaxNodes;
  limits.max_depth = 2 * kMaxNesting + 8;
  try {
    return parse_json(text, "grammar", limits);
  } catch (const Error& e) {
    throw Error(Code::kInvalidRequest, e.what(), e.fields());
  }
}

bool is_surrogate(int64_t c) {
  return c >= 0xd800 && c <= 0xdfff;
}

class Reader {
 public:
  explicit Reader(int vocabulary_size) : vocabulary_size_(vocabulary_size) {}

  Rules read(const Json& json) {
    const Json* rules = json.find("rules");
    if (!rules || !rules->is_object() || json.members()->size() != 1) {
      throw Error(
          Code::kInvalidRequest,
          "a grammar must be an object with \"rules\", an object, alone");
    }
    for (const auto& [name, node] : *rules->members()) {
      ids_.emplace(name, static_cast<uint32_t>(out_.rules.size()));
      out_.rules.push_back({name, 0});
    }
    const auto root = ids_.find("root");
    if (root == ids_.end()) {
      throw Error(Code::kInvalidRequest, "a grammar must have a rule \"root\"");
    }
    out_.root = root->second;
    for (rule_ = 0; rule_ < out_.rules.size(); rule_++) {
      const Json& node = (*rules->members())[rule_].second;
      out_.rules[rule_].node = add(node, kNone, 0);
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    refuse(out_.rules[rule_].name, why);
  }

  uint32_t add(const Json& json, uint32_t parent, int depth) {
    if (depth >= kMaxNesting) {
      fail("is nested deeper than " + std::to_string(kMaxNesting));
    }
    if (out_.nodes.size() >= kMaxNodes) {
      fail("is past the limit of " + std::to_string(kMaxNodes) + " nodes");
    }
    if (!json.is_object() || json.members()->empty()) {
      fail(std::string("has ") + json.kind() + " where a node must be");
    }
    const auto at = static_cast<uint32_t>(out_.nodes.size());
    out_.nodes.emplace_back();
    out_.nodes[at].rule = rule_;
    out_.nodes[at].parent = parent;
    fill(json, at, depth);
    return at;
  }

  void fill(const Json& json, uint32_t at, int depth) {
    const auto& [key, value] = json.members()->front();
    if (json.find("repeat")) {
      return repeat(json, at, depth);
    }
    if (json.members()->size() != 1) {
      fail("has a node with more than one kind");
    }
    if (key == "text") {
      text(value, at);
    } else if (key == "chars") {
      chars(value, at);
    } else if (key == "token") {
      token(value, at);
    } else if (key == "ref") {
      ref(value, at);
    } else if (key == "seq" || key == "or") {
      list(key == "seq" ? Kind::kSeq : Kind::kOr, value, at, depth);
    } else {
      fail("has a node of the unknown kind \"" + key + "\"");
    }
  }

  void text(const Json& value, uint32_t at) {
    if (!value.string()) {
      fail("has a \"text\" that is no string");
    }
    out_.nodes[at].kind = Kind::kText;
    out_.nodes[at].text = *value.string();
  }

  void chars(const Json& value, uint32_t at) {
    Node& node = out_.nodes[at];
    node.kind = Kind::kChars;
    if (!value.array() || value.array()->empty()) {
      fail("has \"chars\" without ranges");
    }
    int64_t last = -1;
    for (const Json& item : *value.array()) {
      const auto [low, high] = range(item);
      if (low <= last || high < low || high > kLastCodePoint) {
        fail(
            "has \"chars\" whose ranges do not ascend from 0 to " +
            std::to_string(kLastCodePoint));
      }
      if (is_surrogate(low) || is_surrogate(high)) {
        fail("has \"chars\" with a surrogate, which is no character");
      }
      last = high;
      node.ranges.emplace_back(
          static_cast<uint32_t>(low), static_cast<uint32_t>(high));
    }
  }

  std::pair<int64_t, int64_t> range(const Json& json) const {
    const Json::Array* ends = json.array();
    if (!ends || ends->size() != 2 || !(*ends)[0].integer() ||
        !(*ends)[1].integer()) {
      fail("has \"chars\" with a range that is not two integers");
    }
    return {*(*ends)[0].integer(), *(*ends)[1].integer()};
  }

  void token(const Json& value, uint32_t at) {
    const int64_t* id = value.integer();
    if (!id || *id < 0 || *id >= vocabulary_size_) {
      fail(
          "has a \"token\" that is none of the vocabulary's " +
          std::to_string(vocabulary_size_));
    }
    out_.nodes[at].kind = Kind::kToken;
    out_.nodes[at].id = static_cast<uint32_t>(*id);
  }

  void ref(const Json& value, uint32_t at) {
    if (!value.string()) {
      fail("has a \"ref\" that is no string");
    }
    const auto found = ids_.find(*value.string());
    if (found == ids_.end()) {
      fail("refers to \"" + *value.string() + "\", which is not defined");
    }
    out_.nodes[at].kind = Kind::kRef;
    out_.nodes[at].id = found->second;
  }

  void list(Kind kind, const Json& value, uint32_t at, int depth) {
    if (!value.array()) {
      fail("has a \"seq\" or \"or\" that is no list");
    }
    out_.nodes[at].kind = kind;
    for (const Json& item : *value.array()) {
      const uint32_t child = add(item, at, depth + 1);
      out_.nodes[at].children.push_back(child);
    }
  }

  void repeat(const Json& json, uint32_t at, int depth) {
    const Json* min = json.find("min");
    const Json* max = json.find("max");
    if (!min || !max || json.members()->size() != 3) {
      fail("has a \"repeat\" without \"min\" and \"max\" alone beside it");
    }
    const uint32_t low = count(*min);
    const uint32_t high = max->is_null() ? kEndless : count(*max);
    if (low > high) {
      fail("has a \"repeat\" whose \"min\" is above its \"max\"");
    }
    out_.nodes[at].kind = Kind::kRepeat;
    out_.nodes[at].min = low;
    out_.nodes[at].max = high;
    const uint32_t body = add(*json.find("repeat"), at, depth + 1);
    out_.nodes[at].children.push_back(body);
  }

  uint32_t count(const Json& json) const {
    const int64_t* n = json.integer();
    if (!n || *n < 0 || *n > kMaxRepeats) {
      fail(
          "has a \"repeat\" whose bounds are no counts up to " +
          std::to_string(kMaxRepeats));
    }
    return static_cast<uint32_t>(*n);
  }

  int vocabulary_size_;
  Rules out_;
  uint32_t rule_ = 0;
  std::unordered_map<std::string, uint32_t> ids_;
};

} // namespace

Rules read_rules(std::string_view json, int vocabulary_size) {
  const Json parsed = parse(json);
  Rules rules = Reader(vocabulary_size).read(parsed);
  check_recursion(rules);
  return rules;
}

} // namespace stomp::grammar

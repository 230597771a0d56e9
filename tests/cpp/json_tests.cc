// json.h: what it reads, and what it refuses.
#include <cmath>
#include <random>

#include "base/json.h"
#include "check.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

Json parse(const std::string& text, const JsonLimits& limits = {}) {
  return parse_json(text, "test.json", limits);
}

int64_t integer(const std::string& text) {
  const Json json = parse(text);
  CHECK(json.integer() != nullptr);
  return *json.integer();
}

double real(const std::string& text) {
  const Json json = parse(text);
  double value = 0;
  CHECK(json.integer() == nullptr);
  CHECK(json.number(&value));
  return value;
}

std::string string(const std::string& text) {
  const Json json = parse(text);
  CHECK(json.string() != nullptr);
  return *json.string();
}

std::string nested(int depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

} // namespace

TEST("json: values, nesting and order") {
  const Json json = parse(
      " {\"b\": [1, -2.5, true, false, null, \"x\"], \"a\": {}, \"\": []}\n");
  CHECK(json.is_object());
  const auto& members = *json.members();
  CHECK_EQUAL(members.size(), 3u);
  CHECK_EQUAL(members[0].first, std::string("b"));
  CHECK_EQUAL(members[1].first, std::string("a"));
  const auto& items = *json.find("b")->array();
  CHECK_EQUAL(items.size(), 6u);
  CHECK_EQUAL(*items[0].integer(), 1);
  CHECK(*items[2].boolean() && !*items[3].boolean());
  CHECK(items[4].is_null());
  CHECK_EQUAL(*items[5].string(), std::string("x"));
  CHECK(json.find("a")->is_object());
  CHECK(json.find("")->array() != nullptr);
  CHECK(json.find("c") == nullptr);
  CHECK(items[0].find("a") == nullptr);
  CHECK_EQUAL(std::string(items[1].kind()), std::string("a number"));
}

TEST("json: integers are exact up to 64 bits, then doubles") {
  CHECK_EQUAL(integer("0"), 0);
  CHECK_EQUAL(integer("-0"), 0);
  CHECK_EQUAL(integer("9223372036854775807"), INT64_MAX);
  CHECK_EQUAL(integer("-9223372036854775808"), INT64_MIN);
  CHECK_EQUAL(real("9223372036854775808"), 9223372036854775808.0);
  CHECK_EQUAL(real("1.5"), 1.5);
  CHECK_EQUAL(real("1E2"), 100.0);
  CHECK_EQUAL(real("-2.5e-3"), -2.5e-3);
  CHECK_EQUAL(real("1e-400"), 0.0);
  CHECK_EQUAL(real("1e+2"), 100.0);
}

TEST("json: malformed numbers are refused") {
  for (const char* bad :
       {"01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x10",
        "1_0",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "00",
        "-01",
        "1.e5"}) {
    CHECK_ERROR(parse(bad), Code::kModelInvalid);
  }
}

TEST("json: escapes and surrogate pairs") {
  CHECK_EQUAL(string(R"("\"\\\/\b\f\n\r\t")"), std::string("\"\\/\b\f\n\r\t"));
  CHECK_EQUAL(string(R"("\u0041\u00e9\u20AC")"), std::string("A\u00e9\u20ac"));
  CHECK_EQUAL(string(R"("\ud83d\ude00")"), std::string("\xf0\x9f\x98\x80"));
  CHECK_EQUAL(string(R"("a\u0000b")"), std::string("a\0b", 3));
  CHECK_EQUAL(string("\"\xf0\x9f\x98\x80\""), std::string("\xf0\x9f\x98\x80"));
}

TEST("json: malformed strings are refused") {
  for (const char* bad :
       {R"("\x")",
        R"("\u12")",
        R"("\u12G4")",
        R"("\ud83d")",
        R"("\ude00")",
        R"("\ud83d\u0041")",
        R"("\ud83dx")",
        R"("\)",
        R"("abc)",
        "\"a\nb\"",
        "\"\x80\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\xaf\"",
        R"("\u+123")",
        R"("\u 123")",
        R"("\u-123")"}) {
    CHECK_ERROR(parse(bad), Code::kModelInvalid);
  }
}

TEST("json: malformed structure is refused") {
  for (const char* bad :
       {"",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "[1 2]",
        "1 2",
        "[] []",
        "tru",
        "nulll",
        "'a'",
        "// c\n1",
        "{\"a\":1 \"b\":2}",
        "\xef\xbb\xbf{}",
        "[1]]"}) {
    CHECK_ERROR(parse(bad), Code::kModelInvalid);
  }
  CHECK_ERROR(parse(std::string("[\0]", 3)), Code::kModelInvalid);
}

TEST("json: duplicate keys are refused, escaped twins too") {
  CHECK_MESSAGE(parse(R"({"a":1,"b":2,"a":3})"), "key 'a' twice");
  CHECK_MESSAGE(parse(R"({"a":1,"\u0061":3})"), "key 'a' twice");
  CHECK(parse(R"({"a":{"a":1}})").is_object());
}

TEST("json: depth, size and number of values are bounded") {
  JsonLimits limits;
  limits.max_depth = 8;
  CHECK(parse(nested(8), limits).array() != nullptr);
  CHECK_MESSAGE(parse(nested(9), limits), "nested deeper than 8");
  CHECK_MESSAGE(parse(std::string(1 << 20, '[')), "nested deeper than 64");
  CHECK_MESSAGE(parse(std::string(1 << 20, '{')), "a key in quotes");
  limits.max_values = 5;
  CHECK(parse("[1,2,3,4]", limits).array() != nullptr);
  CHECK_MESSAGE(parse("[1,2,3,4,5]", limits), "more than 5 values");
  limits.max_bytes = 4;
  CHECK_MESSAGE(parse("[1,2]", limits), "larger than the limit of 4");
}

TEST("json: errors name the text and the offset") {
  CHECK_MESSAGE(parse("{\"a\": tru}"), "MODEL_INVALID: test.json");
  CHECK_MESSAGE(parse("{\"a\": tru}"), "at byte 6");
}

TEST("json: look-up works in large objects") {
  std::string text = "{";
  for (int i = 0; i < 5000; i++) {
    text += (i ? ",\"k" : "\"k") + std::to_string(i * 7919 % 5000) +
        "\":" + std::to_string(i);
  }
  const Json json = parse(text + "}");
  for (int i = 0; i < 5000; i++) {
    const Json* found = json.find("k" + std::to_string(i * 7919 % 5000));
    CHECK(found != nullptr);
    CHECK_EQUAL(*found->integer(), i);
  }
}

TEST("json: cut or altered at any byte, it is read or refused") {
  const std::string good =
      R"({"a":[1,-2.5e3,true,null],"b":{"c":"\u00e9\ud83d\ude00x"},"d":""})";
  CHECK(parse(good).is_object());
  for (size_t n = 0; n < good.size(); n++) {
    CHECK_ERROR(parse(good.substr(0, n)), Code::kModelInvalid);
  }
  std::mt19937 random(5);
  int refused = 0;
  for (int i = 0; i < 20000; i++) {
    std::string text = good;
    text[random() % text.size()] = static_cast<char>(random());
    const std::string said = error_of([&] { parse(text); });
    CHECK(said.empty() || contains(said, "MODEL_INVALID"));
    refused += !said.empty();
  }
  CHECK(refused > 5000);
}

// A small test harness: TEST("name") { CHECK(...); } and a runner that prints
// one line a test. STOMP_TEST_FILTER=substring runs some of them.
#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace check {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  std::string name;
  std::function<void()> body;
};

std::vector<Case>& cases();

struct Register {
  Register(std::string name, std::function<void()> body) {
    cases().push_back({std::move(name), std::move(body)});
  }
};

inline void fail(const char* file, int line, const std::string& what) {
  std::ostringstream s;
  s << file << ":" << line << ": " << what;
  throw Failure(s.str());
}

template <class A, class B>
void equal(
    const A& a,
    const B& b,
    const char* text,
    const char* file,
    int line) {
  if (a == b) {
    return;
  }
  std::ostringstream s;
  s << text << " (" << a << " against " << b << ")";
  fail(file, line, s.str());
}

} // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define TEST(name)                                              \
  static void CHECK_JOIN(test_, __LINE__)();                    \
  static const check::Register CHECK_JOIN(register_, __LINE__)( \
      name, CHECK_JOIN(test_, __LINE__));                       \
  static void CHECK_JOIN(test_, __LINE__)()

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) {                                     \
      check::fail(__FILE__, __LINE__, "CHECK " #condition); \
    }                                                       \
  } while (0)

#define CHECK_EQUAL(a, b) \
  check::equal((a), (b), "CHECK_EQUAL " #a ", " #b, __FILE__, __LINE__)

/// The statement throws stomp::Error with this code.
#define CHECK_ERROR(statement, expected)                                 \
  do {                                                                   \
    bool thrown = false;                                                 \
    try {                                                                \
      statement;                                                         \
    } catch (const stomp::Error& e) {                                    \
      thrown = true;                                                     \
      check::equal(                                                      \
          std::string(stomp::code_name(e.code())),                       \
          std::string(stomp::code_name(expected)),                       \
          #statement " throws",                                          \
          __FILE__,                                                      \
          __LINE__);                                                     \
    }                                                                    \
    if (!thrown) {                                                       \
      check::fail(__FILE__, __LINE__, #statement " should have thrown"); \
    }                                                                    \
  } while (0)

#define CHECK_THROWS(statement, type)                                    \
  do {                                                                   \
    bool thrown = false;                                                 \
    try {                                                                \
      statement;                                                         \
    } catch (const type&) {                                              \
      thrown = true;                                                     \
    }                                                                    \
    if (!thrown) {                                                       \
      check::fail(__FILE__, __LINE__, #statement " should have thrown"); \
    }                                                                    \
  } while (0)

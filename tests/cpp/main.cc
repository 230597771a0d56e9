// Runs every registered test; exit status 1 when one fails.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "check.h"

std::vector<check::Case>& check::cases() {
  static std::vector<Case> all;
  return all;
}

int main() {
  const char* filter = std::getenv("STOMP_TEST_FILTER");
  int passed = 0;
  int failed = 0;
  for (const check::Case& test : check::cases()) {
    if (filter && test.name.find(filter) == std::string::npos) {
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    std::string error;
    try {
      test.body();
    } catch (const std::exception& e) {
      error = e.what();
    }
    const double ms = std::chrono::duration<double, std::milli>(
                          std::chrono::steady_clock::now() - start)
                          .count();
    if (error.empty()) {
      passed++;
      std::printf("ok    %s (%.0f ms)\n", test.name.c_str(), ms);
    } else {
      failed++;
      std::printf("FAIL  %s\n      %s\n", test.name.c_str(), error.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed ? 1 : 0;
}

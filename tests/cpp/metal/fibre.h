// One thread's many stacks: a fibre runs until it gives way, and goes on from
// there when it is entered again. Not for use from several threads at once.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace emulator {

class Fibre {
 public:
  using Body = void (*)(void* argument);

  Fibre();

  /// From here on enter() begins `body`. What an earlier one had not done is
  /// forgotten.
  void restart(Body body, void* argument);

  /// Runs it until it gives way or its body is done. Called by what is no
  /// fibre.
  void enter();

  /// Back to whoever entered the fibre that runs.
  static void give_way();

  /// For a signal's handler that leaves the fibre that runs for good by a jump
  /// of its own, and for where it has jumped to.
  static void before_leaving();
  static void after_leaving();

 private:
  static void live();

  std::unique_ptr<std::byte[]> stack_;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  // Between two bodies the stack is kept: to begin on it anew takes long.
  bool idle_ = false;
  bool begun_ = false;
  ucontext_t start_;
  jmp_buf here_;
};

} // namespace emulator

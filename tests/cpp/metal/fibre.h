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

  /// From here on enter() begins `body`, which is left by give_way() alone: the
  /// last time when it is done. What the stack held before is forgotten.
  void restart(Body body, void* argument);

  /// Runs it until it gives way. Called by what is no fibre.
  void enter();

  /// Back to whoever entered the fibre that runs.
  static void give_way();

  /// For a signal's handler that leaves the fibre that runs for good by a jump
  /// of its own, and for where it has jumped to.
  static void before_leaving();
  static void after_leaving();

 private:
  static void begin();

  std::unique_ptr<std::byte[]> stack_;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool begun_ = false;
  ucontext_t start_;
  jmp_buf here_;
};

} // namespace emulator

// See fibre.h. A fibre is begun with ucontext and from then on switched to with
// _longjmp, which asks nothing of the kernel.

// The checked longjmp takes another stack for an error.
#undef _FORTIFY_SOURCE

#include "fibre.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

namespace {

constexpr size_t kStackBytes = 256 << 10;

Fibre* running = nullptr;
jmp_buf outside;

// AddressSanitizer has to know on which stack it is.
#if defined(__SANITIZE_ADDRESS__)
const void* outside_stack = nullptr;
size_t outside_bytes = 0;

void leaving_for(const void* stack, size_t bytes) {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack, bytes);
}

void arrived(bool from_outside) {
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (from_outside) {
    outside_stack = stack;
    outside_bytes = bytes;
  }
}

void leaving_for_outside() {
  leaving_for(outside_stack, outside_bytes);
}
#else
void leaving_for(const void*, size_t) {}
void arrived(bool) {}
void leaving_for_outside() {}
#endif

} // namespace

Fibre::Fibre() : stack_(new std::byte[kStackBytes]) {}

void Fibre::restart(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  if (idle_) {
    return;
  }
  begun_ = false;
  getcontext(&start_);
  start_.uc_stack.ss_sp = stack_.get();
  start_.uc_stack.ss_size = kStackBytes;
  start_.uc_link = nullptr;
  makecontext(&start_, &Fibre::live, 0);
}

/// What a fibre does all its life.
void Fibre::live() {
  arrived(true);
  while (true) {
    running->body_(running->argument_);
    running->idle_ = true;
    give_way();
  }
}

void Fibre::enter() {
  running = this;
  idle_ = false;
  if (_setjmp(outside) == 0) {
    leaving_for(stack_.get(), kStackBytes);
    if (begun_) {
      _longjmp(here_, 1);
    }
    begun_ = true;
    setcontext(&start_);
  }
  arrived(false);
}

void Fibre::give_way() {
  if (_setjmp(running->here_) == 0) {
    leaving_for_outside();
    _longjmp(outside, 1);
  }
  arrived(true);
}

void Fibre::before_leaving() {
  leaving_for_outside();
}

void Fibre::after_leaving() {
  arrived(false);
}

} // namespace emulator

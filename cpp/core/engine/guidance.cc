#include "engine/guidance.h"

#include <algorithm>

namespace stomp {

namespace {

bool has_bit(std::span<const uint64_t> mask, int32_t token) {
  const size_t word = static_cast<size_t>(token) / 64;
  return word < mask.size() && ((mask[word] >> (token % 64)) & 1) != 0;
}

bool wants_nothing(const Request& r) {
  return r.logits.none() && r.top_logprobs < 0 && r.grammar.empty() &&
      r.reasoning_end.empty() && r.script.empty();
}

} // namespace

void ThoughtLimit::said(int32_t token) {
  if (over_ || end_.empty()) {
    return;
  }
  count_++;
  if (recent_.size() == end_.size()) {
    recent_.erase(recent_.begin());
  }
  recent_.push_back(token);
  over_ = recent_ == end_;
}

std::optional<int32_t> ThoughtLimit::due() const {
  if (over_ || end_.empty() || count_ < budget_) {
    return std::nullopt;
  }
  return end_[begun()];
}

size_t ThoughtLimit::begun() const {
  size_t n = std::min(recent_.size(), end_.size() - 1);
  while (!std::equal(
      recent_.end() - static_cast<ptrdiff_t>(n), recent_.end(), end_.begin())) {
    n--;
  }
  return n;
}

Guidance::Guidance(
    const Request& request,
    std::shared_ptr<const Grammar> grammar,
    std::span<const int32_t> ends)
    : changes_(request.logits, request.prompt),
      top_logprobs_(request.top_logprobs),
      thoughts_(request.reasoning_end, request.reasoning_budget),
      script_(request.script),
      on_script_(!request.script.empty()),
      ends_(ends.begin(), ends.end()) {
  if (grammar) {
    matcher_.emplace(std::move(grammar));
  }
}

std::unique_ptr<Guidance> Guidance::of(
    const Request& request,
    std::shared_ptr<const Grammar> grammar,
    std::span<const int32_t> ends) {
  if (wants_nothing(request)) {
    return nullptr;
  }
  return std::unique_ptr<Guidance>(
      new Guidance(request, std::move(grammar), ends));
}

void Guidance::look() {
  if (!matcher_ || looked_) {
    return;
  }
  looked_ = true;
  mask_ = matcher_->allowed();
  complete_ = matcher_->complete();
  empty_ = std::ranges::all_of(mask_, [](uint64_t word) { return word == 0; });
}

bool Guidance::is_end(int32_t token) const {
  return std::ranges::find(ends_, token) != ends_.end();
}

bool Guidance::permits(int32_t token) const {
  if (!matcher_) {
    return true;
  }
  // An end token ends the answer, even one that has a text of its own.
  return is_end(token) ? complete_ : has_bit(mask_, token);
}

Guidance::Forced Guidance::forced() {
  const std::optional<int32_t> thought = thoughts_.due();
  if (thought && permits(*thought)) {
    return {Forced::Kind::kToken, *thought};
  }
  if (!on_script_) {
    return {};
  }
  if (scripted_ < script_.size() && permits(script_[scripted_])) {
    return {Forced::Kind::kToken, script_[scripted_++]};
  }
  if (scripted_ == script_.size() && may_end()) {
    return {Forced::Kind::kEnd};
  }
  on_script_ = false;
  return {};
}

void Guidance::said(int32_t token) {
  changes_.said(token);
  thoughts_.said(token);
  looked_ = false;
  if (matcher_ && !matcher_->accept(token)) {
    throw Error(
        Code::kGenerationFailed,
        "The answer's form has no place for token " + std::to_string(token) +
            ". Ask again without a response format or forced tools.");
  }
}

} // namespace stomp

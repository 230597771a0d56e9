#include "engine/chooser.h"

#include <algorithm>
#include <bit>

#include "engine/guidance.h"

namespace stomp {

namespace {

/// The first of the largest.
size_t arg_max(std::span<const float> row) {
  return static_cast<size_t>(std::ranges::max_element(row) - row.begin());
}

void clear_bit(std::span<uint64_t> words, int32_t token) {
  words[token / 64] &= ~(uint64_t{1} << (token % 64));
}

void set_bit(std::span<uint64_t> words, int32_t token) {
  words[token / 64] |= uint64_t{1} << (token % 64);
}

} // namespace

void Chooser::reserve(size_t vocab) {
  sampler_.reserve(vocab);
}

const Choice& Chooser::choose(
    Sequence& seq,
    std::span<const float> logits,
    int32_t likeliest) {
  choice_ = {};
  try {
    if (!all_finite(logits)) {
      throw Error(
          Code::kGenerationFailed,
          "The model's logits are no numbers: its weights, or this request's "
          "cache, are damaged. Load the model again.");
    }
    decide(seq, logits, likeliest);
    choice_.ends |= seq.is_end(choice_.token);
    if (seq.guidance && !choice_.ends) {
      follow(seq, logits);
    }
  } catch (const std::exception& e) {
    choice_.error = as_error(e, Code::kGenerationFailed);
  }
  return choice_;
}

std::span<const Choice> Chooser::verify(
    Sequence& seq,
    std::span<const float> logits,
    std::span<const int32_t> draft) {
  const size_t vocab = logits.size() / (draft.size() + 1);
  choices_.clear();
  kept_logprobs_.clear();
  for (ahead_ = 0;; ahead_++) {
    const auto row = logits.subspan(ahead_ * vocab, vocab);
    choose(seq, row, static_cast<int32_t>(arg_max(row)));
    keep();
    const auto next = static_cast<size_t>(ahead_);
    if (choice_.error || choice_.ends || choice_.last || next == draft.size() ||
        choice_.token != draft[next]) {
      break;
    }
  }
  ahead_ = 0;
  // Only now do they stay where they are.
  std::span<const TokenLogprob> rest = kept_logprobs_;
  for (Choice& choice : choices_) {
    const size_t n = choice.logprobs.size();
    choice.logprobs = rest.first(n);
    rest = rest.subspan(n);
  }
  return choices_;
}

void Chooser::keep() {
  choices_.push_back(choice_);
  kept_logprobs_.insert(
      kept_logprobs_.end(), choice_.logprobs.begin(), choice_.logprobs.end());
}

void Chooser::decide(
    const Sequence& seq,
    std::span<const float> logits,
    int32_t likeliest) {
  if (!seq.guidance) {
    choice_.token = draw(seq, logits, likeliest);
    return;
  }
  using Kind = Guidance::Forced::Kind;
  seq.guidance->look();
  const Guidance::Forced forced = seq.guidance->forced();
  if (forced.kind == Kind::kToken) {
    choice_.token = forced.token;
  } else if (forced.kind == Kind::kEnd || seq.guidance->only_end()) {
    choice_.ends = true;
  } else {
    choice_.token = draw(seq, logits, likeliest);
  }
}

/// The guidance goes along with the token chosen, and looks ahead.
void Chooser::follow(const Sequence& seq, std::span<const float> logits) {
  Guidance& guidance = *seq.guidance;
  guidance.said(choice_.token);
  guidance.look();
  choice_.last = guidance.only_end();
  if (guidance.top_logprobs() >= 0) {
    choice_.logprobs =
        logprobs_.of(logits, choice_.token, guidance.top_logprobs());
  }
}

int32_t Chooser::draw(
    const Sequence& seq,
    std::span<const float> logits,
    int32_t likeliest) {
  const SamplingOptions& options = seq.request.sampling;
  std::span<const float> row = logits;
  const bool changes = seq.guidance && !seq.guidance->changes().none();
  if (changes) {
    changed_.assign(logits.begin(), logits.end());
    seq.guidance->changes().apply(changed_);
    row = changed_;
  }
  const bool restricted = seq.guidance&& restrict(seq, logits.size());
  if (restricted) {
    row = permitted(row);
  } else if (options.greedy() && !changes) {
    return likeliest;
  }
  const size_t chosen = options.greedy()
      ? arg_max(row)
      : static_cast<size_t>(
            sampler_.sample(row, options, seq.generated() + ahead_));
  return restricted ? value_ids_[chosen] : static_cast<int32_t>(chosen);
}

/// Marks the tokens that may come in words_. False when any may. Throws when
/// none may.
bool Chooser::restrict(const Sequence& seq, size_t vocab) {
  const Guidance& guidance = *seq.guidance;
  const std::span<const int32_t> ruled_out = guidance.changes().ruled_out();
  if (!guidance.has_form() && ruled_out.empty()) {
    return false;
  }
  if (!mark_form(seq, vocab)) {
    throw Error(
        Code::kGenerationFailed,
        "The answer's form leaves no token to go on with. Ask again without a "
        "response format or forced tools.");
  }
  for (const int32_t token : ruled_out) {
    clear_bit(words_, token);
  }
  if (std::ranges::all_of(words_, [](uint64_t word) { return word == 0; })) {
    mark_form(seq, vocab); // an answer of the form goes before the bias
  }
  return true;
}

/// Marks what the form allows, or all there is. False when that is nothing.
bool Chooser::mark_form(const Sequence& seq, size_t vocab) {
  const Guidance& guidance = *seq.guidance;
  words_.assign((vocab + 63) / 64, guidance.has_form() ? 0 : ~uint64_t{0});
  const std::span<const uint64_t> mask = guidance.mask();
  std::copy_n(
      mask.begin(), std::min(mask.size(), words_.size()), words_.begin());
  for (const int32_t token : seq.ends) {
    if (!guidance.has_form() || static_cast<size_t>(token) >= vocab) {
      continue;
    }
    // Some models have end tokens that are texts as well.
    if (guidance.may_end()) {
      set_bit(words_, token);
    } else {
      clear_bit(words_, token);
    }
  }
  if (vocab % 64 != 0) {
    words_.back() &= (uint64_t{1} << (vocab % 64)) - 1;
  }
  return std::ranges::any_of(words_, [](uint64_t word) { return word != 0; });
}

/// The marked tokens' logits, and their ids, side by side.
std::span<const float> Chooser::permitted(std::span<const float> row) {
  values_.clear();
  value_ids_.clear();
  for (size_t w = 0; w < words_.size(); w++) {
    for (uint64_t word = words_[w]; word != 0; word &= word - 1) {
      const size_t id = w * 64 + std::countr_zero(word);
      values_.push_back(row[id]);
      value_ids_.push_back(static_cast<int32_t>(id));
    }
  }
  return values_;
}

} // namespace stomp

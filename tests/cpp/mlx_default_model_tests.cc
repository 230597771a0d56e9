// The MLX executor against mlx-lm, which ran the same file in f32: the default
// model, where STOMP_TEST_MODEL names it (a minute; four prompts, one under a
// sanitizer, or all of them when STOMP_TEST_SCALE is above 1). Apart, because
// emulated kernels would take a model of this size too long.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "check.h"
#include "golden.h"
#include "mlx_rig.h"
#include "reference_llama.h"

using namespace stomp;
using namespace golden_files;
using mlx_rig::best_of;
using mlx_rig::Rig;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kPrompts = 1;
#else
constexpr size_t kPrompts = 4;
#endif

/// Some of the first logits, and the logarithm of the sum of all exponentials.
void check_probes(std::span<const float> logits, const Json& probes) {
  const std::vector<int32_t> ids = ids_of(*probes.find("ids"));
  std::vector<float> got;
  got.reserve(ids.size());
  for (int32_t id : ids) {
    got.push_back(logits[id]);
  }
  CHECK(
      reference::max_difference(got, numbers_of(*probes.find("logits"))) <=
      kTolerance);
  double sum = 0;
  for (float logit : logits) {
    sum += std::exp(static_cast<double>(logit));
  }
  double expected = 0;
  CHECK(probes.find("logsumexp")->number(&expected));
  CHECK(std::abs(std::log(sum) - expected) <= kTolerance);
}

/// The answer's tokens are what each position's logits prefer: with every
/// earlier token equal, that is greedy decoding, in one pass instead of 64.
void check_answer(Rig& rig, const Json& golden) {
  rig.next_block = 0;
  const std::vector<int32_t> prompt = ids_of(*golden.find("ids"));
  const std::vector<int32_t> answer = ids_of(*golden.find("tokens"));
  const int n = static_cast<int>(prompt.size());
  const int n_answer = static_cast<int>(answer.size());
  const BlockTable table = rig.table(n + n_answer);
  const std::vector<float> first = rig.last_logits(table, prompt);
  check_probes(first, *golden.find("first"));
  CHECK_EQUAL(best_of(first), answer[0]);
  const std::vector<float> rest = rig.feed(
      table, std::span(answer).first(n_answer - 1), n, Output::kAllLogits);
  const size_t vocab = rig.model->config.vocab_size;
  for (int i = 1; i < n_answer; i++) {
    CHECK_EQUAL(
        best_of(std::span(rest).subspan((i - 1) * vocab, vocab)), answer[i]);
  }
}

/// The prompts with the fewest tokens, at most `n`.
std::vector<const Json*> shortest(const Json::Array& prompts, size_t n) {
  std::vector<const Json*> chosen;
  chosen.reserve(prompts.size());
  for (const Json& prompt : prompts) {
    chosen.push_back(&prompt);
  }
  std::ranges::stable_sort(chosen, {}, [](const Json* prompt) {
    return prompt->find("ids")->array()->size();
  });
  chosen.resize(std::min(n, chosen.size()));
  return chosen;
}

} // namespace

TEST("mlx: the default model answers as mlx-lm does, token for token") {
  const char* path = std::getenv("STOMP_TEST_MODEL");
  if (!path || !*path) {
    std::printf("skip  STOMP_TEST_MODEL names no file\n");
  }
  if (!path || !*path || !mlx_rig::built()) {
    return;
  }
  const char* scale = std::getenv("STOMP_TEST_SCALE");
  const Json file = golden("smollm2-greedy.json");
  const Json::Array& prompts = *file.find("prompts")->array();
  const bool all = scale && std::strtod(scale, nullptr) > 1;
  Rig rig(open_model(path));
  size_t checked = 0;
  for (const Json* prompt :
       shortest(prompts, all ? prompts.size() : kPrompts)) {
    check_answer(rig, *prompt);
    checked++;
  }
  CHECK(checked >= kPrompts);
}

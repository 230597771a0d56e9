// The MLX executor against mlx-lm, which ran the same files in f32: logits and
// greedy tokens of every checkpoint in fixtures/models. fixtures/scripts made
// the goldens.
#include <cstdio>

#include "check.h"
#include "golden.h"
#include "mlx_rig.h"
#include "reference_llama.h"

using namespace stomp;
using namespace golden_files;
using mlx_rig::Rig;

namespace {

void check_prompt(
    Rig& rig,
    const std::string& name,
    const std::vector<int32_t>& prompt,
    const Json& expected) {
  rig.next_block = 0;
  const double error = reference::max_difference(
      rig.last_logits(rig.table(static_cast<int>(prompt.size())), prompt),
      numbers_of(*expected.find("logits")));
  rig.next_block = 0;
  const std::vector<int32_t> tokens = ids_of(*expected.find("greedy"));
  const bool same =
      rig.greedy(prompt, static_cast<int>(tokens.size())) == tokens;
  if (!same || !(error <= kTolerance)) {
    std::printf(
        "      %s: logits off by %g, tokens %s\n",
        name.c_str(),
        error,
        same ? "equal" : "differ");
  }
  CHECK(error <= kTolerance);
  CHECK(same);
}

/// Every prompt with every checkpoint of a golden file; how many that were.
int check_checkpoints(const std::string& file_name) {
  const Json file = golden(file_name);
  const Json::Array& prompts = *file.find("prompts")->array();
  int checked = 0;
  for (const auto& [name, results] : *file.find("models")->members()) {
    Rig rig(open_model(fixture("models/" + name)));
    for (size_t i = 0; i < prompts.size(); i++) {
      check_prompt(
          rig, name, ids_of(*prompts[i].find("ids")), results.array()->at(i));
      checked++;
    }
  }
  return checked;
}

} // namespace

TEST("mlx: logits and greedy tokens of every tiny checkpoint are mlx-lm's") {
  if (!mlx_rig::built()) {
    return;
  }
  CHECK(check_checkpoints("tiny-llama.json") >= 13 * 3);
}

TEST("mlx: logits and greedy tokens of every family are mlx-lm's") {
  if (!mlx_rig::built()) {
    return;
  }
  CHECK(check_checkpoints("families.json") >= 6 * 3);
}

TEST("mlx: logits and greedy tokens of every mixture are mlx-lm's") {
  if (!mlx_rig::built()) {
    return;
  }
  CHECK(check_checkpoints("mixtures.json") >= 9 * 3);
}

// model/model_file.h: whole checkpoints, from the files to their weights.
#include <unistd.h>

#include <algorithm>
#include <random>

#include "check.h"
#include "model/model_file.h"
#include "store/gguf_reader.h"
#include "temp_dir.h"
#include "tiny_model.h"

using namespace stomp;

namespace {

const std::vector<uint32_t> kGgmlTypes =
    {kGgmlF32, kGgmlF16, kGgmlBF16, kGgmlQ4_0, kGgmlQ4_1, kGgmlQ8_0};

std::vector<const WeightMatrix*> matrices(const Model& model) {
  std::vector<const WeightMatrix*> all = {
      &model.weights.embedding, &model.weights.head};
  for (const LayerWeights& l : model.weights.layers) {
    all.insert(all.end(), {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down});
  }
  return all;
}

/// Reads every weight in both ways; the sum, so that nothing is left out.
double touch(const Model& model) {
  double sum = 0;
  std::vector<float> row;
  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> biases;
  for (const WeightMatrix* w : matrices(model)) {
    row.resize(w->cols);
    for (int r = 0; r < w->rows; r++) {
      dequantise_row(*w, r, row.data());
      sum += row[0] + row[w->cols - 1];
      if (!w->quantised()) {
        continue;
      }
      codes.resize(w->cols);
      scales.resize(w->cols / w->group);
      biases.resize(w->cols / w->group);
      affine_row(*w, r, codes.data(), scales.data(), biases.data());
      for (int i = 0; i < w->cols; i++) {
        volatile float product = scales[i / w->group] * codes[i];
        CHECK_EQUAL(product + biases[i / w->group], row[i]);
      }
    }
  }
  return sum;
}

void check_shapes(const Model& model) {
  CHECK_EQUAL(model.weights.layers.size(), 2u);
  const auto shape = [](const WeightMatrix& w) {
    return std::to_string(w.rows) + "x" + std::to_string(w.cols);
  };
  for (const LayerWeights& l : model.weights.layers) {
    CHECK_EQUAL(shape(l.q), std::string("128x128"));
    CHECK_EQUAL(shape(l.k), std::string("64x128"));
    CHECK_EQUAL(shape(l.v), std::string("64x128"));
    CHECK_EQUAL(shape(l.o), std::string("128x128"));
    CHECK_EQUAL(shape(l.gate), std::string("256x128"));
    CHECK_EQUAL(shape(l.up), std::string("256x128"));
    CHECK_EQUAL(shape(l.down), std::string("128x256"));
    CHECK_EQUAL(l.attention_norm.size(), 128u);
    CHECK_EQUAL(l.ffn_norm.size(), 128u);
  }
  CHECK_EQUAL(shape(model.weights.embedding), std::string("48x128"));
  CHECK_EQUAL(shape(model.weights.head), std::string("48x128"));
  CHECK_EQUAL(model.weights.final_norm.size(), 128u);
}

std::shared_ptr<const Model> open_gguf(GgufBuilder builder) {
  const TempDir dir; // the mapping outlives the name
  write_file(dir / "m.gguf", builder.build());
  return open_model(dir / "m.gguf");
}

std::shared_ptr<const Model> open_hf(const tiny::HfOptions& options) {
  const TempDir dir;
  tiny::write_hf(dir.path(), options);
  return open_model(dir.path());
}

void check_gguf_refused(
    const GgufBuilder& builder,
    const std::string& code,
    const std::string& part) {
  const std::string said = error_of([&] { open_gguf(builder); });
  if (!contains(said, code) || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "said '" + said + "', not '" + part + "'");
  }
}

/// A folder with the tiny model, to be damaged.
class HfFolder {
 public:
  explicit HfFolder(const tiny::HfOptions& options)
      : tensors(tiny::hf_tensors(options)) {
    tiny::write_hf(dir_.path(), options);
  }

  tiny::HfTensor& tensor(const std::string& name) {
    for (tiny::HfTensor& t : tensors) {
      if (t.declaration.name == name) {
        return t;
      }
    }
    throw std::logic_error("no tensor " + name);
  }

  std::string error() {
    tiny::write_tensors(dir_ / "model.safetensors", tensors);
    return error_of([&] { open_model(dir_.path()); });
  }

  const TempDir& dir() const { return dir_; }

  std::vector<tiny::HfTensor> tensors;

 private:
  TempDir dir_;
};

tiny::HfOptions affine(int bits, int group, bool tied = true) {
  tiny::HfOptions options;
  options.tied = tied;
  options.affine = {bits, group};
  return options;
}

} // namespace

TEST("model: GGUF of every type, tied and not") {
  for (const uint32_t type : kGgmlTypes) {
    for (const bool tied : {true, false}) {
      const auto model = open_gguf(tiny::gguf(type, tied));
      check_shapes(*model);
      touch(*model);
      const ModelWeights& w = model->weights;
      CHECK_EQUAL(model->config.tied_embeddings, tied);
      CHECK_EQUAL(w.head.data == w.embedding.data, tied);
      CHECK_EQUAL(model->fingerprint.size(), 32u);
    }
  }
}

TEST("model: safetensors, dense and affine of every width, tied and not") {
  for (const bool tied : {true, false}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16}) {
      tiny::HfOptions dense;
      dense.tied = tied;
      dense.dtype = dtype;
      const auto model = open_hf(dense);
      check_shapes(*model);
      touch(*model);
      CHECK(!model->weights.layers[1].down.quantised());
    }
    for (const int bits : {2, 3, 4, 5, 6, 8}) {
      for (const int group : {32, 64, 128}) {
        const auto model = open_hf(affine(bits, group, tied));
        check_shapes(*model);
        touch(*model);
        const ModelWeights& w = model->weights;
        CHECK_EQUAL(w.embedding.bits, bits);
        CHECK_EQUAL(w.layers[0].down.group, group);
        CHECK_EQUAL(w.head.data == w.embedding.data, tied);
      }
    }
  }
}

TEST("model: the same weights come out of GGUF and of safetensors") {
  // One seed gives both builders the same dense numbers, in the same order.
  tiny::HfOptions options;
  options.dtype = Dtype::kF32;
  options.tied = false;
  const auto a = open_gguf(tiny::gguf(kGgmlF32, false, 5));
  options.seed = 5;
  const auto b = open_hf(options);
  CHECK_EQUAL(touch(*a), touch(*b));
  CHECK(a->weights.layers[1].ffn_norm == b->weights.layers[1].ffn_norm);
  CHECK(a->weights.final_norm == b->weights.final_norm);
  CHECK(a->config.rope.inv_freq == b->config.rope.inv_freq);
  CHECK(a->config.rope.interleaved && !b->config.rope.interleaved);
}

TEST("model: overrides of single modules") {
  tiny::HfOptions options = affine(4, 64);
  options.modules["model.embed_tokens"] = {8, 32};
  options.modules["model.layers.1.mlp.down_proj"] = {6, 128};
  options.modules["model.layers.0.self_attn.q_proj"] = {0, 0};
  const auto model = open_hf(options);
  touch(*model);
  const ModelWeights& w = model->weights;
  CHECK_EQUAL(w.embedding.bits, 8);
  CHECK_EQUAL(w.layers[1].down.bits, 6);
  CHECK_EQUAL(w.layers[1].down.group, 128);
  CHECK(w.layers[0].q.format == WeightFormat::kBF16);
  CHECK_EQUAL(w.layers[1].q.bits, 4);
}

TEST("model: shards, and a copy of the head beside tied embeddings") {
  HfFolder folder(tiny::HfOptions{});
  tiny::HfTensor copy = folder.tensors[0];
  copy.declaration.name = "lm_head.weight";
  folder.tensors.push_back(copy);
  tiny::HfTensor buffer = folder.tensors[1];
  buffer.declaration.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  folder.tensors.push_back(buffer);
  CHECK_EQUAL(folder.error(), std::string());
  const auto half = folder.tensors.begin() + 9;
  const TempDir& dir = folder.dir();
  tiny::write_tensors(
      dir / "model-00001-of-00002.safetensors", {folder.tensors.begin(), half});
  tiny::write_tensors(
      dir / "model-00002-of-00002.safetensors", {half, folder.tensors.end()});
  unlink((dir / "model.safetensors").c_str());
  const auto model = open_model(dir.path());
  check_shapes(*model);
  CHECK(model->weights.head.data == model->weights.embedding.data);
}

TEST("model: where config.json does not say, the head's presence decides") {
  for (const bool tied : {true, false}) {
    tiny::HfOptions options;
    options.tied = tied;
    HfFolder folder(options);
    std::string config = tiny::open_config(tied) + "}";
    const size_t at = config.find(",\"tie_word");
    write_file(folder.dir() / "config.json", config.substr(0, at) + "}");
    const auto model = open_model(folder.dir().path());
    CHECK_EQUAL(model->config.tied_embeddings, tied);
    CHECK_EQUAL(
        model->weights.head.data == model->weights.embedding.data, tied);
  }
}

TEST("model: generation_config.json adds end tokens") {
  HfFolder folder(tiny::HfOptions{});
  write_file(
      folder.dir() / "generation_config.json", R"({"eos_token_id":[2,7]})");
  const auto model = open_model(folder.dir().path());
  CHECK(model->config.eos_ids == (std::vector<int32_t>{2, 7}));
}

TEST("model: metadata for the tokenizer, in file order") {
  const TempDir dir;
  write_file(dir / "m.gguf", tiny::gguf(kGgmlQ8_0, true).build());
  const auto all = read_gguf_metadata(dir / "m.gguf");
  CHECK_EQUAL(all[0].first, std::string("general.architecture"));
  const auto it = std::find_if(all.begin(), all.end(), [](const auto& entry) {
    return entry.first == "tokenizer.ggml.tokens";
  });
  CHECK(it != all.end());
  CHECK_EQUAL(std::get<std::vector<std::string>>(it->second).size(), 48u);
  CHECK_ERROR(read_gguf_metadata(dir / "none"), Code::kModelNotFound);
}

TEST("model: the fingerprint knows the contents, not the name") {
  const TempDir dir;
  const auto fingerprint = [&](const std::string& name, GgufBuilder builder) {
    write_file(dir / name, builder.build());
    return open_model(dir / name)->fingerprint;
  };
  const std::string a = fingerprint("a", tiny::gguf(kGgmlQ4_0, true, 1));
  CHECK_EQUAL(fingerprint("b", tiny::gguf(kGgmlQ4_0, true, 1)), a);
  CHECK(fingerprint("c", tiny::gguf(kGgmlQ4_0, true, 2)) != a);
  CHECK(fingerprint("d", tiny::gguf(kGgmlQ4_0, true, 1).string("k", "v")) != a);

  HfFolder folder(tiny::HfOptions{});
  const auto hf = [&] { return open_model(folder.dir().path())->fingerprint; };
  const std::string b = hf();
  CHECK(b != a);
  // The first and the last bytes of every tensor count.
  for (tiny::HfTensor& t : folder.tensors) {
    for (const size_t at : {size_t{0}, t.bytes.size() - 1}) {
      t.bytes[at] ^= 1;
      CHECK_EQUAL(folder.error(), std::string());
      CHECK(hf() != b);
      t.bytes[at] ^= 1;
    }
  }
  CHECK_EQUAL(folder.error(), std::string());
  CHECK_EQUAL(hf(), b);
  write_file(
      folder.dir() / "config.json",
      tiny::open_config(true) + ",\"rope_theta\":20000}");
  CHECK(hf() != b);
}

TEST("model: paths that are none") {
  const TempDir dir;
  CHECK_ERROR(open_model(dir / "none"), Code::kModelNotFound);
  CHECK_MESSAGE(open_model(dir / "none"), "give a .gguf file or a directory");
  CHECK_ERROR(open_model(""), Code::kModelNotFound);
  CHECK_ERROR(open_model(dir.path()), Code::kModelNotFound);
  CHECK_MESSAGE(open_model(dir.path()), "config.json: no such file");
  write_file(dir / "config.json", tiny::open_config(true) + "}");
  CHECK_ERROR(open_model(dir.path()), Code::kModelNotFound);
  CHECK_MESSAGE(open_model(dir.path()), "has no *.safetensors");
  write_file(dir / "text", "hello");
  CHECK_ERROR(open_model(dir / "text"), Code::kModelInvalid);
  CHECK_ERROR(open_model(dir / "text/x"), Code::kModelNotFound);
}

TEST("model: every tensor of a GGUF must be there in its shape") {
  const GgufBuilder good = tiny::gguf(kGgmlQ8_0, false);
  for (const tiny::Part& part : tiny::parts(false)) {
    const std::string name = part.gguf + ".weight";
    if (part.gguf != "output") { // without it, the embedding is the head
      check_gguf_refused(
          GgufBuilder(good).drop_tensor(name),
          "MODEL_INVALID",
          "tensor '" + name + "' is missing");
    }
    for (const std::vector<uint64_t>& dims :
         {std::vector<uint64_t>{64}, {128, 32}, {32, 128}, {128, 128, 1}}) {
      uint64_t n = 1;
      for (const uint64_t d : dims) {
        n *= d;
      }
      check_gguf_refused(
          GgufBuilder(good).drop_tensor(name).tensor(
              name, dims, kGgmlF16, std::string(2 * n, 'x')),
          "MODEL_INVALID",
          "tensor '" + name + "' has the shape [");
    }
  }
}

TEST("model: a GGUF's foreign tensors and types are refused by name") {
  check_gguf_refused(
      tiny::gguf(kGgmlF16, true)
          .tensor("blk.0.attn_q.bias", {128}, kGgmlF32, std::string(512, 'x')),
      "MODEL_UNSUPPORTED",
      "tensor 'blk.0.attn_q.bias' has no place");
  check_gguf_refused(
      tiny::gguf(kGgmlF16, true)
          .drop_tensor("blk.1.ffn_down.weight")
          .tensor(
              "blk.1.ffn_down.weight",
              {256, 128},
              14,
              std::string(128 * 210, 'x')),
      "MODEL_UNSUPPORTED",
      "'blk.1.ffn_down.weight' has type Q6_K");
  check_gguf_refused(
      tiny::gguf(kGgmlF16, true)
          .drop_tensor("output_norm.weight")
          .tensor(
              "output_norm.weight", {128}, kGgmlQ8_0, std::string(136, 'x')),
      "MODEL_UNSUPPORTED",
      "a norm or bias is F32");
}

TEST("model: every tensor of a checkpoint must be there in its shape") {
  HfFolder folder(affine(4, 64, false));
  const std::vector<tiny::HfTensor> good = folder.tensors;
  for (size_t i = 0; i < good.size(); i++) {
    const std::string name = good[i].declaration.name;
    folder.tensors = good;
    folder.tensors.erase(folder.tensors.begin() + static_cast<ptrdiff_t>(i));
    std::string said = folder.error();
    CHECK(contains(said, "MODEL_"));
    CHECK(contains(said, name.substr(0, name.rfind('.'))));
    folder.tensors = good;
    auto& shape = folder.tensors[i].declaration.shape;
    std::reverse(shape.begin(), shape.end());
    shape.push_back(1);
    said = folder.error();
    CHECK(contains(said, "MODEL_INVALID"));
    CHECK(contains(said, "tensor '" + name + "' has the shape"));
  }
}

TEST("model: a checkpoint's foreign tensors and types are refused by name") {
  HfFolder folder(tiny::HfOptions{});
  const std::vector<tiny::HfTensor> good = folder.tensors;
  folder.tensors.push_back(
      {{"model.layers.0.self_attn.q_proj.bias", Dtype::kF16, {1}}, "xx"});
  CHECK(contains(folder.error(), "q_proj.bias' has no place"));
  folder.tensors = good;
  folder.tensor("model.norm.weight").declaration.dtype = Dtype::kI16;
  CHECK(contains(folder.error(), "'model.norm.weight' has type I16"));
  folder.tensors = good;
  folder.tensor("model.embed_tokens.weight").declaration.dtype = Dtype::kU16;
  CHECK(contains(folder.error(), "MODEL_UNSUPPORTED"));
}

TEST("model: quantisation and config.json must agree") {
  HfFolder dense_config(affine(4, 64));
  write_file(dense_config.dir() / "config.json", tiny::open_config(true) + "}");
  CHECK(contains(dense_config.error(), "has scales, but config.json has no"));

  const auto with_config = [](const std::string& quantization) {
    HfFolder folder(affine(4, 64));
    write_file(
        folder.dir() / "config.json",
        tiny::open_config(true) + ",\"quantization\":" + quantization + "}");
    return folder.error();
  };
  CHECK(contains(
      with_config(R"({"group_size":64,"bits":8})"), "has the shape [48, 16]"));
  CHECK(contains(
      with_config(R"({"group_size":32,"bits":4})"), "has the shape [48, 2]"));
  CHECK_EQUAL(with_config(R"({"group_size":64,"bits":4})"), std::string());

  HfFolder types(affine(4, 64));
  types.tensor("model.layers.0.mlp.up_proj.weight").declaration.dtype =
      Dtype::kI32;
  CHECK(contains(types.error(), "codes are not U32"));
  types.tensor("model.layers.0.mlp.up_proj.weight").declaration.dtype =
      Dtype::kU32;
  types.tensor("model.layers.1.mlp.up_proj.biases").declaration.dtype =
      Dtype::kF16;
  CHECK(contains(types.error(), "scales and biases differ"));
}

TEST("model: a GGUF damaged anywhere in its header opens or is refused") {
  const TempDir dir;
  const std::string path = dir / "m.gguf";
  GgufBuilder builder = tiny::gguf(kGgmlQ4_1, false);
  const std::string good = builder.build();
  const auto try_open = [&](const std::string& bytes) {
    write_file(path, bytes);
    return error_of([&] { touch(*open_model(path)); });
  };
  CHECK_EQUAL(try_open(good), std::string());
  int refused = 0;
  for (const GgufBuilder::Field& field : builder.fields()) {
    for (const uint64_t lie :
         {uint64_t{0}, uint64_t{3}, uint64_t{1} << 33, UINT64_MAX}) {
      std::string bad = good;
      overwrite(bad, field, lie);
      const std::string said = try_open(bad);
      CHECK(said.empty() || contains(said, "MODEL_"));
      refused += !said.empty();
    }
  }
  std::mt19937 random(2);
  for (int i = 0; i < 300; i++) {
    std::string bad = good;
    bad[random() % builder.header_bytes()] = static_cast<char>(random());
    const std::string said = try_open(bad);
    CHECK(said.empty() || contains(said, "MODEL_"));
    refused += !said.empty();
  }
  CHECK(refused > 700);
}

TEST("model: a GGUF cut short anywhere is refused") {
  const TempDir dir;
  const std::string path = dir / "m.gguf";
  GgufBuilder builder = tiny::gguf(kGgmlQ8_0, true);
  const std::string good = builder.build();
  write_file(path, good);
  // Every byte of the header, then pieces of the data.
  for (size_t n = good.size(); n > 0;) {
    n -= n <= builder.header_bytes() ? 1 : std::min<size_t>(n, 997);
    CHECK_EQUAL(truncate(path.c_str(), static_cast<off_t>(n)), 0);
    CHECK_ERROR(open_model(path), Code::kModelInvalid);
  }
}

TEST("model: numbers in config.json may be anything") {
  HfFolder folder(affine(4, 64));
  const std::string good = read_file(folder.dir() / "config.json");
  std::mt19937 random(6);
  int refused = 0;
  for (int i = 0; i < 200; i++) {
    std::string bad = good;
    bad[random() % bad.size()] = "0123456789-eE.,:\"{}[]"[random() % 21];
    write_file(folder.dir() / "config.json", bad);
    const std::string said =
        error_of([&] { touch(*open_model(folder.dir().path())); });
    CHECK(said.empty() || contains(said, "MODEL_"));
    refused += !said.empty();
  }
  CHECK(refused > 50);
}

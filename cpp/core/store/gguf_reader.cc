#include "store/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/utf8.h"

namespace stomp {

static_assert(
    std::endian::native == std::endian::little,
    "GGUF files are read in place");

namespace {

constexpr size_t kMaxKeyBytes = 65535;
constexpr size_t kMaxNameBytes = 255;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint32_t kMaxAlignment = 1u << 20;
// The smallest entries that can be: what bounds the counts.
constexpr size_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr size_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

struct TypeInfo {
  uint32_t type;
  const char* name;
  uint32_t block; // elements
  uint32_t bytes; // of a block
};

// Types that we cannot compute with are listed too, so that a file that has
// them is refused by their name.
constexpr TypeInfo kTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},
    {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},
    {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
};

const TypeInfo* type_info(uint32_t type) {
  for (const TypeInfo& info : kTypes) {
    if (info.type == type) {
      return &info;
    }
  }
  return nullptr;
}

/// Bytes of a fixed-size value; 0 for strings, arrays and unknown types.
size_t value_bytes(GgufType type) {
  constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const auto i = static_cast<uint32_t>(type);
  return i < std::size(kBytes) ? kBytes[i] : 0;
}

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// Reads forward through the mapped bytes and never past them.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file) : file_(file) {}

  size_t at() const { return at_; }
  size_t left() const { return file_.size() - at_; }

  [[noreturn]] void fail(
      const std::string& why,
      Code code = Code::kModelInvalid) const {
    throw Error(
        code,
        file_.path() + ": invalid GGUF at byte " + std::to_string(at_) + ": " +
            why,
        {{"path", file_.path()}, {"offset", std::to_string(at_)}});
  }

  const std::byte* take(uint64_t n, const std::string& what) {
    if (n > left()) {
      fail(
          what + " needs " + std::to_string(n) + " bytes, the file has " +
          std::to_string(left()) + " more");
    }
    const std::byte* p = file_.data() + at_;
    at_ += n;
    return p;
  }

  template <class T>
  T read(const std::string& what) {
    return load<T>(take(sizeof(T), what));
  }

  /// A count of things that take at least `min_bytes` each.
  uint64_t count(size_t min_bytes, const std::string& what) {
    const uint64_t n = read<uint64_t>(what);
    if (n > left() / min_bytes) {
      fail(what + " is " + std::to_string(n) + ", more than the file can hold");
    }
    return n;
  }

  std::string_view string(const std::string& what) {
    const uint64_t n = read<uint64_t>("the length of " + what);
    const std::byte* p = take(n, what);
    return {reinterpret_cast<const char*>(p), static_cast<size_t>(n)};
  }

  std::string name(size_t max_bytes, const std::string& what) {
    const std::string_view text = string(what);
    if (text.empty() || text.size() > max_bytes) {
      fail(
          what + " has " + std::to_string(text.size()) + " bytes, 1 to " +
          std::to_string(max_bytes) + " are allowed");
    }
    if (valid_utf8_prefix(text) != text.size()) {
      fail(what + " is not UTF-8");
    }
    return std::string(text);
  }

 private:
  const MappedFile& file_;
  size_t at_ = 0;
};

void check_version(Cursor& in) {
  if (std::memcmp(in.take(4, "the magic"), "GGUF", 4) != 0) {
    in.fail("the file does not begin with GGUF");
  }
  const uint32_t version = in.read<uint32_t>("the version");
  if (version == 2 || version == 3) {
    return;
  }
  if (version != 0 && (version & 0xffff) == 0) {
    in.fail(
        "big-endian files are not supported; convert it for this machine",
        Code::kModelUnsupported);
  }
  in.fail(
      "version " + std::to_string(version) +
          " is not supported, 2 and 3 are; convert the model anew",
      Code::kModelUnsupported);
}

void check_bools(const Cursor& in, const std::byte* p, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    if (load<uint8_t>(p + i) > 1) {
      in.fail("a bool is neither 0 nor 1");
    }
  }
}

/// Moves past `entry.count` elements of `entry.type`, checking them.
void skip_elements(Cursor& in, const GgufEntry& entry) {
  const std::string what = "the value of '" + entry.key + "'";
  if (entry.type == GgufType::kString) {
    for (uint64_t i = 0; i < entry.count; i++) {
      in.string(what);
    }
    return;
  }
  const size_t bytes = value_bytes(entry.type);
  if (bytes == 0) {
    in.fail(
        "'" + entry.key + "' has type " +
        std::to_string(static_cast<uint32_t>(entry.type)) +
        (entry.array ? " in an array" : "") + ", which is not supported");
  }
  if (entry.count > in.left() / bytes) {
    in.fail(
        what + " has " + std::to_string(entry.count) +
        " elements, more than the file can hold");
  }
  const std::byte* p = in.take(entry.count * bytes, what);
  if (entry.type == GgufType::kBool) {
    check_bools(in, p, entry.count);
  }
}

GgufEntry read_entry(Cursor& in) {
  GgufEntry entry;
  entry.key = in.name(kMaxKeyBytes, "a metadata key");
  const std::string what = "the type of '" + entry.key + "'";
  entry.type = static_cast<GgufType>(in.read<uint32_t>(what));
  if (entry.type == GgufType::kArray) {
    entry.array = true;
    entry.type = static_cast<GgufType>(in.read<uint32_t>(what));
    const size_t least =
        entry.type == GgufType::kString ? 8 : value_bytes(entry.type);
    entry.count = in.count(
        std::max<size_t>(1, least), "the length of array '" + entry.key + "'");
  }
  entry.offset = in.at();
  skip_elements(in, entry);
  return entry;
}

/// A tensor as the header describes it; `offset` from the data section.
struct TensorInfo {
  GgufTensor tensor;
  uint64_t offset = 0;
};

/// The tensor's bytes; refuses whatever overflows or cuts a block.
uint64_t tensor_bytes(const Cursor& in, const GgufTensor& tensor) {
  const std::string who = "tensor '" + tensor.name + "'";
  const TypeInfo* info = type_info(tensor.type);
  if (info == nullptr) {
    in.fail(who + " has the unknown type " + std::to_string(tensor.type));
  }
  if (tensor.dims[0] % info->block != 0) {
    in.fail(
        who + " has rows of " + std::to_string(tensor.dims[0]) +
        " elements, not a multiple of the " + std::to_string(info->block) +
        " of a " + info->name + " block");
  }
  // No file has 2^48 bytes; stopping there keeps products in 64 bits.
  constexpr uint64_t kLimit = uint64_t{1} << 48;
  uint64_t blocks = tensor.dims[0] / info->block;
  for (size_t d = 1; d < tensor.dims.size() && blocks <= kLimit; d++) {
    blocks =
        tensor.dims[d] > kLimit / blocks ? kLimit + 1 : blocks * tensor.dims[d];
  }
  if (blocks > kLimit / info->bytes) {
    in.fail(who + " has more elements than any file can hold");
  }
  return blocks * info->bytes;
}

TensorInfo read_tensor_info(Cursor& in) {
  TensorInfo info;
  info.tensor.name = in.name(kMaxNameBytes, "a tensor name");
  const std::string who = "tensor '" + info.tensor.name + "'";
  const uint32_t n_dims = in.read<uint32_t>(who);
  if (n_dims < 1 || n_dims > 4) {
    in.fail(
        who + " has " + std::to_string(n_dims) +
        " dimensions, 1 to 4 are allowed");
  }
  for (uint32_t d = 0; d < n_dims; d++) {
    info.tensor.dims.push_back(in.read<uint64_t>(who));
    if (info.tensor.dims.back() == 0) {
      in.fail(who + " has a dimension of 0");
    }
  }
  info.tensor.type = in.read<uint32_t>(who);
  info.tensor.bytes = tensor_bytes(in, info.tensor);
  info.offset = in.read<uint64_t>(who);
  return info;
}

/// Places the tensors in the data section that begins at `start`.
void place(
    const Cursor& in,
    const MappedFile& file,
    size_t start,
    uint64_t alignment,
    std::vector<TensorInfo>& infos) {
  const uint64_t room = file.size() > start ? file.size() - start : 0;
  for (TensorInfo& info : infos) {
    GgufTensor& t = info.tensor;
    if (info.offset % alignment != 0) {
      in.fail(
          "tensor '" + t.name + "' lies at offset " +
          std::to_string(info.offset) + ", not a multiple of the alignment " +
          std::to_string(alignment));
    }
    if (info.offset > room || t.bytes > room - info.offset) {
      in.fail(
          "tensor '" + t.name + "' (" + std::to_string(t.bytes) +
          " bytes at offset " + std::to_string(info.offset) +
          ") ends past the end of the file, which is cut short or damaged");
    }
    t.data = file.data() + start + info.offset;
  }
  std::vector<const GgufTensor*> order;
  for (const TensorInfo& info : infos) {
    order.push_back(&info.tensor);
  }
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return a->data < b->data;
  });
  for (size_t i = 1; i < order.size(); i++) {
    if (order[i]->data < order[i - 1]->data + order[i - 1]->bytes) {
      in.fail(
          "tensors '" + order[i - 1]->name + "' and '" + order[i]->name +
          "' overlap");
    }
  }
}

/// Indices sorted by name; refuses twins.
template <class T, class Name>
std::vector<uint32_t> index_by(
    const Cursor& in,
    const std::vector<T>& items,
    Name name,
    const std::string& what) {
  std::vector<uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return name(items[a]) < name(items[b]);
  });
  for (size_t i = 1; i < order.size(); i++) {
    if (name(items[order[i]]) == name(items[order[i - 1]])) {
      in.fail(what + " '" + name(items[order[i]]) + "' occurs twice");
    }
  }
  return order;
}

template <class T, class Name>
const T* find_by(
    const std::vector<T>& items,
    const std::vector<uint32_t>& order,
    Name name,
    std::string_view wanted) {
  const auto it = std::lower_bound(
      order.begin(), order.end(), wanted, [&](uint32_t i, std::string_view w) {
        return name(items[i]) < w;
      });
  return it != order.end() && name(items[*it]) == wanted ? &items[*it]
                                                         : nullptr;
}

const std::string& key_of(const GgufEntry& entry) {
  return entry.key;
}

const std::string& name_of(const GgufTensor& tensor) {
  return tensor.name;
}

int64_t load_integer(const std::byte* p, GgufType type) {
  switch (type) {
    case GgufType::kI8:
      return load<int8_t>(p);
    case GgufType::kU16:
      return load<uint16_t>(p);
    case GgufType::kI16:
      return load<int16_t>(p);
    case GgufType::kU32:
      return load<uint32_t>(p);
    case GgufType::kI32:
      return load<int32_t>(p);
    case GgufType::kU64:
    case GgufType::kI64:
      return load<int64_t>(p);
    default: // kU8, kBool
      return load<uint8_t>(p);
  }
}

bool is_float(GgufType type) {
  return type == GgufType::kF32 || type == GgufType::kF64;
}

template <class T>
GgufValue one_or_all(std::vector<T>&& values, bool array) {
  return array ? GgufValue(std::move(values)) : GgufValue(std::move(values[0]));
}

/// Of the data section and of every tensor in it.
uint64_t read_alignment(const Cursor& in, const GgufFile& file) {
  const GgufEntry* entry = file.find_metadata("general.alignment");
  if (entry == nullptr) {
    return kDefaultAlignment;
  }
  const bool fits = entry->type == GgufType::kU32 && !entry->array;
  const uint32_t alignment =
      fits ? load<uint32_t>(file.file().data() + entry->offset) : 0;
  if (!std::has_single_bit(alignment) || alignment < 8 ||
      alignment > kMaxAlignment) {
    in.fail("general.alignment is not a power of two from 8 to 1048576");
  }
  return alignment;
}

} // namespace

const char* ggml_type_name(uint32_t type) {
  const TypeInfo* info = type_info(type);
  return info != nullptr ? info->name : nullptr;
}

GgufFile::GgufFile(const std::string& path) : file_(path) {
  Cursor in(file_);
  check_version(in);
  const uint64_t n_tensors = in.count(kMinTensorBytes, "the tensor count");
  const uint64_t n_entries = in.count(kMinEntryBytes, "the metadata count");
  metadata_.reserve(n_entries);
  for (uint64_t i = 0; i < n_entries; i++) {
    metadata_.push_back(read_entry(in));
  }
  metadata_by_key_ = index_by(in, metadata_, key_of, "metadata key");

  const uint64_t alignment = read_alignment(in, *this);
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < n_tensors; i++) {
    infos.push_back(read_tensor_info(in));
  }
  const size_t start = (in.at() + alignment - 1) / alignment * alignment;
  header_bytes_ = std::min(start, file_.size());
  place(in, file_, start, alignment, infos);
  tensors_.reserve(infos.size());
  for (TensorInfo& info : infos) {
    tensors_.push_back(std::move(info.tensor));
  }
  tensors_by_name_ = index_by(in, tensors_, name_of, "tensor");
}

const GgufEntry* GgufFile::find_metadata(std::string_view key) const {
  return find_by(metadata_, metadata_by_key_, key_of, key);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  return find_by(tensors_, tensors_by_name_, name_of, name);
}

GgufValue GgufFile::value(const GgufEntry& entry) const {
  const std::byte* p = file_.data() + entry.offset;
  if (entry.type == GgufType::kString) {
    std::vector<std::string> texts(entry.count);
    for (std::string& text : texts) {
      const uint64_t n = load<uint64_t>(p);
      text.assign(reinterpret_cast<const char*>(p + 8), n);
      p += 8 + n;
    }
    return one_or_all(std::move(texts), entry.array);
  }
  const size_t step = value_bytes(entry.type);
  if (is_float(entry.type)) {
    std::vector<double> reals(entry.count);
    for (double& real : reals) {
      real = step == 4 ? load<float>(p) : load<double>(p);
      p += step;
    }
    return one_or_all(std::move(reals), entry.array);
  }
  std::vector<int64_t> whole(entry.count);
  for (int64_t& v : whole) {
    v = load_integer(p, entry.type);
    if (entry.type == GgufType::kU64 && v < 0) {
      throw Error(
          Code::kModelInvalid,
          path() + ": metadata '" + entry.key + "' is out of range",
          {{"path", path()}});
    }
    p += step;
  }
  return one_or_all(std::move(whole), entry.array);
}

} // namespace stomp

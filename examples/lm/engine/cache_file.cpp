#include "engine/cache_file.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <rota/core/crc64.hpp>
#include <rota/store/save_any.hpp>

#include "engine/cache_memory.hpp"
#include "engine/error.hpp"
#include "engine/mapped_file.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {
namespace {

struct cache_file_header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t byte_order;
  std::uint64_t bytes;  ///< of the whole file
  std::uint64_t layers;
  std::uint64_t prompt_bytes;
  std::uint64_t logits;
  std::array<std::uint64_t, 2> reserved;
};
static_assert(sizeof(cache_file_header) == 64);

constexpr std::array<char, 8> cache_file_magic = {'R', 'O', 'T', 'A', 'L', 'M', 'K', 'V'};
constexpr std::uint32_t cache_file_version = 1;

std::size_t aligned(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

/// Adds up what it writes.
class checked_writer {
 public:
  explicit checked_writer(atomic_file& file) : file_(file) {}

  void put(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    crc_ = rota::crc64(from, bytes, crc_);
    file_.write({from, bytes});
    written_ += bytes;
  }
  void pad() {
    constexpr std::array<std::byte, 64> zeros = {};
    put(zeros.data(), aligned(written_) - written_);
  }
  std::uint64_t checksum() const { return crc_; }

 private:
  atomic_file& file_;
  std::uint64_t crc_ = 0;
  std::size_t written_ = 0;
};

/// Takes one part after the other from the bytes of a file, never more than there are.
class part_reader {
 public:
  part_reader(std::string path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  std::span<const std::byte> take(std::uint64_t count, std::uint64_t size = 1) {
    if (count > (bytes_.size() - at_) / size) fail(path_, "damaged: shorter than it says");
    const auto part = bytes_.subspan(at_, count * size);
    at_ += part.size();
    return part;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  void skip_padding() { take(aligned(at_) - at_); }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// Checks magic, version, length and checksum; what follows may then be wrong, but not by accident.
cache_file_header open_cache_file(const mapped_file& file) {
  const std::span<const std::byte> all = file.bytes();
  cache_file_header h{};
  if (all.size() < sizeof h + sizeof(std::uint64_t)) {
    fail(file.path(), "not a cache file, or cut short");
  }
  std::memcpy(&h, all.data(), sizeof h);
  if (h.magic != cache_file_magic) fail(file.path(), "not a cache file");
  if (h.byte_order != rota::saved_byte_order || h.version != cache_file_version) {
    fail(file.path(), "of another version or byte order");
  }
  if (h.bytes != all.size()) fail(file.path(), "damaged: cut short or longer than it says");
  const std::size_t body = all.size() - sizeof(std::uint64_t);
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, all.data() + body, sizeof checksum);
  if (checksum != rota::crc64(all.data(), body)) fail(file.path(), "damaged: altered");
  return h;
}

/// A restored layer and its memory.
struct loaded_layer {
  cache_buffer memory;
  packed_layer store;
};

loaded_layer load_layer(const std::string& where, std::span<const std::byte> saved,
                        const rota::saved_identity& identity, std::size_t tail,
                        const packed_cache& cache) {
  rota::packed_shape shape;
  require(rota::saved_shape(saved, shape), where);
  const auto heads = static_cast<rota::index_t>(cache.config().kv_heads);
  const auto width = static_cast<rota::index_t>(cache.config().head_dim);
  if (shape.kv_heads != heads || shape.record.d_k != width || shape.record.d_v != width) {
    fail(where, "not of the model's shape");
  }
  loaded_layer layer;
  const auto room = static_cast<rota::index_t>(tail);
  rota::index_t bytes = 0;
  require(rota::restored_bytes<decltype(layer.store)>(saved, room, bytes), where);
  layer.memory = cache.allocate(static_cast<std::size_t>(bytes));
  require(
      rota::restore(saved, identity, room, {layer.memory.data(), layer.memory.size()}, layer.store),
      where);
  return layer;
}

}  // namespace

void save_cache(atomic_file& file, const packed_cache& cache, const rota::saved_identity& identity,
                const saved_prompt& prompt) {
  std::vector<std::uint64_t> sizes;
  std::uint64_t layers_bytes = 0;
  for (std::size_t i = 0; i < cache.layers(); ++i) {
    sizes.push_back(static_cast<std::uint64_t>(rota::saved_bytes(cache.store(i))));
    layers_bytes += sizes.back();
  }
  cache_file_header h{};
  h.magic = cache_file_magic;
  h.version = cache_file_version;
  h.byte_order = rota::saved_byte_order;
  h.layers = sizes.size();
  h.prompt_bytes = prompt.text.size();
  h.logits = prompt.logits.size();
  h.bytes = aligned(sizeof h + 8 * sizes.size() + prompt.text.size() +
                    sizeof(float) * prompt.logits.size()) +
            layers_bytes + sizeof(std::uint64_t);
  checked_writer out(file);
  out.put(&h, sizeof h);
  out.put(sizes.data(), 8 * sizes.size());
  out.put(prompt.text.data(), prompt.text.size());
  out.put(prompt.logits.data(), sizeof(float) * prompt.logits.size());
  out.pad();
  for (std::size_t i = 0; i < cache.layers(); ++i) {
    const cache_buffer memory(sizes[i]);
    require(rota::save(cache.store(i), identity, {memory.data(), memory.size()}),
            "layer " + std::to_string(i));
    out.put(memory.data(), sizes[i]);
  }
  const std::uint64_t checksum = out.checksum();
  out.put(&checksum, sizeof checksum);
}

saved_prompt load_cache(const std::string& path, const rota::saved_identity& identity,
                        std::size_t tail, packed_cache& cache) {
  const mapped_file file(path);
  const cache_file_header h = open_cache_file(file);
  const std::span<const std::byte> all = file.bytes();
  part_reader in(path, all.first(all.size() - sizeof(std::uint64_t)));
  in.take(sizeof h);
  if (h.layers != cache.config().layers) {
    fail(path, "has " + std::to_string(h.layers) + " layers, the model has " +
                   std::to_string(cache.config().layers));
  }
  std::vector<std::uint64_t> sizes(h.layers);
  for (std::uint64_t& size : sizes) size = in.number<std::uint64_t>();
  saved_prompt prompt;
  const auto text = in.take(h.prompt_bytes);
  prompt.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  const auto logits = in.take(h.logits, sizeof(float));
  prompt.logits.resize(h.logits);
  if (!logits.empty()) std::memcpy(prompt.logits.data(), logits.data(), logits.size());
  in.skip_padding();
  std::vector<loaded_layer> layers;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::string where = path + ": layer " + std::to_string(i);
    layers.push_back(load_layer(where, in.take(sizes[i]), identity, tail, cache));
    if (layers[i].store.next_position() != layers[0].store.next_position()) {
      fail(where, "not as long as the first");
    }
  }
  if (in.left() != 0) fail(path, "damaged: longer than it says");
  for (auto& layer : layers) cache.add_layer(std::move(layer.memory), layer.store);
  return prompt;
}

}  // namespace rota_lm

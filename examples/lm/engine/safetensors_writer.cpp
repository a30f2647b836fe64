#include "engine/safetensors_writer.hpp"

#include <cstddef>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/atomic_file.hpp"

namespace rota_lm {

void safetensors_writer::add(std::string name, std::vector<std::uint64_t> shape,
                             std::span<const float> values) {
  tensors_.emplace_back(tensor{std::move(name), std::move(shape), values});
}

void safetensors_writer::describe(std::string key, std::string value) {
  metadata_[std::move(key)] = std::move(value);
}

void safetensors_writer::write(const std::string& path) const {
  nlohmann::ordered_json header;
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::uint64_t at = 0;
  for (const tensor& t : tensors_) {
    const std::uint64_t end = at + t.values.size_bytes();
    header[t.name] = {{"dtype", "F32"}, {"shape", t.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  // Metadata may quote names that are no UTF-8.
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data shall be aligned
  const std::uint64_t length = text.size();
  atomic_file out(path, readers::as_usual);
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(std::as_bytes(std::span(text)));
  for (const tensor& t : tensors_) out.write(std::as_bytes(t.values));
  out.commit();
}

}  // namespace rota_lm

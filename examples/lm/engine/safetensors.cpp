#include "engine/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/number_formats.hpp"

namespace rota_lm {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

namespace {

constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit

/// 0 for a dtype that is not known here; the format gets new ones, some of fewer bits than eight.
std::size_t element_size(const std::string& dtype) {
  static constexpr std::array<std::pair<std::string_view, std::size_t>, 15> known = {
      {{"BOOL", 1},
       {"U8", 1},
       {"I8", 1},
       {"F8_E4M3", 1},
       {"F8_E5M2", 1},
       {"U16", 2},
       {"I16", 2},
       {"F16", 2},
       {"BF16", 2},
       {"U32", 4},
       {"I32", 4},
       {"F32", 4},
       {"U64", 8},
       {"I64", 8},
       {"F64", 8}}};
  for (const auto& [name, bytes] : known) {
    if (name == dtype) return bytes;
  }
  return 0;
}

std::uint64_t product(const tensor_info& t, std::uint64_t first, const std::string& where) {
  std::uint64_t out = first;
  for (const std::uint64_t extent : t.shape) {
    if (__builtin_mul_overflow(out, extent, &out)) {
      fail(where, "shape " + shape_text(t.shape) + " overflows 64 bits");
    }
  }
  return out;
}

template <float (*Widen)(std::uint16_t)>
void widen(std::span<const std::byte> raw, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, raw.data() + 2 * i, 2);  // at odd addresses too
    out[i] = Widen(bits);
  }
}

/// The first number that is infinite or NaN; x.size() when there is none.
std::size_t first_not_finite(std::span<const float> x) {
  constexpr std::size_t block = 1024;  // without a way out of the loop, so that it is vectorised
  for (std::size_t begin = 0; begin < x.size(); begin += block) {
    const auto part = x.subspan(begin, std::min(block, x.size() - begin));
    int bad = 0;
    for (const float v : part) bad |= !(std::abs(v) <= std::numeric_limits<float>::max());
    if (bad == 0) continue;
    const auto at = std::ranges::find_if(part, [](float v) { return !std::isfinite(v); });
    return begin + static_cast<std::size_t>(at - part.begin());
  }
  return x.size();
}

}  // namespace

std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) out += ", ";
    out += std::to_string(shape[i]);
  }
  return out + "]";
}

safetensors_file::safetensors_file(const std::string& path) : file_(path) {
  const std::string_view header = header_text();
  // Shallow on purpose: name -> {dtype, shape [..], data_offsets [..]} is three levels.
  const json document = parse_json(header, path, {max_header_bytes, 4});
  if (!document.is_object()) fail(path, "safetensors header is not a JSON object");
  for (const auto& [name, entry] : document.items()) {
    if (name == "__metadata__") {
      if (!entry.is_null()) read_metadata(json_field(entry, path + ": __metadata__"));
      continue;
    }
    tensors_.emplace(name, parse_entry(json_field(entry, tensor_label(name))));
  }
  check_layout();
}

const tensor_info& safetensors_file::info(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(tensor_label(name), "not in this file");
  return found->second;
}

std::span<const std::byte> safetensors_file::bytes(const std::string& name) const {
  const tensor_info& t = info(name);
  return file_.bytes().subspan(data_start_ + t.begin, t.end - t.begin);
}

void safetensors_file::check_weight(const std::string& name,
                                    std::span<const std::uint64_t> shape) const {
  const tensor_info& t = info(name);
  if (t.dtype != "F32" && t.dtype != "BF16" && t.dtype != "F16") {
    fail(tensor_label(name),
         "dtype " + printable(t.dtype, 40) + " cannot be a weight; F32, BF16 or F16 can");
  }
  if (!std::ranges::equal(t.shape, shape)) {
    fail(tensor_label(name),
         "has shape " + shape_text(t.shape) + ", needed is " + shape_text(shape));
  }
}

void safetensors_file::read_f32(const std::string& name, std::span<float> out) const {
  const tensor_info& t = info(name);
  check_weight(name, t.shape);
  if (out.size() != t.elements) fail(tensor_label(name), "output of the wrong size");
  const std::span<const std::byte> raw = bytes(name);
  if (raw.empty()) return;
  if (t.dtype == "F32") {
    std::memcpy(out.data(), raw.data(), raw.size());
  } else if (t.dtype == "BF16") {
    widen<bf16_to_f32>(raw, out);
  } else {
    widen<f16_to_f32>(raw, out);
  }
}

void safetensors_file::read_weight(const std::string& name, std::span<float> out) const {
  read_f32(name, out);
  const std::size_t bad = first_not_finite(out);
  if (bad == out.size()) return;
  fail(tensor_label(name), "number " + std::to_string(bad) + " of " + std::to_string(out.size()) +
                               " is not finite: the file is damaged or its training diverged");
}

std::vector<std::int64_t> safetensors_file::read_i64(const std::string& name) const {
  const tensor_info& t = info(name);
  if (t.dtype != "I64") {
    fail(tensor_label(name), "dtype is " + printable(t.dtype, 40) + ", I64 was expected");
  }
  std::vector<std::int64_t> out(t.elements);
  if (!out.empty()) std::memcpy(out.data(), bytes(name).data(), out.size() * 8);
  return out;
}

std::string safetensors_file::tensor_label(const std::string& name) const {
  return file_.path() + ": tensor \"" + printable(name, 120) + "\"";
}

std::string_view safetensors_file::header_text() {
  const std::span<const std::byte> all = file_.bytes();
  if (all.size() < 8) fail(path(), "too short for a safetensors file");
  std::uint64_t length = 0;
  std::memcpy(&length, all.data(), 8);
  if (length > max_header_bytes) {
    fail(path(), "header length " + std::to_string(length) + " is above the limit");
  }
  if (length > all.size() - 8) {
    fail(path(), "truncated: header length " + std::to_string(length) + " in a file of " +
                     std::to_string(all.size()) + " bytes");
  }
  data_start_ = static_cast<std::size_t>(8 + length);
  const std::string_view header = file_.text().substr(8, static_cast<std::size_t>(length));
  if (header.empty() || header.front() != '{') fail(path(), "header does not begin with {");
  return header;
}

void safetensors_file::read_metadata(const json_field& entry) {
  for (const auto& [key, value] : entry.object().items()) {
    if (!value.is_string()) static_cast<void>(entry.at(key).string());  // says which
    metadata_.emplace_hint(metadata_.end(), key, value.get_ref<const std::string&>());
  }
}

tensor_info safetensors_file::parse_entry(const json_field& entry) const {
  tensor_info t;
  t.dtype = entry.at("dtype").string();
  t.element_bytes = element_size(t.dtype);
  const json_field shape = entry.at("shape");
  for (std::size_t i = 0; i < shape.size(); ++i) {
    t.shape.push_back(shape.at(i).count(0, INT64_MAX));
  }
  const json_field offsets = entry.at("data_offsets");
  if (offsets.size() != 2) fail(offsets.where(), "must be [begin, end]");
  t.begin = offsets.at(0).count(0, INT64_MAX);
  t.end = offsets.at(1).count(0, INT64_MAX);
  check_extent(t, entry.where());
  return t;
}

void safetensors_file::check_extent(tensor_info& t, const std::string& where) const {
  if (t.begin > t.end) fail(where, "data_offsets out of order");
  const std::uint64_t available = file_.bytes().size() - data_start_;
  if (t.end > available) {
    fail(where, "data_offsets end at " + std::to_string(t.end) + ", the file has " +
                    std::to_string(available) + " bytes of data");
  }
  t.elements = product(t, 1, where);
  if (t.element_bytes == 0) return;
  const std::uint64_t wanted = product(t, t.element_bytes, where);
  if (wanted != t.end - t.begin) {
    fail(where, "shape " + shape_text(t.shape) + " needs " + std::to_string(wanted) +
                    " bytes, data_offsets give " + std::to_string(t.end - t.begin));
  }
}

/// In order of their bytes, each tensor must begin where the one before it ended.
void safetensors_file::check_layout() const {
  std::vector<std::pair<const std::string*, const tensor_info*>> order;
  for (const auto& [name, info] : tensors_) order.emplace_back(&name, &info);
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  std::uint64_t at = 0;
  for (const auto& [name, info] : order) {
    if (info->begin < at) fail(tensor_label(*name), "overlaps another tensor");
    if (info->begin > at) fail(tensor_label(*name), "leaves a hole before it");
    at = info->end;
  }
  if (at != file_.bytes().size() - data_start_) fail(path(), "bytes after the last tensor");
}

}  // namespace rota_lm
